"""AG-02: a key that is pressed on a real terminal answers, and the terminal is then what it was."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from fakes.house_beside import HouseBeside
from fakes.terminal_reading import read_terminal
from penstock.pipeline import Inputs, Kind, Output, Run

pytestmark = [pytest.mark.processes, pytest.mark.sockets]

#: Seconds; a loaded box may take its time.
PATIENCE = 60
#: Takes standard input for the terminal of its session, as a shell sees to it.
CODE = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from penstock.cli.main import main
main()
"""
#: Seconds between two presses of somebody who waits for something to happen.
AGAIN_SECONDS = 0.7


async def ask(run: Run, _inputs: Inputs) -> Output:
    """Ask one thing."""
    await run.ask(
        "one", "May I?", ("allow", "deny"), details={"command": "rm -rf build"}
    )
    return Output()


ASKS = Kind("asks", "Asks", Inputs, Output, ask)


@pytest.fixture
def kinds() -> tuple[Kind, ...]:
    return (ASKS,)


@dataclass
class Followed:
    """What a terminal was sent by `penstock follow r`, the exit code, and how it was before and after."""

    said: str
    code: int
    before: list[Any]
    after: list[Any]


def followed(act: Callable[[int, subprocess.Popen[bytes]], object]) -> Followed:
    """Follow the run; `act` is called again and again while its question stands there."""
    ours, theirs = pty.openpty()
    kept = os.dup(ours)
    before = termios.tcgetattr(theirs)
    stands, over = threading.Event(), threading.Event()
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, "follow", "r"],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color", "NO_COLOR": "1"},
    )  # fmt: skip
    os.close(theirs)

    def press() -> None:
        stands.wait(PATIENCE)
        while not over.wait(AGAIN_SECONDS):
            with suppress(OSError):
                act(kept, process)

    presser = threading.Thread(target=press)
    presser.start()
    try:
        with process:
            sent = read_terminal(
                ours, process, lambda sent: stands.set() if b"[a]llow" in sent else None
            )
            code = process.wait(PATIENCE)
        after = termios.tcgetattr(kept)
    finally:
        stands.set()
        over.set()
        presser.join(PATIENCE)
        os.close(kept)
    return Followed(sent.decode().replace("\r\n", "\n"), code, before, after)


@pytest.fixture
def asking(daemon: HouseBeside) -> HouseBeside:
    daemon.submit("asks", run_id="r")
    return daemon


def test_a_key_answers_without_enter(asking: HouseBeside) -> None:
    """AG-02"""
    seen = followed(lambda terminal, _process: os.write(terminal, b"d"))
    assert seen.code == 0, seen.said
    assert "  $ rm -rf build\n  [a]llow  [d]eny  [l]ater\n" in seen.said
    assert asking.view("r").asks["one"].answer == "deny"
    assert seen.after == seen.before


@pytest.mark.parametrize("how", [b"\x03", signal.SIGTERM])
def test_who_leaves_answers_nothing_and_has_the_terminal_back(
    asking: HouseBeside, how: bytes | int
) -> None:
    """AG-02: by Ctrl-C or a signal, in the midst of a question."""

    def leave(terminal: int, process: subprocess.Popen[bytes]) -> None:
        if isinstance(how, bytes):
            os.write(terminal, how)
        else:
            process.send_signal(how)

    seen = followed(leave)
    assert seen.code in (130, 143)
    assert "left; r goes on" in seen.said
    assert asking.view("r").asks["one"].answer is None
    assert seen.after == seen.before
