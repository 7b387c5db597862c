"""Runs from submit to terminal, on a core in memory and virtual time."""

from __future__ import annotations

import trio

from fakes.cores import (
    open_fake_core,
    request,
    types_of,
    wait_ended,
)


async def test_a_run_goes_from_queued_to_its_one_terminal(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """TM-01 CC-02 SC-03"""
    async with open_fake_core() as core:
        submitted = await core.scheduler.submit(request(seconds=2))
        await wait_ended(core, submitted.view.run_id)
        assert await types_of(core, submitted.view.run_id) == [
            "run.queued",
            "run.started",
            "run.completed",
        ]
        assert trio.current_time() >= 2


async def test_a_running_run_is_cancelled_with_a_receipt(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """CN-01"""
    async with open_fake_core() as core:
        submitted = await core.scheduler.submit(request(seconds=1000))
        await trio.testing.wait_all_tasks_blocked()
        receipt = await core.scheduler.cancel(
            submitted.view.run_id, "enough", wait=True
        )
        assert receipt.outcome == "cancelled"
        assert receipt.gone_at is not None
        assert (await types_of(core, submitted.view.run_id))[-1] == "run.cancelled"
