"""PT-08: why a run waits is told after a second, and again when the reason changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
import trio.testing

from fakes.foreign_daemon import story
from penstock.cli.notes import RunNotes
from penstock.cli.patience import (
    LONGEST_PAUSE_SECONDS,
    TOLD_AFTER_SECONDS,
    open_telling,
    tell_submitting,
)
from penstock.words.errors import DaemonUnreachable, QueueFull
from penstock.words.lifecycle import State
from penstock.words.recorded import Recorded

Clock = trio.testing.MockClock
PAUSED = "The queue is paused (lunch)."


@dataclass
class ExplainingDaemon:
    """Says why each run waits, and when it was asked."""

    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[float] = field(default_factory=list)

    def says(self, run_id: str, state: str, *reasons: str, child: str = "") -> None:
        told = [{"code": "child" if child else "x", "text": r, "runs": [child] if child else []}
                for r in reasons]  # fmt: skip
        self.answers[run_id] = {"run_id": run_id, "state": state, "reasons": told}

    async def why(self, run_id: str) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        self.asked.append(trio.current_time())
        if run_id not in self.answers:
            raise DaemonUnreachable
        return self.answers[run_id]


class NobodyReads:
    """Takes facts."""

    async def write(self, facts: Iterable[Recorded]) -> None:
        await trio.lowlevel.checkpoint()


def notes(state: State = "queued") -> RunNotes:
    return RunNotes("r", "command", state, NobodyReads())


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    told = capsys.readouterr()
    assert told.out == ""
    return told.err.splitlines()


def facts_of(*numbers: int) -> list[Recorded]:
    told = story("r")
    return [Recorded.from_wire(told[number]) for number in numbers]


async def test_a_wait_is_told_after_a_second_on_stderr(
    capsys: pytest.CaptureFixture[str], autojump_clock: Clock
) -> None:
    """PT-08"""
    daemon = ExplainingDaemon()
    daemon.says("r", "queued", PAUSED, "It is the first in line.")
    async with open_telling(daemon, notes(), quiet=False):
        await trio.sleep(TOLD_AFTER_SECONDS - 0.01)
        assert said(capsys) == []
        await trio.sleep(0.02)
        assert said(capsys) == [
            "penstock: queued: the queue is paused (lunch); it is the first in line"
        ]


async def test_it_is_told_again_only_when_the_reason_changes(
    capsys: pytest.CaptureFixture[str], autojump_clock: Clock
) -> None:
    """PT-08"""
    daemon = ExplainingDaemon()
    daemon.says("r", "queued", PAUSED)
    async with open_telling(daemon, notes(), quiet=False, prefix="r: "):
        await trio.sleep(100)
        assert said(capsys) == ["penstock: r: queued: the queue is paused (lunch)"]
        daemon.says("r", "queued", "Both slots are taken.")
        await trio.sleep(LONGEST_PAUSE_SECONDS)
        assert said(capsys) == ["penstock: r: queued: both slots are taken"]


async def test_a_wait_of_hours_asks_a_bounded_number_of_times(
    autojump_clock: Clock,
) -> None:
    """PT-08: no polling: each pause is twice the last, up to a limit."""
    daemon = ExplainingDaemon()
    daemon.says("r", "queued", PAUSED)
    async with open_telling(daemon, notes(), quiet=False):
        await trio.sleep(3600)
    assert len(daemon.asked) < 3600 / LONGEST_PAUSE_SECONDS + 6
    pauses = [b - a for a, b in zip(daemon.asked, daemon.asked[1:], strict=False)]
    assert pauses == sorted(pauses)


async def test_a_run_that_starts_is_asked_about_no_more(
    capsys: pytest.CaptureFixture[str], autojump_clock: Clock
) -> None:
    """PT-08"""
    daemon, noted = ExplainingDaemon(), notes()
    daemon.says("r", "queued", PAUSED)
    async with open_telling(daemon, noted, quiet=False):
        await trio.sleep(TOLD_AFTER_SECONDS / 2)
        await noted.write(facts_of(0, 1))
        await trio.sleep(100)
    assert (said(capsys), daemon.asked) == ([], [])


async def test_what_changed_while_it_was_asked_is_not_told(
    capsys: pytest.CaptureFixture[str], autojump_clock: Clock
) -> None:
    """PT-08: the daemon may know already that it runs."""
    daemon = ExplainingDaemon()
    daemon.says("r", "running", "It has a slot and executes; it began 0 s ago.")
    async with open_telling(daemon, notes(), quiet=False):
        await trio.sleep(100)
    assert said(capsys) == []


async def test_a_daemon_that_does_not_answer_is_asked_again(
    capsys: pytest.CaptureFixture[str], autojump_clock: Clock
) -> None:
    """PT-08 Bad: who follows the run meets the same, and says it."""
    daemon = ExplainingDaemon()
    async with open_telling(daemon, notes(), quiet=False):
        await trio.sleep(10)
        daemon.says("r", "queued", PAUSED)
        await trio.sleep(LONGEST_PAUSE_SECONDS)
    assert said(capsys) == ["penstock: queued: the queue is paused (lunch)"]


async def test_a_run_that_waits_for_a_queued_child_tells_why_the_child_waits(
    capsys: pytest.CaptureFixture[str], autojump_clock: Clock
) -> None:
    """PT-08"""
    daemon = ExplainingDaemon()
    daemon.says("r", "waiting", "It waits for its child r.c.", child="r.c")
    daemon.says("r.c", "queued", PAUSED)
    async with open_telling(daemon, notes("waiting"), quiet=False):
        await trio.sleep(TOLD_AFTER_SECONDS + 0.1)
        assert said(capsys) == [
            "penstock: its child r.c is queued: the queue is paused (lunch)"
        ]
        daemon.says("r.c", "running", "It has a slot.")
        await trio.sleep(100)
    assert said(capsys) == []


async def test_quiet_asks_nobody(
    capsys: pytest.CaptureFixture[str], autojump_clock: Clock
) -> None:
    """PT-08"""
    daemon = ExplainingDaemon()
    daemon.says("r", "queued", PAUSED)
    async with open_telling(daemon, notes(), quiet=True):
        await trio.sleep(100)
    assert (said(capsys), daemon.asked) == ([], [])


async def test_waiting_for_room_in_the_queue_is_told(
    capsys: pytest.CaptureFixture[str], autojump_clock: Clock
) -> None:
    """PT-08"""

    async def submit_after(seconds: float) -> str:
        await trio.sleep(seconds)
        return "reply"

    assert await tell_submitting(lambda: submit_after(0.5), quiet=False) == "reply"
    assert await tell_submitting(lambda: submit_after(9), quiet=True) == "reply"
    assert said(capsys) == []
    assert await tell_submitting(lambda: submit_after(9), quiet=False) == "reply"
    assert said(capsys) == ["penstock: not queued yet: waits for room in the queue"]


async def test_what_fails_meanwhile_comes_out_as_itself(autojump_clock: Clock) -> None:
    """PT-08: a reader that left, or a full disk, is told by its type."""

    async def refuse() -> str:
        raise QueueFull

    with pytest.raises(BrokenPipeError):
        async with open_telling(ExplainingDaemon(), notes(), quiet=False):
            raise BrokenPipeError
    with pytest.raises(QueueFull):
        await tell_submitting(refuse, quiet=False)
