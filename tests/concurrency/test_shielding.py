"""CN-01, CN-04: clean-up goes on after a cancel, within its bound."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from penstock.concurrency.shielding import shield_until


async def test_work_goes_on_after_a_cancel_until_its_bound(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start, asked = trio.current_time(), []

    def on_cancel() -> float:
        asked.append(trio.current_time() - start)
        return trio.current_time() + 3

    with trio.move_on_after(2) as scope:
        async with shield_until(on_cancel):
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert asked == [2]
    assert trio.current_time() - start == 5


async def test_work_that_ends_within_the_bound_is_finished_and_the_cancel_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    finished = False
    with trio.move_on_after(2) as scope:
        async with shield_until(lambda: trio.current_time() + 3):
            await trio.sleep(4)
            finished = True
    assert finished
    assert scope.cancelled_caught
    assert trio.current_time() == 4


async def test_without_a_cancel_nothing_is_asked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    asked = []
    async with shield_until(lambda: asked.append(1) or 0.0):  # type: ignore[func-returns-value]
        await trio.sleep(1)
    assert not asked


async def test_an_exception_comes_out_as_it_is(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.raises(KeyError):
        async with shield_until(lambda: 0.0):
            await trio.sleep(1)
            raise KeyError


async def test_a_failure_after_a_cancel_is_not_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.RaisesGroup(KeyError), trio.move_on_after(1):
        async with shield_until(lambda: trio.current_time() + 3):
            await trio.sleep(2)
            raise KeyError
