"""Who follows a run over MCP, while the log cannot be read."""

from __future__ import annotations

from typing import Any, cast

import trio
import trio.testing
from mcp.shared.subscriptions import ResourceUpdated, ServerEvent

from fakes.core import FakeCore
from penstock.server.mcp.subscriptions import follow_run
from penstock.words.config import Config
from penstock.words.errors import LogDamaged, StoreUnavailable
from penstock.words.events import Log, RunQueued

URI = "run://r"


async def test_an_outage_ends_no_subscription(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """MCP-03 ER-03: what changed meanwhile is told afterwards."""
    core = FakeCore(Config())
    told: list[ServerEvent] = []

    async def notify(event: ServerEvent) -> None:
        await trio.lowlevel.checkpoint()
        told.append(event)

    core.store.record("r", RunQueued(kind="echo", priority=20))
    async with trio.open_nursery() as nursery:
        real = cast("Any", core)
        nursery.start_soon(follow_run, real, "r", [URI], notify, core.bus.head)
        await trio.testing.wait_all_tasks_blocked()
        core.scheduler.failure = StoreUnavailable("a drill")
        core.store.record("r", Log(text="x"))
        await trio.sleep(30)
        assert told == []
        core.scheduler.failure = None
        await trio.sleep(2)
        assert told == [ResourceUpdated(URI)]
        nursery.cancel_scope.cancel()


async def test_damage_ends_a_subscription_with_a_notice(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """MCP-03 ER-03: whoever looks again is told why."""
    core = FakeCore(Config())
    told: list[ServerEvent] = []

    async def notify(event: ServerEvent) -> None:
        await trio.lowlevel.checkpoint()
        told.append(event)

    core.store.record("r", RunQueued(kind="echo", priority=20))
    core.scheduler.failure = LogDamaged("a drill")
    with trio.fail_after(30):
        await follow_run(cast("Any", core), "r", [URI], notify, 0)
    assert told == [ResourceUpdated(URI)]
