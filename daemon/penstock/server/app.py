"""The HTTP application: the route table as ASGI, errors as problem documents.

Handlers know nothing of ASGI: they take a Call and give an HttpAnswer, or an HttpStream.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import trio

from penstock.runs.core import Core
from penstock.server.asgi import (
    ASGI,
    Receive,
    Scope,
    Send,
    answer_whole,
    asgi_mux,
    guarded,
)
from penstock.server.guard import Guard
from penstock.server.health import HealthOf
from penstock.server.http_answer import (
    HttpAnswer,
    HttpRefused,
    HttpStream,
    fault_answer,
    problem_answer,
)
from penstock.server.live_input import make_stdin_app
from penstock.server.live_output import make_live_app
from penstock.server.public_address import BASE_STATE, make_public_address
from penstock.server.rest.daemon import (
    daemon_handlers,
    dismissal_handlers,
    no_metrics,
    queue_handlers,
)
from penstock.server.rest.events import event_handlers
from penstock.server.rest.output import output_handlers
from penstock.server.rest.run_routes import (
    ask_handlers,
    control_handlers,
    look_handlers,
    run_handlers,
    task_handlers,
)
from penstock.server.routes import ROUTES, Call, Handler, Route, parse_query
from penstock.server.shutdown import Shutdown
from penstock.server.traffic import CountRequest, count_nothing, counted
from penstock.server.web.letting_in import letting_in_handlers, no_page_handlers
from penstock.server.web.page_codes import PageCodes
from penstock.server.web.page_files import PAGE_ROUTES, page_file_handlers
from penstock.words.config import Config
from penstock.words.error_codes import PROBLEMS, row_of
from penstock.words.errors import PenstockError

_log = logging.getLogger("penstock.http")


def open_app(
    core: Core,
    *,
    guard: Guard,
    shutdown: Shutdown,
    base: str,
    health_of: HealthOf,
    metrics: Handler | None = None,
    count: CountRequest = count_nothing,
    mcp: ASGI | None = None,
) -> ASGI:
    """Everything behind the door but WebSockets, guarded.

    `base` is how clients on this box address the daemon, for those that came by its Unix socket.
    """
    handlers = {
        **rest_handlers(core, shutdown, health_of, metrics),
        **page_handlers(core.config, guard),
    }
    rest = build_rest(handlers, core.selection.numbered)
    stdin = make_stdin_app(core.control, core.config)
    address = make_public_address(core.config, base)
    mux = asgi_mux(rest, stdin, make_live_app(core, shutdown), mcp)
    return counted(guarded(mux, guard, core.config, core.version, address), count)


def rest_handlers(
    core: Core, shutdown: Shutdown, health_of: HealthOf, metrics: Handler | None = None
) -> dict[str, Handler]:
    """What answers each route, by the route's name."""
    return {
        **run_handlers(core),
        **look_handlers(core),
        **control_handlers(core),
        **ask_handlers(core),
        **event_handlers(core, shutdown),
        **output_handlers(core, shutdown),
        **task_handlers(core),
        **queue_handlers(core),
        **dismissal_handlers(core),
        **daemon_handlers(core, health_of),
        "metrics": metrics or no_metrics,
    }


def page_handlers(config: Config, guard: Guard) -> dict[str, Handler]:
    """What answers the routes of the page, and gives its files where it is on."""
    if not config.web:
        return no_page_handlers()
    codes = PageCodes(config.web_code_seconds, config.max_web_codes)
    return {**letting_in_handlers(codes, guard.page_keys), **page_file_handlers()}


#: The id of the run that a part of an address names by its number; None: it is no number.
Numbered = Callable[[str], Awaitable[str | None]]


async def no_numbers(_text: str) -> str | None:
    """Where runs have none."""
    await trio.lowlevel.checkpoint()
    return None


