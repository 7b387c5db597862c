"""DU-01: a verb that changes something, without an ID on a terminal, asks which run is meant."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from fakes.penstock_command import Penstock
from fakes.real_daemon import RealDaemon
from fakes.terminal_reading import read_terminal

pytestmark = [pytest.mark.slow, pytest.mark.processes]

#: Seconds; a loaded box may take its time.
PATIENCE = 60
PENSTOCK = [sys.executable, "-m", "penstock.cli.main"]


def asked(
    verb: str, answer: Callable[[int, subprocess.Popen[bytes]], object]
) -> tuple[str, int]:
    """What a terminal is sent by `penstock VERB` whose question is answered so, and the exit code."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*PENSTOCK, verb], stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True, env={**os.environ, "TERM": "xterm-256color"},
    ) as process:  # fmt: skip
        os.close(theirs)
        told = False

        def answer_once(sent: bytes) -> None:
            nonlocal told
            if not told and b"which run" in sent:
                told = True
                answer(ours, process)

        sent = read_terminal(ours, process, answer_once)
        code = process.wait(PATIENCE)
    return sent.decode().replace("\r\n", "\n"), code


@pytest.fixture
def queued(penstock: Penstock, real_daemon: RealDaemon) -> list[str]:
    """Two runs that are put aside."""
    return [
        penstock("submit", "--stash", "--name", name, "--", "true").stdout.strip()
        for name in ("one", "two")
    ]


def state_of(penstock: Penstock, run_id: str) -> str:
    return penstock("list", run_id).stdout.split("\n")[1]


def test_the_run_whose_number_is_typed_is_meant(
    penstock: Penstock, queued: list[str]
) -> None:
    """DU-01: each candidate stands there with its number, its name and its command."""
    sent, code = asked("cancel", lambda ours, _: os.write(ours, b"1\n"))
    assert code == 0, sent
    for said in ("1 one: true (queued)", "2 two: true (queued)", "cancel which run: "):
        assert said in sent
    assert "cancelled" in state_of(penstock, queued[0])
    assert "stashed" in state_of(penstock, queued[1])


def test_who_starts_a_run_is_told_the_number_to_type(
    penstock: Penstock, queued: list[str]
) -> None:
    """DU-01: beside the id, which is the data; a pipe gets nothing else."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*PENSTOCK, "retry", queued[0]], stdout=theirs, stderr=theirs
    ) as refused:
        assert refused.wait(PATIENCE) == 2
    with subprocess.Popen(
        [*PENSTOCK, "submit", "--stash", "--", "true"], stdout=theirs, stderr=theirs
    ) as submits:
        assert submits.wait(PATIENCE) == 0
    os.close(theirs)
    sent = read_terminal(ours, submits).decode().splitlines()
    assert "penstock: it has number 3" in sent, sent
    assert penstock("submit", "--", "true").stderr == ""


def test_a_word_that_means_none_changes_nothing(
    penstock: Penstock, queued: list[str]
) -> None:
    """DU-01"""
    sent, code = asked("cancel", lambda ours, _: os.write(ours, b"77\n"))
    assert code == 3, sent
    assert all("stashed" in state_of(penstock, run_id) for run_id in queued)


def test_the_question_can_be_left(penstock: Penstock, queued: list[str]) -> None:
    """DU-01: by Ctrl-C, and by the end of the input."""

    def interrupt(_ours: int, process: subprocess.Popen[bytes]) -> None:
        # Python heeds one that comes just before it reads with the next.
        def again() -> None:
            while process.poll() is None:
                process.send_signal(signal.SIGINT)
                time.sleep(0.2)

        threading.Thread(target=again, daemon=True).start()

    for leave in (interrupt, lambda ours, _: os.write(ours, b"\x04")):
        sent, code = asked("cancel", leave)
        assert code not in (0, None), sent
        assert "Traceback" not in sent
    assert all("stashed" in state_of(penstock, run_id) for run_id in queued)
