"""Updates of resources, for both eras: one pump per subscription, and nothing that could grow.

A notice only says "look again", so a pump keeps no queue: it remembers where in the log it was when
it last told, and what came meanwhile is one notice. The publisher does not know that it exists.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import (
    SUBSCRIPTION_ID_META_KEY,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    event_to_notification,
)
from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    EmptyResult,
    SubscribeRequestParams,
    SubscriptionFilter,
    SubscriptionsAcknowledgedNotification,
    SubscriptionsAcknowledgedNotificationParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)

from penstock.errors import NotFound, PenstockError
from penstock.record.filters import parse_filter
from penstock.server.closing import Closing
from penstock.server.mcp.resources import parse_uri

if TYPE_CHECKING:
    from penstock.runs.core import Core

Context = ServerRequestContext[Any, Any]
_log = logging.getLogger("penstock.mcp")
Notify = Callable[[ServerEvent], Awaitable[None]]
#: What may have changed, each with a value that differs when it has.
Look = Callable[[], Awaitable[dict[ServerEvent, object]]]


@asynccontextmanager
async def open_subscriptions(
    core: Core, closing: Closing
) -> AsyncIterator[Subscriptions]:
    """Subscriptions, and a nursery for the pumps that outlive the request that asked for them."""
    async with trio.open_nursery() as pumps_nursery:
        yield Subscriptions(core, closing, pumps_nursery)
        pumps_nursery.cancel_scope.cancel(reason="the daemon is stopping")


class Subscriptions:
    """Who is told of which resources. Up to 2025-11-25 by session, since 2026-07-28 by stream."""

    def __init__(
        self, core: Core, closing: Closing, pumps_nursery: trio.Nursery
    ) -> None:
        self._core, self._closing = core, closing
        self._pumps_nursery = pumps_nursery
        self._numbers = itertools.count(1)
        self._by_session: dict[tuple[int, str], trio.CancelScope] = {}
        #: Pumps that run, or are about to.
        self.count = 0

    # -- up to 2025-11-25

    async def subscribe(
        self, ctx: Context, params: SubscribeRequestParams
    ) -> EmptyResult:
        """Tell this session of changes of a resource until it unsubscribes or ends."""
        connection = connection_of(ctx)
        key = (id(connection), params.uri)
        if key in self._by_session:
            return EmptyResult()
        run_id = _run_of(params.uri)
        after = self._core.bus.head
        scope = trio.CancelScope()

        async def notify(event: ServerEvent) -> None:
            if isinstance(event, ResourceUpdated):
                await ctx.session.send_resource_updated(event.uri)

        async def pump(room: ExitStack) -> None:
            with room, scope:
                look = partial(self._look_at, run_id, [params.uri])
                await self._follow(run_id, look, notify, after)
                # The run has ended; the subscription is there until it is taken back.
                await trio.sleep_forever()

        with ExitStack() as room:
            room.enter_context(self._room(1))
            self._by_session[key] = scope
            room.callback(self._forget, key, scope)
            # The id of a session that is gone may be given to another one.
            connection.exit_stack.callback(scope.cancel)
            self._pumps_nursery.start_soon(pump, room.pop_all())
        return EmptyResult()

    def _forget(self, key: tuple[int, str], scope: trio.CancelScope) -> None:
        if self._by_session.get(key) is scope:
            del self._by_session[key]

    async def unsubscribe(
        self, ctx: Context, params: UnsubscribeRequestParams
    ) -> EmptyResult:
        """Tell it no more; a resource it was not told of is no error."""
        scope = self._by_session.pop((id(connection_of(ctx)), params.uri), None)
        if scope is not None:
            scope.cancel(reason="unsubscribed")
        return EmptyResult()

    # -- since 2026-07-28

    async def listen(
        self, ctx: Context, params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """A stream of notices until the client closes it or the daemon stops."""
        # Whatever is recorded from here on is told, however long the acknowledgement takes.
        after = self._core.bus.head
        wanted = params.notifications
        uris = list(dict.fromkeys(wanted.resource_subscriptions or ()))
        runs: dict[str, list[str]] = {}
        for uri in uris:
            runs.setdefault(_run_of(uri), []).append(uri)
        meta: dict[str, Any] = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}

        async def notify(event: ServerEvent) -> None:
            notice = event_to_notification(event, meta)
            await ctx.session.send_notification(notice, ctx.request_id)

        honoured = SubscriptionFilter(
            resources_list_changed=wanted.resources_list_changed or None,
            resource_subscriptions=uris or None,
        )
        acknowledged = SubscriptionsAcknowledgedNotificationParams(
            notifications=honoured, _meta=meta
        )
        with self._room(len(runs) + 1):
            async with trio.open_nursery() as nursery:
                await ctx.session.send_notification(
                    SubscriptionsAcknowledgedNotification(params=acknowledged),
                    ctx.request_id,
                )
                for run_id, some in runs.items():
                    look = partial(self._look_at, run_id, some)
                    nursery.start_soon(self._follow, run_id, look, notify, after)
                if honoured.resources_list_changed:
                    newest = self._look_at_newest
                    nursery.start_soon(self._follow, None, newest, notify, after)
                await self._closing.wait_goodbye()
                nursery.cancel_scope.cancel(reason="the daemon is stopping")
        return SubscriptionsListenResult(_meta=meta)

    # -- both

    async def _follow(
        self, run_id: str | None, look: Look, notify: Notify, after: int
    ) -> None:
        """Tell of changes above the position `after`, until the run has ended or is forgotten."""
        try:
            await self._tell_changes(run_id, look, notify, after)
        except PenstockError as error:
            # Pruned meanwhile, or the store does not answer: one subscription ends, and no other.
            _log.info("a subscription to %s ends: %s", run_id or "all runs", error)

    async def _tell_changes(
        self, run_id: str | None, look: Look, notify: Notify, after: int
    ) -> None:
        marks: dict[ServerEvent, object] = {}
        while await self._wait_changed(run_id, after):
            after = self._core.bus.head
            seen = await look()
            for event, mark in seen.items():
                if marks.get(event) != mark:
                    await notify(event)
            marks = seen
            await trio.sleep(self._core.config.throttle_seconds)

    async def _wait_changed(self, run_id: str | None, after: int) -> bool:
        """Wait for a fact above `after`; False when there will be none."""
        name = f"mcp-listen-{next(self._numbers)}"
        with self._core.bus.subscribe(run_id, after, name=name, kind="mcp") as facts:
            async for batch in facts:
                if batch.facts or batch.gap:
                    return True
        return False

    async def _look_at(
        self, run_id: str, uris: Iterable[str]
    ) -> dict[ServerEvent, object]:
        """What tells whether each resource of a run has changed."""
        view = await self._core.scheduler.view(run_id)
        marks: dict[ServerEvent, object] = {}
        for uri in uris:
            artifact_id = parse_uri(uri).artifact_id
            mark = view.artifacts.get(artifact_id) if artifact_id else view.position
            marks[ResourceUpdated(uri)] = mark
        return marks

    async def _look_at_newest(self) -> dict[ServerEvent, object]:
        """What tells whether there is another run."""
        rows, _ = await self._core.scheduler.list(parse_filter("", limit=1))
        return {ResourcesListChanged(): rows[0]["run_id"] if rows else None}

    @contextmanager
    def _room(self, pumps: int) -> Iterator[None]:
        """Room for so many pumps while this is entered; refused if there is none."""
        limit = self._core.config.max_mcp_subscriptions
        if self.count + pumps > limit:
            raise MCPError(INTERNAL_ERROR, f"{limit} subscriptions are open already")
        self.count += pumps
        try:
            yield
        finally:
            self.count -= pumps


def connection_of(ctx: Context) -> Connection:
    """The session that a request came by; the SDK has no public name for it."""
    return ctx.session._connection


def _run_of(uri: str) -> str:
    try:
        return parse_uri(uri).run_id
    except NotFound as error:
        raise MCPError(INVALID_PARAMS, str(error), {"uri": uri}) from None