def build_rest(
    handlers: Mapping[str, Handler], numbered: Numbered = no_numbers
) -> ASGI:
    """The route table with a handler for each name in it, for requests that are let in, bodies and all."""
    here = [route for route in ROUTES if not (route.streamed or route.live)]
    # The files of the page are there only where it is on.
    table = RouteTable([*here, *(r for r in PAGE_ROUTES if r.name in handlers)])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive()).get("body", b"")
        try:
            route, path = table.find(scope["method"], scope["path"])
        except HttpRefused as error:
            await answer_whole(send, _refused(scope["method"], error))
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_heed, receive, nursery.cancel_scope)
            reply = await _reply(scope, route, path, body)
            if isinstance(reply, HttpAnswer):
                await answer_whole(send, reply)
            else:
                await _send_stream(send, reply, bare=scope["method"] == "HEAD")
            nursery.cancel_scope.cancel(reason="the request is answered")

    async def _reply(
        scope: Scope, route: Route, path: dict[str, str], body: bytes
    ) -> HttpAnswer | HttpStream:
        try:
            if "run_id" in path and (known := await numbered(path["run_id"])):
                path["run_id"] = known
            answer = handlers[route.name](_call(scope, route, path, body))
            return answer if isinstance(answer, HttpAnswer) else await answer
        except PenstockError as error:
            return _answer_for(scope, error)
        except Exception:  # noqa: BLE001
            # The boundary of one request: the client learns that it failed, the log learns why.
            return _fault(scope)

    return app


class RouteTable:
    """Which route a request is for. A path is what it is: no other one stands for it."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes: dict[int, list[tuple[list[str], Route]]] = {}
        for route in routes:
            parts = route.path.split("/")
            self._routes.setdefault(len(parts), []).append((parts, route))

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route, and what stands in its path's places. HttpRefused: 404, or 405 with what is allowed."""
        allowed = {"OPTIONS"}
        given = path.split("/")
        for parts, route in self._routes.get(len(given), ()):
            places = _match(parts, given)
            if places is None:
                continue
            methods = _methods_of(route)
            if method in methods:
                return route, places
            allowed |= methods
        if allowed == {"OPTIONS"}:
            raise HttpRefused(404, "there is nothing at this path")
        headers = {"Allow": ", ".join(sorted(allowed))}
        raise HttpRefused(405, "this path does not take this method", headers)


def _methods_of(route: Route) -> set[str]:
    return {route.method, "HEAD"} if route.method == "GET" else {route.method}


def _match(parts: Sequence[str], given: Sequence[str]) -> dict[str, str] | None:
    """What stands in the places of a route's path, if this path is one of it; a place is not empty."""
    places: dict[str, str] = {}
    for part, text in zip(parts, given, strict=True):
        if part.startswith("{") and text:
            places[part[1:-1]] = text
        elif part != text:
            return None
    return places


async def _heed(receive: Receive, scope: trio.CancelScope) -> None:
    """Who has left is not worked for any more."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel(reason="the client has left")


def _call(scope: Scope, route: Route, path: Mapping[str, str], body: bytes) -> Call:
    return Call(
        route=route,
        path=path,
        query=parse_query(route, scope["query_string"]),
        headers={
            name.decode("latin1").lower(): value.decode("latin1")
            for name, value in scope["headers"]
        },
        body=body,
        base=scope["state"][BASE_STATE],
    )


def _answer_for(scope: Scope, error: PenstockError) -> HttpAnswer:
    # What has a row of its own is foreseen, and the log has it already where it belongs there.
    unforeseen = row_of(error) is PROBLEMS[PenstockError]
    return _fault(scope) if unforeseen else problem_answer(error)


def _fault(scope: Scope) -> HttpAnswer:
    fault_id = secrets.token_hex(8)
    _log.exception("fault %s: %s %s", fault_id, scope["method"], scope["path"])
    return fault_answer(fault_id)


def _refused(method: str, error: HttpRefused) -> HttpAnswer:
    """Who asks what a path takes is told so."""
    asks = method == "OPTIONS" and error.status == 405
    return HttpAnswer(204, headers=error.headers) if asks else problem_answer(error)


async def _send_stream(send: Send, reply: HttpStream, *, bare: bool) -> None:
    """The stream's head, and unless that was all that was asked for, its body as long as it lasts."""
    headers = {
        "content-type": reply.content_type,
        "cache-control": "no-store",
        # Proxies must pass each line on as it comes.
        "x-accel-buffering": "no",
        "x-content-type-options": "nosniff",
        **reply.headers,
    }
    start: dict[str, Any] = {"type": "http.response.start", "status": 200}
    start["headers"] = [
        (name.lower().encode("ascii"), value.encode("ascii"))
        for name, value in headers.items()
    ]
    await send(start)
    if not bare:
        # Its subscription is held exactly as long as it is sent.
        with reply.open() as chunks:
            async for chunk in chunks:
                piece = {"type": "http.response.body", "body": chunk, "more_body": True}
                await send(piece)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
