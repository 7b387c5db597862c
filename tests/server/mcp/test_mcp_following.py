"""Who follows runs over MCP, while the log cannot be read."""

from __future__ import annotations

from functools import partial

import trio
import trio.testing
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated, ServerEvent

from fakes.cores import open_fake_core, request, wait_ended
from fakes.stores import LIFE, inline_store
from fakes.troubled_store import TroubledStore
from penstock.server.mcp.subscriptions import follow_list, follow_run
from penstock.words.errors import LogDamaged, StoreUnavailable

URI = "run://r"


async def test_an_outage_ends_no_subscription(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """MCP-03 ER-03: what changed meanwhile is told afterwards."""
    told: list[ServerEvent] = []

    async def notify(event: ServerEvent) -> None:
        await trio.lowlevel.checkpoint()
        told.append(event)

    async with inline_store(life=LIFE) as inner:
        store = TroubledStore(inner)
        async with (
            open_fake_core(store=store.as_store(), life=LIFE) as core,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(follow_list, core, notify, core.bus.head)
            await trio.testing.wait_all_tasks_blocked()
            store.on_answer = partial(store.fail_reads, StoreUnavailable("a drill"))
            await core.submitter.submit(request(run_id="r"))
            await trio.sleep(30)
            assert told == []
            store.on_answer, store.unreadable = None, None
            await trio.sleep(2)
            assert told == [ResourcesListChanged()]
            nursery.cancel_scope.cancel()


async def test_damage_ends_a_subscription_with_a_notice(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """MCP-03 ER-03: whoever looks again is told why."""
    told: list[ServerEvent] = []

    async def notify(event: ServerEvent) -> None:
        await trio.lowlevel.checkpoint()
        told.append(event)

    async with inline_store(life=LIFE) as inner:
        store = TroubledStore(inner)
        async with open_fake_core(store=store.as_store(), life=LIFE) as core:
            await core.submitter.submit(request(run_id="r"))
            await wait_ended(core, "r")
            store.unreadable = LogDamaged("a drill")
            with trio.fail_after(30):
                await follow_run(core, "r", [URI], notify, 0)
    assert told == [ResourceUpdated(URI)]
