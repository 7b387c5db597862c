"""Subscriptions to resources, in both eras: a pump each, that ends with whoever asked for it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any, TypeVar

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

from penstock.concurrency.deferred import DeferredFailure
from penstock.log.filters import parse_filter
from penstock.runs.core import Core
from penstock.server.mcp.resources import parse_uri
from penstock.server.shutdown import Shutdown
from penstock.words.errors import NotFound, PenstockError, StoreUnavailable

Context = ServerRequestContext[Any, Any]
Notify = Callable[[ServerEvent], Awaitable[None]]
#: What may have changed, each with a value that differs when it has.
Marks = dict[ServerEvent, object]
Look = Callable[[], Awaitable[Marks]]

T = TypeVar("T")

#: Seconds until a store that did not answer is asked again.
AGAIN_SECONDS = 1.0

#: Where a session keeps its subscriptions, by address.
_KEY = "penstock.subscriptions"

_log = logging.getLogger("penstock.mcp")


async def follow_run(
    core: Core, run_id: str, uris: Iterable[str], notify: Notify, after: int
) -> None:
    """Tell of changes of a run's resources above the position `after`, until it has ended."""
    wanted = {uri: parse_uri(uri).artifact_id for uri in uris}

    async def look() -> Marks:
        view = await core.reader.view(run_id)
        return {
            ResourceUpdated(uri): view.artifacts.get(name) if name else view.position
            for uri, name in wanted.items()
        }

    await _follow(core, run_id, look, notify, after, map(ResourceUpdated, wanted))


async def follow_list(core: Core, notify: Notify, after: int) -> None:
    """Tell when there is another run."""

    async def look() -> Marks:
        rows, _ = await core.reader.list(parse_filter("", limit=1))
        return {ResourcesListChanged(): rows[0]["run_id"] if rows else None}

    await _follow(core, None, look, notify, after, [ResourcesListChanged()])


async def _follow(
    core: Core,
    run_id: str | None,
    look: Look,
    notify: Notify,
    after: int,
    ended: Iterable[ServerEvent],
) -> None:
    """`ended`: what is said of a subscription that ends before its run."""
    try:
        await _announce_changes(core, run_id, look, notify, after)
    except PenstockError as error:
        # Pruned meanwhile, or damaged: one subscription ends, and no other.
        _log.info("a subscription to %s ends: %s", run_id or "all runs", error)
        # There is no notice that says so; whoever looks again is told why.
        for event in ended:
            await notify(event)


async def _announce_changes(
    core: Core, run_id: str | None, look: Look, notify: Notify, after: int
) -> None:
    marks: Marks = {}
    while await _patiently(partial(_wait_changed, core, run_id, after)):
        after = core.bus.head
        seen = await _patiently(look)
        for event, mark in seen.items():
            if marks.get(event) != mark:
                await notify(event)
        marks = seen
        await trio.sleep(core.config.throttle_seconds)


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """What the log says, asked again while it does not answer: an outage ends no subscription."""
    while True:
        try:
            return await ask()
        except StoreUnavailable:
            await trio.sleep(AGAIN_SECONDS)


async def _wait_changed(core: Core, run_id: str | None, after: int) -> bool:
    """Wait for a fact above `after`; False when there will be none."""
    with core.bus.subscribe(run_id, after, name="mcp-follow", kind="mcp") as facts:
        async for batch in facts:
            if batch.facts or batch.gap:
                return True
    return False


@asynccontextmanager
async def open_subscriptions(
    core: Core, shutdown: Shutdown
) -> AsyncIterator[Subscriptions]:
    """Subscriptions, and a nursery for the pumps that outlive the request that asked for them."""
    async with trio.open_nursery() as pumps_nursery:
        yield Subscriptions(core, shutdown, pumps_nursery)
        pumps_nursery.cancel_scope.cancel(reason="the daemon is stopping")


