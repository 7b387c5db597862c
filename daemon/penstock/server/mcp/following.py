"""Noticing that resources have changed, without a queue that could grow.

A notice only says "look again". So who follows a run remembers where in the log it was when it last
told, and what came meanwhile is one notice. The publisher does not know that anybody follows.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

import trio
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated, ServerEvent

from penstock.log.filters import parse_filter
from penstock.server.mcp.resources import parse_uri
from penstock.words.errors import PenstockError

if TYPE_CHECKING:
    from penstock.runs.core import Core

Notify = Callable[[ServerEvent], Awaitable[None]]
#: What may have changed, each with a value that differs when it has.
Marks = dict[ServerEvent, object]
Look = Callable[[], Awaitable[Marks]]

_log = logging.getLogger("penstock.mcp")


async def follow_run(
    core: Core, run_id: str, uris: Iterable[str], notify: Notify, after: int
) -> None:
    """Tell of changes of a run's resources above the position `after`, until it has ended."""
    wanted = {uri: parse_uri(uri).artifact_id for uri in uris}

    async def look() -> Marks:
        view = await core.scheduler.view(run_id)
        return {
            ResourceUpdated(uri): view.artifacts.get(name) if name else view.position
            for uri, name in wanted.items()
        }

    await _follow(core, run_id, look, notify, after)


async def follow_list(core: Core, notify: Notify, after: int) -> None:
    """Tell when there is another run."""

    async def look() -> Marks:
        rows, _ = await core.scheduler.list(parse_filter("", limit=1))
        return {ResourcesListChanged(): rows[0]["run_id"] if rows else None}

    await _follow(core, None, look, notify, after)


async def _follow(
    core: Core, run_id: str | None, look: Look, notify: Notify, after: int
) -> None:
    try:
        await _tell_changes(core, run_id, look, notify, after)
    except PenstockError as error:
        # Pruned meanwhile, or the store does not answer: one subscription ends, and no other.
        _log.info("a subscription to %s ends: %s", run_id or "all runs", error)


async def _tell_changes(
    core: Core, run_id: str | None, look: Look, notify: Notify, after: int
) -> None:
    marks: Marks = {}
    while await _wait_changed(core, run_id, after):
        after = core.bus.head
        seen = await look()
        for event, mark in seen.items():
            if marks.get(event) != mark:
                await notify(event)
        marks = seen
        await trio.sleep(core.config.throttle_seconds)


async def _wait_changed(core: Core, run_id: str | None, after: int) -> bool:
    """Wait for a fact above `after`; False when there will be none."""
    with core.bus.subscribe(run_id, after, name="mcp-follow", kind="mcp") as facts:
        async for batch in facts:
            if batch.facts or batch.gap:
                return True
    return False
