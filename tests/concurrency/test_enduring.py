"""RS-01: a long-lived task survives what its work raises."""

from __future__ import annotations

import logging
from itertools import pairwise

import pytest
import trio
import trio.testing

from penstock.concurrency.deferred import DeferredFailure
from penstock.concurrency.enduring import HEALED_SECONDS, LONGEST_PAUSE, endure
from penstock.words.errors import StoreUnavailable

Clock = trio.testing.MockClock


async def test_a_task_that_fails_is_begun_again_until_it_is_done(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """RS-01: after growing pauses, and the same failure is told once."""
    begun: list[float] = []

    async def work() -> None:
        begun.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if len(begun) < 10:
            raise RuntimeError("can't start new thread")

    began = trio.current_time()
    with trio.fail_after(1000):
        await endure("working", work)
    pauses = [late - soon for soon, late in pairwise(begun)]
    assert pauses == sorted(pauses)
    assert (begun[0], pauses[0], pauses[-1]) == (began, 1.0, LONGEST_PAUSE)
    told = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert len(told) == 1
    assert "working failed" in told[0].getMessage()
    assert told[0].exc_info, "where a fault of our own stands"


async def test_a_failure_after_a_good_while_is_told_again(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """RS-01: also a group of several; a sentence of ours needs no traceback."""
    turns = 0

    async def work() -> None:
        nonlocal turns
        turns += 1
        await trio.sleep(2 * HEALED_SECONDS)
        if turns < 3:
            raise ExceptionGroup("two", [StoreUnavailable("full"), ValueError("x")])
        if turns < 4:
            raise StoreUnavailable("full")

    await endure("working", work)
    told = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert [bool(r.exc_info) for r in told] == [True, True, False]


async def test_a_cancel_ends_it(autojump_clock: Clock) -> None:
    """CC-03"""

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError

    with trio.move_on_after(5) as scope:
        await endure("failing", fail)
    assert scope.cancelled_caught


async def test_a_deferred_failure_leaves_the_nursery_as_it_was() -> None:
    """House: one helper takes a failure past a nursery, and it lets a cancel pass."""
    failed = DeferredFailure()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        with failed:
            raise ValueError("as it is")
        nursery.cancel_scope.cancel()
    with pytest.raises(ValueError, match="as it is"):
        failed.reraise()
    held = DeferredFailure()
    with trio.CancelScope() as scope:
        scope.cancel()
        with held:
            await trio.sleep_forever()
    assert scope.cancelled_caught
    held.reraise()
