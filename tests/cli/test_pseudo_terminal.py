"""PT-06: what a terminal is really sent, with real processes on a real one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios

import pytest

from fakes.terminal_reading import read_terminal

pytestmark = pytest.mark.slow

#: Seconds; a loaded box may take its time.
PATIENCE = 60
PENSTOCK = [sys.executable, "-m", "penstock.cli.main"]
#: Colours, a bar that is written over, a clipboard set, a title, C1, a text turned around.
SHOW = r"""
printf '\033[31mred\033[0m and \033[1;38;5;200mpink\033[m\n'
printf '\rget  10 %%'; sleep 0.3; printf '\rget 100 %%\n'
printf '\033]52;c;aGk=\a\033]0;owned\a\302\233' ; printf '2J\342\200\256\033[2J\033c\n'
sleep 0.3; printf 'err\n' >&2; sleep 0.3
printf '\033[32mgreen to the end'
exit 3
"""


def on_terminal(script: str, **environ: str) -> tuple[str, int | None]:
    """What a terminal of 80 columns is sent by a run of this script, and the exit code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [*PENSTOCK, "run", "command", "--", "/bin/sh", "-c", script]
    environ = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": "", **environ}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environ
    ) as process:
        os.close(theirs)
        sent = read_terminal(ours, process)
        code = process.wait(PATIENCE)
    return sent.decode().replace("\r\n", "\n"), code


def test_a_program_that_does_not_end_fails_its_test_and_holds_up_no_other() -> None:
    """Whoever reads a terminal would wait with it for ever."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(["sleep", "600"], stdout=theirs) as process:
        os.close(theirs)
        with pytest.raises(AssertionError, match="it goes on"):
            read_terminal(ours, process, patience=0.1)
    assert process.returncode == -signal.SIGKILL


def test_a_run_shows_its_colours_and_nothing_else_reaches_the_terminal() -> None:
    """PT-06 TU-04"""
    sent, code = on_terminal(SHOW)
    assert code == 3
    assert "\x1b[31mred\x1b[0m and \x1b[1;38;5;200mpink\x1b[0m\n" in sent
    assert "\rget 100 %" in sent
    assert "␛]52;c;aGk=␇␛]0;owned␇␛[2J\ufffd␛[2J␛c" in sent
    # What is said of the end stands on a line of its own.
    assert "\x1b[32mgreen to the end\x1b[0m\n" in sent
    assert "exit 3" in sent.splitlines()[-1]
    rest = re.sub(r"\x1b\[[0-9;]*m", "", sent)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e]", rest)


def test_without_colours_the_lines_are_the_same() -> None:
    """PT-06: NO_COLOR, and TERM=dumb, on which nothing is written over."""
    sent, _ = on_terminal(SHOW, NO_COLOR="1")
    assert "red and pink\n" in sent
    assert "\x1b" not in sent
    sent, _ = on_terminal(SHOW, TERM="dumb")
    assert "get  10 %\nget 100 %\n" in sent
    assert "\x1b" not in sent
    assert "\r" not in sent


def test_a_word_of_ours_stands_on_a_line_of_its_own() -> None:
    """PT-08 PT-06: behind the unfinished line of a program that is interrupted there."""
    sent, _code = interrupted_at("name? ")
    assert "name? \npenstock: cancelling" in sent, sent


def interrupted_at(prompt: str) -> tuple[str, int | None]:
    """What a terminal is sent by a run that shows this, and gets Ctrl-C then."""
    ours, theirs = pty.openpty()
    command = [*PENSTOCK, "run", "command", "--", "sh", "-c", f"printf '{prompt}'; sleep 60"]  # fmt: skip
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color"},
    ) as process:  # fmt: skip
        os.close(theirs)
        told = False

        def interrupt_once(sent: bytes) -> None:
            nonlocal told
            if not told and prompt.encode() in sent:
                told = True
                process.send_signal(signal.SIGINT)

        sent = read_terminal(ours, process, interrupt_once)
        code = process.wait(PATIENCE)
    return sent.decode().replace("\r\n", "\n"), code
