"""PT-04 PT-06: what a run prints, held for the one client that started it as a pipe would hold it."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import trio
import trio.testing

from penstock.runs.live_output import COMING_SECONDS, LiveOutput, LiveOutputs
from penstock.runs.program import LIVE_PATIENCE, Listeners
from penstock.words.errors import Conflict

LIMIT = 100


def promised(outputs: LiveOutputs, run_id: str = "r") -> LiveOutput:
    with outputs.promising(run_id) as live:
        assert live is not None
        live.keep_until(trio.current_time() + COMING_SECONDS)
    return live


async def test_the_program_waits_while_its_reader_takes_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PT-06: for hours, as for a pipe that nobody reads, and no longer than that."""
    outputs = LiveOutputs(LIMIT)
    live, waited = promised(outputs), list[float]()
    with outputs.open("r"):
        live.push("stdout", bytes(LIMIT - 1))
        await live.wait_room()
        live.push("stderr", b"x")
        began = trio.current_time()
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                await live.wait_room()
                waited.append(trio.current_time() - began)

            await trio.sleep(7200)
            assert not waited
            assert live.take() == [("stdout", bytes(LIMIT - 1)), ("stderr", b"x")]
    assert waited == [7200]


async def test_a_reader_who_leaves_holds_nobody_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PT-06: the run goes on, and keeps nothing for him."""
    outputs = LiveOutputs(LIMIT)
    live = promised(outputs)
    with trio.fail_after(1):
        await leave(outputs, live)
    assert live.take() == []
    assert outputs.find("r") is None
    with pytest.raises(Conflict), outputs.open("r"):
        pass


async def leave(outputs: LiveOutputs, live: LiveOutput) -> None:
    """Be a reader who leaves while the program waits for him."""
    async with trio.open_nursery() as nursery:
        with outputs.open("r"):
            live.push("stdout", bytes(LIMIT))
            nursery.start_soon(live.wait_room)
            await trio.testing.wait_all_tasks_blocked()
    live.push("stdout", bytes(10 * LIMIT))
    await live.wait_room()


async def test_who_does_not_come_in_time_holds_nobody_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PT-06"""
    outputs = LiveOutputs(LIMIT)
    live = promised(outputs)
    live.push("stdout", bytes(LIMIT))
    began = trio.current_time()
    with trio.fail_after(2 * COMING_SECONDS):
        await live.wait_room()
    assert trio.current_time() - began == COMING_SECONDS
    with pytest.raises(Conflict), outputs.open("r"):
        pass
    # What was promised too long ago is forgotten with the next promise.
    await trio.sleep(COMING_SECONDS)
    promised(outputs, "other")
    assert outputs.find("r") is None


async def test_news_are_noticed_after_somebody_else_took_what_waited() -> None:
    """PT-04: facts and output go to one client, by two tasks."""
    live, seen = LiveOutput(LIMIT), list[object]()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def _() -> None:
            await live.wait_news()
            seen.extend(live.take())

        await trio.testing.wait_all_tasks_blocked()
        live.push("stdout", b"a")
        assert live.take() == [("stdout", b"a")]
        await trio.testing.wait_all_tasks_blocked()
        live.push("stdout", b"b")
    assert seen == [("stdout", b"b")]


async def test_a_promise_that_was_not_kept_is_withdrawn() -> None:
    """PT-06: the submit was refused, or its run was there before; and two do not share one."""
    outputs = LiveOutputs(LIMIT)
    with outputs.promising("r") as first:
        assert first is not None
        with outputs.promising("r") as second:
            assert second is None
        assert outputs.find("r") is first
    assert outputs.find("r") is None
    with pytest.raises(ZeroDivisionError), outputs.promising("r") as live:
        assert live is not None
        live.keep_until(1.0)
        1 / 0  # noqa: B018
    assert outputs.find("r") is None


def test_a_promise_that_is_not_kept_ends_while_its_reader_is_there() -> None:
    """PT-06: the run was not taken after all, and somebody else who knew its id had come for it."""
    outputs = LiveOutputs(10)
    with ExitStack() as reader:
        with outputs.promising("r") as live:
            assert live is not None
            reader.enter_context(outputs.open("r"))
        assert outputs.find("r") is None
        with outputs.promising("r") as again:
            assert again is not live
            reader.close()
            assert outputs.find("r") is again


def test_the_log_holds_who_is_told_live_for_a_moment_and_others_as_long_as_it_takes() -> (
    None
):
    """PT-04 PT-06: a full disk stops no program whose output somebody gets beside the log."""
    live = LiveOutput(1)
    assert Listeners(live=live).patience == LIVE_PATIENCE
    assert Listeners().patience is None
    live.give_up()
    assert Listeners(live=live).patience is None