class Subscriptions:
    """Who is told of which resources. Up to 2025-11-25 by session, since 2026-07-28 by stream."""

    def __init__(
        self, core: Core, shutdown: Shutdown, pumps_nursery: trio.Nursery
    ) -> None:
        self._core, self._shutdown = core, shutdown
        self._pumps_nursery = pumps_nursery
        #: Pumps that run, or are about to.
        self.count = 0

    # -- up to 2025-11-25

    async def subscribe(
        self, ctx: Context, params: SubscribeRequestParams
    ) -> EmptyResult:
        """Tell this session of changes of a resource until it unsubscribes or ends."""
        scopes = _scopes_of(ctx)
        if params.uri in scopes:
            return EmptyResult()
        run_id = _run_of(params.uri)
        after = self._core.bus.head
        scope = trio.CancelScope()

        async def notify(event: ServerEvent) -> None:
            if isinstance(event, ResourceUpdated):
                await ctx.session.send_resource_updated(event.uri)

        follow = partial(follow_run, self._core, run_id, [params.uri], notify, after)
        with ExitStack() as room:
            room.enter_context(self._room(1))
            scopes[params.uri] = scope
            self._pumps_nursery.start_soon(_pump, follow, scope, room.pop_all())
        return EmptyResult()

    async def unsubscribe(
        self, ctx: Context, params: UnsubscribeRequestParams
    ) -> EmptyResult:
        """Tell it no more; a resource it was not told of is no error."""
        scope = _scopes_of(ctx).pop(params.uri, None)
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
        runs = _by_run(wanted.resource_subscriptions or ())
        meta: dict[str, Any] = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}

        async def notify(event: ServerEvent) -> None:
            notice = event_to_notification(event, meta)
            await ctx.session.send_notification(notice, ctx.request_id)

        with self._room(len(runs) + 1):
            async with trio.open_nursery() as nursery:
                await ctx.session.send_notification(
                    _acknowledgement(wanted, meta), ctx.request_id
                )
                for run_id, uris in runs.items():
                    nursery.start_soon(
                        follow_run, self._core, run_id, uris, notify, after
                    )
                if wanted.resources_list_changed:
                    nursery.start_soon(follow_list, self._core, notify, after)
                await self._shutdown.wait_streams_ending()
                nursery.cancel_scope.cancel(reason="the daemon is stopping")
        return SubscriptionsListenResult(_meta=meta)

    # -- both

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


async def _pump(
    follow: Callable[[], Awaitable[None]], scope: trio.CancelScope, room: ExitStack
) -> None:
    """Follow for a session, and keep its room until `scope` is cancelled."""
    # What goes wrong for one session is no reason to end those of the others.
    failed = DeferredFailure()
    with room, scope:
        with failed:
            await follow()
        if failed.error is not None:
            _log.warning("a subscription ended: %r", failed.error)
        # The run has ended; the subscription is there until it is taken back.
        await trio.sleep_forever()


def connection_of(ctx: Context) -> Connection:
    """The session that a request came by; the SDK has no public name for it."""
    return ctx.session._connection


def _scopes_of(ctx: Context) -> dict[str, trio.CancelScope]:
    """The pumps of a session, by address; its end is theirs."""
    connection = connection_of(ctx)
    if _KEY not in connection.state:
        scopes: dict[str, trio.CancelScope] = {}
        connection.state[_KEY] = scopes
        connection.exit_stack.callback(_cancel_all, scopes)
    found: dict[str, trio.CancelScope] = connection.state[_KEY]
    return found


def _cancel_all(scopes: dict[str, trio.CancelScope]) -> None:
    for scope in scopes.values():
        scope.cancel(reason="the session has ended")


def _acknowledgement(
    wanted: SubscriptionFilter, meta: dict[str, Any]
) -> SubscriptionsAcknowledgedNotification:
    """What is honoured of what a client wants: all that we know."""
    uris = list(dict.fromkeys(wanted.resource_subscriptions or ()))
    honoured = SubscriptionFilter(
        resources_list_changed=wanted.resources_list_changed or None,
        resource_subscriptions=uris or None,
    )
    params = SubscriptionsAcknowledgedNotificationParams(
        notifications=honoured, _meta=meta
    )
    return SubscriptionsAcknowledgedNotification(params=params)


def _by_run(uris: Iterable[str]) -> dict[str, list[str]]:
    """The addresses by the run that they are of, each once."""
    runs: dict[str, list[str]] = {}
    for uri in dict.fromkeys(uris):
        runs.setdefault(_run_of(uri), []).append(uri)
    return runs


def _run_of(uri: str) -> str:
    try:
        return parse_uri(uri).run_id
    except NotFound as error:
        raise MCPError(INVALID_PARAMS, str(error), {"uri": uri}) from None
