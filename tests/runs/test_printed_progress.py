"""PT-06: a program's own progress is the run's, and costs a bounded number of facts."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from penstock.runs.printed_progress import PACE, open_progress
from penstock.words.events import AnyEvent, Progress


class Facts:
    """Takes facts as a run does."""

    def __init__(self) -> None:
        self.told: list[float | None] = []

    async def emit(self, event: AnyEvent, **_more: object) -> None:
        await trio.lowlevel.checkpoint()
        assert isinstance(event, Progress)
        assert event.step == ""
        self.told.append(event.fraction)


async def test_the_first_is_told_at_once_and_then_the_newest_of_each_interval(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PT-06 DS-02"""
    facts = Facts()
    async with open_progress(facts.emit) as watch:
        watch("stderr", b"\r 1 %")
        await trio.testing.wait_all_tasks_blocked()
        assert facts.told == [0.01]
        for percent in range(2, 50):
            watch("stderr", b"\r%2d %%" % percent)
        await trio.testing.wait_all_tasks_blocked()
        assert facts.told == [0.01]
        await trio.sleep(PACE.shortest * 2)
        assert facts.told == [0.01, 0.49]


async def test_a_bar_that_is_drawn_for_a_day_costs_a_bounded_number_of_facts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PT-04 PT-06"""
    facts = Facts()
    async with open_progress(facts.emit) as watch:
        for number in range(24 * 60 * 6):
            watch("stdout", b"\r%d %%" % (number % 101))
            await trio.sleep(10)
    assert 500 < len(facts.told) <= PACE.at_once + PACE.a_day + 1


async def test_what_changes_little_and_what_is_none_is_not_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PT-06"""
    facts = Facts()
    async with open_progress(facts.emit) as watch:
        for said in (b"1000/9999 ", b"1001/9999 ", b"120 % ", b"no number\n"):
            watch("stdout", said)
            await trio.sleep(5)
    assert len(facts.told) == 1


async def test_a_failure_of_the_program_is_its_own() -> None:
    """CC-03: what watches it adds nothing to it."""
    facts = Facts()
    with pytest.raises(ValueError, match="of its own"):
        async with open_progress(facts.emit):
            raise ValueError("of its own")
