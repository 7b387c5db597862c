"""PT-08: why a run waits is told after a second, and again when the reason changes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from fakes.foreign_daemon import story
from penstock.cli.notes import RunNotes
from penstock.cli.patience import (
    LONGEST_PAUSE_SECONDS,
    LONGEST_QUIET_SECONDS,
    TOLD_AFTER_SECONDS,
    Telling,
    tell_submitting,
)
from penstock.client.told import ToldFact
from penstock.words.errors import DaemonUnreachable, QueueFull
from penstock.words.lifecycle import State
from penstock.words.printed import ShownFact

PAUSED = "The queue is paused (lunch)."


@dataclass
class ExplainingDaemon:
    """Says why each run waits, and when it was asked."""

    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[float] = field(default_factory=list)
    now: float = 0.0

    def says(self, run_id: str, state: str, *reasons: str, child: str = "", code: str = "x") -> None:  # fmt: skip
        told = [{"code": "child" if child else code, "text": r, "runs": [child] if child else []}
                for r in reasons]  # fmt: skip
        self.answers[run_id] = {"run_id": run_id, "state": state, "reasons": told}

    def why(self, run_id: str) -> dict[str, Any]:
        self.asked.append(self.now)
        if run_id not in self.answers:
            raise DaemonUnreachable
        return self.answers[run_id]

    def wait(self, telling: Telling, seconds: float) -> None:
        """Let so much time pass, and tell whatever is due meanwhile."""
        until = self.now + seconds
        while (due := telling.due(self.now)) is not None and due <= until:
            self.now = max(due, self.now)
            telling.tell(self.now)
        self.now = until


class NobodyReads:
    """Takes facts."""

    def write(self, facts: Iterable[ShownFact]) -> None:
        pass

    def end_line(self) -> None:
        pass


def notes(state: State = "queued") -> RunNotes:
    return RunNotes("r", "command", state, NobodyReads())


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    told = capsys.readouterr()
    assert told.out == ""
    return told.err.splitlines()


def facts_of(*numbers: int) -> list[ToldFact]:
    told = story("r")
    return [ToldFact(told[number]) for number in numbers]


def test_a_wait_is_told_after_a_second_on_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PT-08"""
    daemon = ExplainingDaemon()
    daemon.says("r", "queued", PAUSED, "It is the first in line.")
    telling = Telling(daemon, notes(), quiet=False)
    daemon.wait(telling, TOLD_AFTER_SECONDS - 0.01)
    assert said(capsys) == []
    daemon.wait(telling, 0.02)
    assert said(capsys) == [
        "penstock: queued: the queue is paused (lunch); it is the first in line"
    ]


def test_it_is_told_again_only_when_the_reason_changes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PT-08"""
    daemon = ExplainingDaemon()
    daemon.says("r", "queued", PAUSED)
    telling = Telling(daemon, notes(), quiet=False, prefix="r: ")
    daemon.wait(telling, 100)
    assert said(capsys) == ["penstock: r: queued: the queue is paused (lunch)"]
    daemon.says("r", "queued", "Both slots are taken.")
    daemon.wait(telling, LONGEST_PAUSE_SECONDS)
    assert said(capsys) == ["penstock: r: queued: both slots are taken"]


def test_a_wait_of_hours_asks_a_bounded_number_of_times() -> None:
    """PT-08: no polling: each pause is twice the last, up to a limit."""
    daemon = ExplainingDaemon()
    daemon.says("r", "queued", PAUSED)
    daemon.wait(Telling(daemon, notes(), quiet=False), 3600)
    assert len(daemon.asked) < 3600 / LONGEST_PAUSE_SECONDS + 6
    pauses = [b - a for a, b in zip(daemon.asked, daemon.asked[1:], strict=False)]
    assert pauses == sorted(pauses)


def test_of_a_run_that_executes_nothing_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PT-08: and it is asked about seldom."""
    daemon, noted = ExplainingDaemon(), notes()
    daemon.says("r", "queued", PAUSED)
    telling = Telling(daemon, noted, quiet=False)
    daemon.wait(telling, TOLD_AFTER_SECONDS / 2)
    noted.write(facts_of(0, 1))
    daemon.says("r", "running", "It has a slot and executes.")
    daemon.wait(telling, LONGEST_PAUSE_SECONDS - 1)
    assert daemon.asked == []
    daemon.wait(telling, 3600)
    assert said(capsys) == []
    assert len(daemon.asked) < 3600 / LONGEST_QUIET_SECONDS + 3


