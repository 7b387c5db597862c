"""The word to stop: said once, known to all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from fakes.cores import Nothing, Seconds, kind, open_fake_core, request, whole_log
from fakes.stores import inline_store
from penstock.runs.core import Core
from penstock.runs.run import Run
from penstock.runs.stop import Stop
from penstock.words.errors import ShuttingDown
from penstock.words.events import DaemonStopping

Clock = trio.testing.MockClock


async def shut_down_otherwise(core: Core) -> None:
    """Whoever ends the runs has a reason of its own."""
    await core.shutdown(reason="stop")


async def leave(_core: Core) -> None:
    """The end of the block ends the runs."""
    await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("end", [shut_down_otherwise, leave])
async def test_the_first_word_to_stop_is_what_everybody_says(
    end: Callable[[Core], Awaitable[None]], autojump_clock: Clock
) -> None:
    """SC-08 APP-06: the refused and the log hear one reason, whoever ends the runs afterwards."""
    async with inline_store(life="life-1") as store:
        async with open_fake_core(store=store) as core:
            core.stop.ask("SIGTERM")
            with pytest.raises(ShuttingDown, match="stopping: SIGTERM"):
                await core.submitter.submit(request(seconds=1))
            await end(core)
        facts = await whole_log(store)
    told = [fact.event for fact in facts if fact.type == "daemon.stopping"]
    assert told == [DaemonStopping(reason="SIGTERM")]


async def test_the_time_to_stop_counts_from_the_first_word(
    autojump_clock: Clock,
) -> None:
    """APP-06: servers and core wait for the runs one after the other, and share one limit."""

    async def stubborn(_run: Run, _inputs: Seconds) -> Nothing:
        with trio.CancelScope(shield=True):
            await trio.sleep(20)
        return Nothing()

    async with open_fake_core(kind("stubborn", stubborn), shutdown_runs=10) as core:
        await core.submitter.submit(request("stubborn"))
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        core.stop.ask("SIGTERM")
        await trio.sleep(4)
        with trio.move_on_at(core.stop.ask("stop")):
            await core.shutdown()
        assert trio.current_time() - began == pytest.approx(10)


async def test_who_waits_for_the_word_hears_it(autojump_clock: Clock) -> None:
    """APP-06"""
    stop = Stop(10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop.wait_asked)
        await trio.testing.wait_all_tasks_blocked()
        assert stop.ask("SIGTERM") == stop.ask("SIGINT")
    assert stop.reason == "SIGTERM"
