"""PT-05: `penstock run --tty` and `penstock attach`, on real terminals with real programs."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyte
import pytest

from fakes.real_daemon import RealDaemon
from penstock.processes.pseudoterminal import WindowSize

pytestmark = [pytest.mark.slow, pytest.mark.processes]

PATIENCE = 40
PENSTOCK = [sys.executable, "-m", "penstock.cli.main"]
BASH = ("run", "--tty", "--env", "PS1=ready> ", "--", "bash", "--norc")
PROMPT = "ready> "
DETACH = b"\x1c\x1c"


class Person:
    """Somebody at a terminal on which a command runs."""

    def __init__(
        self, words: list[str], environ: Mapping[str, str], size: tuple[int, int]
    ) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            if any(size):
                termios.tcsetwinsize(0, size)
            env = {**environ, "PS1": PROMPT, "TERM": "xterm-256color"}
            os.execve(words[0], words, env)
        self.seen = ""
        self.code: int | None = None

    def resize(self, rows: int, cols: int) -> None:
        termios.tcsetwinsize(self.fd, (rows, cols))

    def type(self, text: str | bytes) -> None:
        os.write(self.fd, text.encode() if isinstance(text, str) else text)

    def sees(self, text: str) -> str:
        """Wait for it; what was seen up to it, which counts as seen then."""
        give_up = time.monotonic() + PATIENCE
        while text not in self.seen:
            assert time.monotonic() < give_up, (text, self.seen)
            assert self._read(), (text, self.seen)
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def _read(self) -> bool:
        if select.select([self.fd], [], [], 1)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return False
            self.seen += data.decode(errors="replace")
        return True

    def modes(self) -> list[Any]:
        """What the terminal is set to."""
        return termios.tcgetattr(self.fd)

    def ends(self) -> int:
        """Wait for the command's end: its exit code, or minus the signal."""
        give_up = time.monotonic() + PATIENCE
        while self.code is None:
            assert time.monotonic() < give_up, self.seen
            self._read_now()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        self._read_now()
        return self.code

    def hangs_up(self) -> int:
        """Close the terminal: how the command ends."""
        os.close(self.fd)
        self.fd = -1
        return self.ends()

    def _read_now(self) -> None:
        if self.fd < 0:
            time.sleep(0.05)
            return
        with suppress(OSError):
            while select.select([self.fd], [], [], 0.1)[0]:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")


@contextmanager
def at_terminal(
    *args: str,
    environ: Mapping[str, str] | None = None,
    program: list[str] = PENSTOCK,
    size: tuple[int, int] = (0, 0),
) -> Iterator[Person]:
    person = Person([*program, *args], environ or os.environ, size)
    try:
        yield person
    finally:
        if person.code is None:
            os.kill(person.pid, signal.SIGKILL)
            os.waitpid(person.pid, 0)
        if person.fd >= 0:
            os.close(person.fd)


class Wire:
    """A way to a daemon that can be cut, and mended."""

    def __init__(self, door: socket.socket) -> None:
        self._door = door
        self.port: int = door.getsockname()[1]
        #: Where it leads; None: nowhere, now.
        self.target: int | None = None
        self._ends: list[socket.socket] = []
        self._carriers: list[threading.Thread] = []
        self._accepts = threading.Thread(target=self._accept)
        self._accepts.start()

    def cut(self) -> None:
        """Break what there is, and connect nothing."""
        self.target = None
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        self._door.shutdown(socket.SHUT_RDWR)
        for thread in (self._accepts, *self._carriers):
            thread.join(PATIENCE)
        for end in self._ends:
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._door.accept()
                if self.target is None:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self.target))
                self._ends += [near, far]
                for way in ((near, far), (far, near)):
                    self._carriers.append(threading.Thread(target=_carry, args=way))
                    self._carriers[-1].start()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def open_wire() -> Iterator[Wire]:
    with socket.create_server(("127.0.0.1", 0)) as door:
        wire = Wire(door)
        try:
            yield wire
        finally:
            wire.close()