@pytest.mark.parametrize(
    "count",
    [
        "Its box loft is lost: silent for {} s.",
        "It starts in {} min, at 2026-12-01 08:00:00 UTC.",
    ],
)
def test_a_time_that_passes_is_no_other_reason(
    count: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """PT-08: a person that waits for hours reads a line, and not one for each second of them."""
    daemon = ExplainingDaemon()
    telling = Telling(daemon, notes(), quiet=False)
    for number in (130, 120, 7, 1):
        daemon.says("r", "queued", count.format(number))
        daemon.wait(telling, LONGEST_PAUSE_SECONDS)
    assert len(said(capsys)) == 1


def test_a_run_whose_box_is_silent_is_told_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PT-08, MB-05: its end would not come out until it is heard of, or its lease is over."""
    daemon = ExplainingDaemon()
    telling = Telling(daemon, notes("running"), quiet=False)
    silent = "Its box loft is silent for 50 s; how it has been since then is not known."
    executes = "It has a slot and executes; it began 60 s ago."
    daemon.says("r", "running", executes)
    daemon.wait(telling, LONGEST_QUIET_SECONDS)
    assert said(capsys) == []
    daemon.says("r", "running", silent, code="box")
    daemon.wait(telling, LONGEST_QUIET_SECONDS)
    assert said(capsys) == [
        "penstock: running: its box loft is silent for 50 s; how it has been since then is not known"
    ]
    # It is heard of again, and then no more.
    daemon.says("r", "running", executes)
    daemon.wait(telling, LONGEST_QUIET_SECONDS)
    daemon.says("r", "running", silent, code="box")
    daemon.wait(telling, LONGEST_QUIET_SECONDS)
    assert len(said(capsys)) == 1


def test_a_run_whose_end_cannot_be_recorded_is_told_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PT-08 ST-05 Bad: a full disk; the program may be over for long."""
    daemon, noted = ExplainingDaemon(), notes("running")
    daemon.says("r", "running", "It has a slot and executes.")
    telling = Telling(daemon, noted, quiet=False)
    daemon.wait(telling, 100)
    assert said(capsys) == []
    daemon.says("r", "running", "The log takes nothing (disk full).", code="log")
    daemon.wait(telling, LONGEST_QUIET_SECONDS)
    told = "penstock: running: the log takes nothing (disk full)"
    assert said(capsys) == [told]
    # Once it has ended nobody is asked any more.
    noted.write(facts_of(0, 1, -1))
    assert telling.due(daemon.now) is None


def test_a_state_that_is_new_is_waited_out_for_a_second_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PT-08: what is told is never the reason of a moment."""
    daemon, noted = ExplainingDaemon(), notes()
    daemon.says("r", "waiting", PAUSED)
    telling = Telling(daemon, noted, quiet=False)
    daemon.wait(telling, TOLD_AFTER_SECONDS * 0.9)
    noted.write(facts_of(0, 1))
    noted.write([ToldFact({**story()[1], "event": {"type": "run.waiting"}})])
    daemon.wait(telling, TOLD_AFTER_SECONDS * 0.9)
    assert daemon.asked == []
    daemon.wait(telling, TOLD_AFTER_SECONDS)
    assert said(capsys) == ["penstock: waiting: the queue is paused (lunch)"]


def test_what_changed_while_it_was_asked_is_not_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PT-08: the daemon may know already that it runs."""
    daemon = ExplainingDaemon()
    daemon.says("r", "running", "It has a slot and executes; it began 0 s ago.")
    daemon.wait(Telling(daemon, notes(), quiet=False), 100)
    assert said(capsys) == []


def test_a_daemon_that_does_not_answer_is_asked_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PT-08 Bad: who follows the run meets the same, and says it."""
    daemon = ExplainingDaemon()
    telling = Telling(daemon, notes(), quiet=False)
    daemon.wait(telling, 10)
    daemon.says("r", "queued", PAUSED)
    daemon.wait(telling, LONGEST_PAUSE_SECONDS)
    assert said(capsys) == ["penstock: queued: the queue is paused (lunch)"]


def test_a_run_that_waits_for_a_queued_child_tells_why_the_child_waits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PT-08"""
    daemon = ExplainingDaemon()
    daemon.says("r", "waiting", "It waits for its child r.c.", child="r.c")
    daemon.says("r.c", "queued", PAUSED)
    telling = Telling(daemon, notes("waiting"), quiet=False)
    daemon.wait(telling, TOLD_AFTER_SECONDS + 0.1)
    assert said(capsys) == [
        "penstock: its child r.c is queued: the queue is paused (lunch)"
    ]
    daemon.says("r.c", "running", "It has a slot.")
    daemon.wait(telling, 100)
    assert said(capsys) == []


class Unfinished(NobodyReads):
    """Has written a line that the program has not ended."""

    def end_line(self) -> None:
        print(file=sys.stderr)


def test_a_reason_stands_on_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PT-08: a program may have asked for a word, and its run wait for a child since."""
    daemon = ExplainingDaemon()
    daemon.says("r", "waiting", PAUSED)
    noted = RunNotes("r", "command", "waiting", Unfinished())
    daemon.wait(Telling(daemon, noted, quiet=False), LONGEST_PAUSE_SECONDS)
    assert said(capsys) == ["", "penstock: waiting: the queue is paused (lunch)"]


def test_quiet_asks_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    """PT-08"""
    daemon = ExplainingDaemon()
    daemon.says("r", "queued", PAUSED)
    daemon.wait(Telling(daemon, notes(), quiet=True), 100)
    assert (said(capsys), daemon.asked) == ([], [])


class PassedTimer(threading.Timer):
    """A timer whose seconds have passed when it is started."""

    def start(self) -> None:
        self.function()


class SlowTimer(threading.Timer):
    """A timer whose seconds do not pass while the command lasts."""

    def start(self) -> None:
        pass


@pytest.mark.parametrize(
    ("timer", "quiet", "told"),
    [
        (SlowTimer, False, []),
        (PassedTimer, True, []),
        (
            PassedTimer,
            False,
            ["penstock: not queued yet: waits for room in the queue"],
        ),
    ],
)
def test_waiting_for_room_in_the_queue_is_told(
    capsys: pytest.CaptureFixture[str],
    timer: Callable[..., threading.Timer],
    quiet: bool,
    told: list[str],
) -> None:
    """PT-08"""
    assert tell_submitting(lambda: "reply", quiet=quiet, timer=timer) == "reply"
    assert said(capsys) == told


def test_what_fails_meanwhile_comes_out_as_itself() -> None:
    """PT-08"""

    def refuse() -> str:
        raise QueueFull

    with pytest.raises(QueueFull):
        tell_submitting(refuse, quiet=False)
