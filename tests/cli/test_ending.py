"""PT-01 PT-08: how a run's end is told: one line on a terminal, and in a pipe only what no program said."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from fakes.foreign_daemon import fact
from penstock.cli.notes import RunNotes
from penstock.cli.run_end import duration, tell_end
from penstock.client.told import ToldFact
from penstock.words.printed import ShownFact
from penstock.words.sentences import left_line


class NobodyReads:
    """Takes facts."""

    def write(self, facts: Iterable[ShownFact]) -> None:
        pass

    def end_line(self) -> None:
        pass


def failed(error: str = "exit status 2", reason: str = "error", **details: Any) -> Any:
    return {"type": "run.failed", "reason": reason, "error": error, "details": details}


EXITED = failed(exit_code=2, signal=None)
KILLED = failed("killed by SIGKILL", exit_code=None, signal=9)
STOPPED = failed("the daemon stopped", reason="shutdown")
CANCELLED = {"type": "run.cancelled", "reason": "requested"}
COMPLETED = {"type": "run.completed", "result": {"exit_code": 0}}


def told(
    end: dict[str, Any] | None,
    *,
    name: str = "",
    leftover: int = 0,
    quiet: bool = False,
) -> int:
    """Tell the end of a run that began at once and took 4 min 12 s."""
    labels = {"name": name} if name else {}
    events: list[dict[str, Any]] = [
        {"type": "run.queued", "kind": "command", "priority": 20, "labels": labels},
        {"type": "run.started", "kind": "command"},
        {"type": "process.exited", "pid": 1, "exit_code": 2, "leftover": leftover},
    ]
    envelopes = [fact(n, n, event) for n, event in enumerate(events, 1)]
    if end is not None:
        envelopes.append({**fact(4, 4, end), "at": "2026-01-02T03:08:17.000000Z"})
    facts = [ToldFact(envelope) for envelope in envelopes]
    notes = RunNotes("r", "command", "queued", NobodyReads())
    notes.write(facts)
    # As after a connection that was lost.
    notes.write(facts)
    return tell_end(notes, quiet=quiet)


@pytest.mark.parametrize(
    ("end", "code", "line"),
    [
        (EXITED, 2, "✗ tests  exit 2 after 4:12"),
        (KILLED, 137, "✗ tests  killed by SIGKILL after 4:12"),
        (CANCELLED, 143, "■ tests  cancelled (requested) after 4:12"),
        (COMPLETED, 0, "✓ tests  exit 0 after 4:12"),
        (STOPPED, 125, "penstock: r failed: the daemon stopped"),
    ],
)
def test_the_end_is_one_line_on_a_terminal(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    end: dict[str, Any],
    code: int,
    line: str,
) -> None:
    """PT-08; PT-01: a failure of Penstock's own begins with its name, there too."""
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda _: True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert told(end, name="tests") == code
    assert capsys.readouterr().err == f"{line}\n"


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (EXITED, ""),
        (COMPLETED, ""),
        (KILLED, "penstock: r failed: killed by SIGKILL\n"),
        (CANCELLED, "penstock: r was cancelled: requested\n"),
        (STOPPED, "penstock: r failed: the daemon stopped\n"),
    ],
)
def test_a_pipe_gets_only_what_no_program_said(
    capsys: pytest.CaptureFixture[str], end: dict[str, Any], said: str
) -> None:
    """PT-01"""
    told(end)
    assert capsys.readouterr().err == said


def test_what_was_left_behind_is_counted_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PT-08"""
    told(EXITED, leftover=2)
    assert capsys.readouterr().err == "penstock: 2 processes it left were ended\n"
    assert left_line(1) == "1 process it left was ended"
    told(EXITED, leftover=2, quiet=True)
    assert capsys.readouterr().err == ""


def test_quiet_keeps_what_no_program_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PT-01"""
    assert told(CANCELLED, quiet=True) == 143
    assert capsys.readouterr().err == "penstock: r was cancelled: requested\n"
    assert told(STOPPED, quiet=True) == 125
    assert capsys.readouterr().err.startswith("penstock: ")
    assert told(KILLED, quiet=True) == 137
    assert capsys.readouterr().err == ""


def test_a_story_without_an_end_is_a_failure_of_penstocks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PT-01"""
    assert told(None) == 125
    assert capsys.readouterr().err.startswith("penstock: r has not ended")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0:00"), (252, "4:12"), (3852, "1:04:12"), (-1, "0:00"), (90000, "25:00:00")],
)  # fmt: skip
def test_a_duration_is_that_of_a_stopwatch(seconds: float, text: str) -> None:
    """PT-08"""
    assert duration(timedelta(seconds=seconds)) == text