def penstock(*args: str, code: int = 0) -> str:
    done = subprocess.run(
        [*PENSTOCK, *args],
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        text=True,
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_a_shell_is_usable(real_daemon: RealDaemon) -> None:
    """PT-05: size, terminal, job control, Ctrl-C, a new size, and the exit code."""
    with at_terminal(*BASH) as person:
        person.resize(31, 99)
        assert "job control" not in person.sees(PROMPT)
        person.type("stty size; tty\r")
        assert "/dev/pts/" in person.sees(PROMPT)
        person.type("echo begun; sleep 1000\r")
        person.sees("begun\r\n")
        person.type(b"\x03")
        person.sees(PROMPT)
        person.type("(echo be''gun; exec sleep 1000)\r")
        person.sees("begun\r\n")
        person.type(b"\x1a")
        person.sees("Stopped")
        person.type("kill %1; stty size\r")
        person.sees("31 99")
        person.type("until stty size | grep '20 70'; do sleep 0.1; done\r")
        person.resize(20, 70)
        person.sees("\r20 70")
        person.type("exit 7\r")
        assert person.ends() == 7


def test_who_detaches_comes_back_to_the_screen(real_daemon: RealDaemon) -> None:
    """PT-05: and the terminal is as it was; the program never noticed."""
    with at_terminal("run", "--tty", "--id", "r", "--", "bash", "--norc") as person:
        before = person.modes()
        person.sees("> ")
        person.type("echo 'what was' said\r")
        person.sees("what was said\r\n")
        person.type(DETACH)
        assert person.ends() == 0
        assert "penstock attach r" in person.seen
        assert person.modes() == before
    with at_terminal("attach", "r") as person:
        assert "what was said" in person.sees("what was said")
        person.type("echo a''gain\r")
        person.sees("again")
        person.type("exit\r")
        assert person.ends() == 0


def test_one_types_and_others_watch(real_daemon: RealDaemon) -> None:
    """PT-05"""
    with at_terminal("run", "--tty", "--id", "r", "--", "cat") as writer:
        writer.type("hello\r")
        writer.sees("hello\r\nhello\r\n")
        with at_terminal("attach", "r") as second:
            assert second.ends() == 125
            assert "somebody else" in second.seen
            assert "--watch" in second.seen
        with at_terminal("attach", "r", "--watch") as watcher:
            watcher.sees("hello")
            writer.type("more\r")
            watcher.sees("more")
            watcher.type("not sent\r")
            writer.type("last\r")
            assert "not sent" not in watcher.sees("last\r\nlast")
            watcher.type(DETACH)
            assert watcher.ends() == 0
        writer.type(b"\x04")
        assert writer.ends() == 0


def test_a_client_that_is_killed_leaves_its_run_going(real_daemon: RealDaemon) -> None:
    """PT-05: by a signal that it hears, and by one that it does not; another may type at once."""
    with at_terminal("run", "--tty", "--id", "r", "--", "cat") as person:
        person.type("one\r")
        person.sees("one\r\none")
        os.kill(person.pid, signal.SIGKILL)
        assert person.ends() == -signal.SIGKILL
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        with at_terminal("attach", "r") as person:
            before = person.modes()
            person.sees("one")
            person.type(f"to be ended by {number}\r")
            person.sees(f"ended by {number:d}")
            os.kill(person.pid, number)
            assert person.ends() == 128 + number
            assert person.modes() == before
    with at_terminal("attach", "r") as person:
        person.sees("one")
        assert person.hangs_up() in (128 + signal.SIGHUP, -signal.SIGHUP)
    with at_terminal("attach", "r") as person:
        person.sees("one")
        person.type(b"\x04")
        assert person.ends() == 0


FAULTS = ["raise SystemError", "raise SystemExit(3)", "raise KeyboardInterrupt", "raise MemoryError", "os.close(1)"]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_goes_wrong_here_the_terminal_is_what_it_was(fault: str) -> None:
    """PT-05: an error of ours, a signal that Python raises, an output that is closed."""
    code = (
        "import os, termios\n"
        "from penstock.cli.own_terminal import open_own_terminal\n"
        "before = termios.tcgetattr(0)\n"
        "try:\n"
        "    with open_own_terminal() as terminal:\n"
        "        terminal.take()\n"
        "        assert termios.tcgetattr(0) != before\n"
        f"        {fault}\n"
        "except BaseException: pass\n"
        "os._exit(termios.tcgetattr(0) != before)\n"
    )
    with at_terminal("-c", code, program=[sys.executable]) as person:
        assert person.ends() == 0, person.seen


@pytest.mark.usefixtures("real_daemon")
@pytest.mark.parametrize("printed", ["half", "whole\\n", "x" * 80, "x" * 80 + "\\n"])
def test_the_end_is_told_on_a_line_of_its_own_and_no_lower(printed: str) -> None:
    """PT-08: wherever the program left the cursor."""
    size = (24, 80)
    with at_terminal("run", "--tty", "--", "printf", printed, size=size) as person:
        assert person.ends() == 0
    screen = pyte.Screen(80, 24)
    pyte.Stream(screen).feed(person.seen)
    lines = [line.rstrip() for line in screen.display]
    assert lines[0] == printed.removesuffix("\\n")
    assert "exit 0" in lines[1]


def test_a_killed_daemon_gives_the_terminal_back_and_takes_the_program_along(
    real_daemon: RealDaemon,
) -> None:
    """PT-05"""
    script = "echo pid=$$ end; printf '\\033[?1049h\\033[?25l'; echo drawn; cat"
    with at_terminal("run", "--tty", "--", "sh", "-c", script) as person:
        before = person.modes()
        found = re.search(r"pid=(\d+)", person.sees("drawn"))
        assert found
        real_daemon.stop(signal.SIGKILL)
        shown = person.sees("connecting again\r\n")
        assert "\x1b[?25h\x1b[?1049l" in shown
        assert "\r\npenstock: " in shown
        assert person.modes() == before
        person.type(b"\x03")
        assert person.ends() == 130
        assert person.modes() == before
    give_up = time.monotonic() + PATIENCE
    while Path(f"/proc/{found[1]}").exists():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_whoever_waits_for_another_daemon_hears_how_the_run_ended(
    real_daemon: RealDaemon, start_daemon: Callable[..., RealDaemon]
) -> None:
    """PT-05: it has ended with the old one."""
    with at_terminal("run", "--tty", "--id", "r", "--", "cat") as person:
        before = person.modes()
        person.type("one\r")
        person.sees("one\r\none")
        real_daemon.stop(signal.SIGKILL)
        person.sees("connecting again\r\n")
        start_daemon()
        assert person.ends() == 125
        assert person.modes() == before
        assert re.search("penstock: r .*daemon", person.seen)


def test_a_lost_connection_is_made_again(
    start_daemon: Callable[..., RealDaemon],
) -> None:
    """PT-05: told in one line; the screen is drawn anew, and what was typed meanwhile is nobody's."""
    with open_wire() as wire:
        place = f"127.0.0.1:{wire.port}"
        daemon = start_daemon("--no-auth", PENSTOCK_ALLOWED_HOSTS=f'["{place}"]')
        wire.target = daemon.port
        environ = {**os.environ, "PENSTOCK_URL": f"http://{place}"}
        words = ("run", "--tty", "--id", "r", "--", "cat")
        with at_terminal(*words, environ=environ) as person:
            for word in ("one", "two"):
                person.type(f"{word}\r")
                person.sees(f"{word}\r\n{word}")
                wire.cut()
                person.sees("connecting again\r\n")
                person.type("lost")
                person.sees("lost")
                wire.target = daemon.port
                assert "\x1b[2J" in person.sees(word)
            person.type("three\r\x04")
            assert "lost" not in person.sees("three\r\nthree")
            assert person.ends() == 0


def test_a_client_that_is_stopped_and_goes_on_has_its_terminal_again(
    real_daemon: RealDaemon,
) -> None:
    """PT-05: whoever had the terminal in between may have set it otherwise."""
    with at_terminal("run", "--tty", "--", "cat") as person:
        cooked = person.modes()
        person.type("one\r")
        person.sees("one\r\none\r\n")
        raw = person.modes()
        assert raw != cooked
        os.kill(person.pid, signal.SIGSTOP)
        os.waitpid(person.pid, os.WUNTRACED)
        termios.tcsetattr(person.fd, termios.TCSANOW, cooked)
        os.kill(person.pid, signal.SIGCONT)
        person.type("two\r")
        person.sees("two")
        give_up = time.monotonic() + PATIENCE
        while person.modes() != raw:
            assert time.monotonic() < give_up
            time.sleep(0.05)
        person.type(b"\r\x04")
        assert person.ends() == 0
        assert person.modes() == cooked


def test_a_program_that_is_faster_than_who_attaches_is_seen_whole(
    real_daemon: RealDaemon,
) -> None:
    """PT-05"""
    for number in range(3):
        with at_terminal("run", "--tty", "--", "seq", "100") as person:
            assert person.ends() == 0, number
            assert "1\r\n2\r\n3" in person.seen
            assert "99\r\n100" in person.seen


def test_a_terminal_of_no_size_is_a_usual_one(real_daemon: RealDaemon) -> None:
    """PT-05"""
    with at_terminal("run", "--tty", "--", "sh", "-c", "stty size; read x") as person:
        person.sees(f"{WindowSize().rows} {WindowSize().cols}")
        person.type("\r")
        assert person.ends() in (0, 1)


def test_a_terminal_that_is_too_large_is_a_large_one(real_daemon: RealDaemon) -> None:
    """PT-05: from the beginning, and when it grows."""
    script = "until stty size | grep '1000 1000'; do sleep 0.1; done"
    with at_terminal(
        "run", "--tty", "--id", "r", "--", "sh", "-c", f"{script}; read x; {script}"
    ) as person:
        person.resize(65535, 65535)
        person.sees("1000 1000")
        person.resize(10, 10)
        person.type(DETACH)
        assert person.ends() == 0
    with at_terminal("attach", "r", size=(65535, 65535)) as person:
        person.type("\r")
        person.sees("1000 1000")
        assert person.ends() == 0


def test_what_cannot_be_attached_to_is_said(real_daemon: RealDaemon) -> None:
    """PT-05: ended runs, runs without a terminal, none at all; and where there is no terminal here."""
    penstock("run", "command", "--id", "ended", "--", "true")
    penstock("submit", "command", "--id", "deaf", "--", "sleep", "1000")
    penstock("submit", "command", "--id", "open", "--stdin", "open", "--", "cat")
    told = {"ended": "takes no input", "deaf": "takes no input", "open": "has no terminal", "none": "there is no run"}  # fmt: skip
    for run_id, words in told.items():
        with at_terminal("attach", run_id) as person:
            before = person.modes()
            assert person.ends() == (125 if run_id == "none" else 2)
            assert words in person.seen
            assert person.modes() == before
    assert "must be a terminal" in penstock("attach", "open", code=125)
    assert "must be a terminal" in penstock("run", "--tty", "--", "true", code=125)
    penstock("cancel", "deaf", "open")


def test_a_run_that_was_submitted_is_attached_to_later(real_daemon: RealDaemon) -> None:
    """PT-05"""
    penstock("submit", "--tty", "--id", "r", "--", "cat")
    with at_terminal("attach", "r") as person:
        person.type("here\r")
        person.sees("here\r\nhere")
        person.type(b"\x04")
        assert person.ends() == 0
    with at_terminal("attach", "r") as person:
        assert person.ends() == 125
        assert "has ended" in person.seen


def test_without_a_daemon_it_is_not_left_and_ends_with_its_terminal() -> None:
    """PT-05: a hang-up ends it, with proof."""
    with at_terminal(
        "run", "--tty", "--", "sh", "-c", "echo pid=$$ end; cat"
    ) as person:
        found = re.search(r"pid=(\d+)", person.sees("end"))
        assert found
        person.type(DETACH)
        person.sees("cannot be left")
        person.type("still\r")
        person.sees("still")
        os.kill(person.pid, signal.SIGHUP)
        assert person.ends() == 128 + signal.SIGHUP
        assert not Path(f"/proc/{found[1]}").exists()
    with at_terminal("run", "--tty", "--", "sh", "-c", "tty; exit 0") as person:
        assert person.ends() == 0
        assert "/dev/pts" in person.seen
