"""CL-05: a person is told on the terminal: a bell and a notification at the end, the title meanwhile."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fakes.house_beside import HouseBeside
from fakes.penstock_command import Penstock
from fakes.real_daemon import RealDaemon
from penstock.cli.bell import notification, ring_end, ring_seconds, title_of
from penstock.cli.notes import RunNotes
from penstock.cli.render import LineWriter
from penstock.client.told import ToldFact

#: Seconds for a command; a loaded box may take its time.
PATIENCE = 60
NOW = datetime(2030, 1, 1, tzinfo=UTC)
PENSTOCK = (sys.executable, "-m", "penstock.cli.main")


def notes_of(lasted: float) -> RunNotes:
    """A run that has ended after so many seconds."""
    notes = RunNotes("r-1", "command", "running", LineWriter(lambda _fact: None), name="tests", began=NOW)  # fmt: skip
    told: dict[str, Any] = {
        "position": 9, "sequence": 3, "run_id": "r-1", "at": (NOW + timedelta(seconds=lasted)).isoformat(),
        "event": {"type": "run.failed", "reason": "error", "error": "exit status 2", "details": {"exit_code": 2}},
    }  # fmt: skip
    notes.write([ToldFact(told)])
    return notes


@pytest.fixture
def on_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is captured passes for a terminal."""
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda _: True)


@pytest.mark.usefixtures("on_terminal")
@pytest.mark.parametrize(
    ("lasted", "environ", "always", "rings"),
    [
        (31, {}, False, True),
        (29, {}, False, False),
        (0, {}, True, True),
        (5, {"PENSTOCK_RING": "5"}, False, True),
        (500, {"PENSTOCK_RING": "never"}, False, False),
        (31, {"PENSTOCK_RING": "soon"}, False, True),
    ],
)
def test_the_end_of_a_long_run_rings(
    capsys: pytest.CaptureFixture[str],
    lasted: float,
    environ: Mapping[str, str],
    always: bool,
    rings: bool,
) -> None:
    """CL-05"""
    ring_end(notes_of(lasted), {"TERM": "xterm", **environ}, always=always)
    said = capsys.readouterr()
    assert ("\a" in said.err, said.out) == (rings, "")
    if rings:
        assert "tests  exit 2 after " in said.err


def test_nobody_rings_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """CL-05: nor in a pipe."""
    ring_end(notes_of(500), {"TERM": "xterm"}, always=True)
    assert capsys.readouterr().err == ""
    assert ring_seconds({"PENSTOCK_RING": "never"}) is None


@pytest.mark.parametrize(
    ("environ", "begins"),
    [
        ({"TERM": "xterm-256color"}, "\x1b]9;penstock: done"),
        ({"TERM": "foot"}, "\x1b]777;notify;penstock;penstock: done"),
        ({"TERM": "xterm", "VTE_VERSION": "6800"}, "\x1b]777;notify;"),
        ({"TERM": "screen"}, "\a"),
        ({"TERM": "xterm", "TMUX": "x"}, "\a"),
        ({}, "\a"),
    ],
)
def test_each_terminal_gets_what_it_understands(
    environ: Mapping[str, str], begins: str
) -> None:
    """CL-05"""
    said = notification(environ, "done")
    assert said.startswith(begins)
    assert said.endswith("\a")


def test_what_is_notified_commands_no_terminal() -> None:
    """CL-05: a run's name is anybody's."""
    said = notification({"TERM": "foot"}, "a\x1b]0;owned\x07b;c")
    assert said.count("\x1b") == 2
    assert said.count("\a") == 1
    assert "b,c" in said


def test_the_title_tells_how_far_a_run_is() -> None:
    """CL-05"""
    notes = notes_of(1)
    assert title_of(notes) == "▶ tests"
    notes.progress = 0.62
    assert title_of(notes) == "▶ 62 % tests"


def test_without_a_terminal_nobody_can_be_rung(
    penstock: Penstock, daemon: HouseBeside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CL-05: the run is started all the same, and it is said."""

    open_file = os.open

    def no_terminal(path: Any, *others: Any, **more: Any) -> int:
        if path == "/dev/tty":
            raise OSError(6, "no such device", path)
        return open_file(path, *others, **more)

    monkeypatch.setattr("penstock.cli.bell.os.open", no_terminal)
    result = penstock("submit", "--notify", "--id", "r", "--", "true")
    assert (result.exit_code, result.stdout) == (2, "r\n")
    assert "needs a terminal" in result.stderr
    daemon.wait_ended("r")


@contextmanager
def terminal_of(*words: str) -> Iterator[int]:
    """What such a command shows on a terminal of its own; it is ended with this."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *words], stdin=slave, stdout=slave, stderr=slave,
        env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(slave)
    try:
        yield master
    finally:
        process.kill()
        process.wait()
        os.close(master)


def read_until(master: int, *texts: str) -> str:
    """What is shown until all of these stand there."""
    said, deadline = "", time.monotonic() + PATIENCE
    while not all(text in said for text in texts):
        ready, _, _ = select.select([master], [], [], deadline - time.monotonic())
        assert ready, said
        said += os.read(master, 65536).decode(errors="replace")
    return said


@pytest.mark.slow
@pytest.mark.processes
def test_a_submit_that_has_gone_rings_once_when_the_run_ends(
    real_daemon: RealDaemon,
) -> None:
    """CL-05: the command is over at once, also for who reads what it prints."""
    submit = " ".join((*PENSTOCK, "submit", "command", "-n", "--id", "r", "--stdin", "open", "--", "cat"))  # fmt: skip
    script = f"echo got $({submit}) back; exec sleep 600"
    with terminal_of("bash", "-c", script) as master:
        read_until(master, "got r back")
        subprocess.run([*PENSTOCK, "send", "r", "--eof"], check=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)  # fmt: skip
        said = read_until(master, "\x1b]9;", "\a")
        assert "r  exit 0 after " in said


@pytest.mark.slow
@pytest.mark.processes
def test_follow_shows_how_far_it_is_in_the_title(real_daemon: RealDaemon) -> None:
    """CL-05: and gives the terminal its own title back."""
    line = "echo 62 %; read line"
    subprocess.run(
        [*PENSTOCK, "submit", "command", "--id", "r", "--stdin", "open", "--shell", line],
        check=True, timeout=PATIENCE,
    )  # fmt: skip
    with terminal_of(*PENSTOCK, "follow", "r") as master:
        said = read_until(master, "\x1b]2;▶ 62 % r")
        assert said.index("\x1b[22;2t") < said.index("\x1b]2;")
        subprocess.run([*PENSTOCK, "send", "r", "--eof"], check=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)  # fmt: skip
        read_until(master, "\x1b[23;2t")
