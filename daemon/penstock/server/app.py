"""The HTTP application: the route table on Quart-Trio, errors as problem documents.

Handlers know nothing of Quart: they take a Call and give an HttpAnswer, or an HttpStream.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

import trio
from quart import Response, request
from quart.wrappers.response import ResponseBody
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from penstock.runs.core import Core
from penstock.server.asgi import ASGI, RUN_STATE, UNTIL_STATE, asgi_mux, guarded
from penstock.server.boundary import reply_of
from penstock.server.guard import Guard
from penstock.server.health import HealthOf
from penstock.server.http_answer import (
    HttpAnswer,
    HttpRefused,
    HttpStream,
    problem_answer,
)
from penstock.server.judge import ScopeJudge
from penstock.server.live_input import make_stdin_app
from penstock.server.live_output import make_live_app
from penstock.server.public_address import BASE_STATE, make_public_address
from penstock.server.rest.daemon import (
    daemon_handlers,
    dismissal_handlers,
    no_metrics,
    queue_handlers,
    schedule_handlers,
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

View = Callable[..., Awaitable[Response]]


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
    judge = ScopeJudge(core)
    rest = build_rest(handlers, core.selection.numbered, judge)
    stdin = make_stdin_app(core.control, core.config, judge)
    address = make_public_address(core.config, base)
    mux = asgi_mux(rest, stdin, make_live_app(core, shutdown, judge), mcp)
    return counted(guarded(mux, guard, core.config, core.version, address), count)


def rest_handlers(
    core: Core, shutdown: Shutdown, health_of: HealthOf, metrics: Handler | None = None
) -> dict[str, Handler]:
    """What answers each route, by the route's name."""
    return {
        **run_handlers(core, ScopeJudge(core)),
        **look_handlers(core),
        **control_handlers(core),
        **ask_handlers(core),
        **event_handlers(core, shutdown),
        **output_handlers(core, shutdown),
        **task_handlers(core),
        **queue_handlers(core),
        **schedule_handlers(core),
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


def build_rest(
    handlers: Mapping[str, Handler],
    numbered: Numbered,
    judge: ScopeJudge,
) -> QuartTrio:
    """The route table with a handler for each name in it."""
    app = QuartTrio("penstock", static_folder=None)
    # A path is what it is: no redirects to a tidier one.
    app.url_map.merge_slashes = False
    # Long answers are bounded by what the client takes, not by the clock: see DoorStream.
    app.config["RESPONSE_TIMEOUT"] = None
    # The guard has counted the body already.
    app.config["MAX_CONTENT_LENGTH"] = None
    for route in (*ROUTES, *PAGE_ROUTES):
        # The files of the page are there only where it is on.
        if route in PAGE_ROUTES and route.name not in handlers:
            continue
        # What is answered beside routing comes here by other methods alone.
        elsewhere = route.streamed or route.live
        app.add_url_rule(
            re.sub(r"{(\w+)}", r"<\1>", route.path),
            route.name,
            (
                _by_one_method(route)
                if elsewhere
                else _view(route, handlers[route.name], numbered, judge)
            ),
            methods=[route.method],
            provide_automatic_options=False,
        )
    app.register_error_handler(HTTPException, _refused)
    return app


def _by_one_method(route: Route) -> View:
    async def refuse(**_path: str) -> Response:
        # HEAD, which routing takes for GET.
        await trio.lowlevel.checkpoint()
        raise MethodNotAllowed([route.method])

    return refuse


def _view(
    route: Route, handler: Handler, numbered: Numbered, judge: ScopeJudge
) -> View:
    async def view(**path: str) -> Response:
        async def read_call() -> Call:
            if "run_id" in path and (known := await numbered(path["run_id"])):
                path["run_id"] = known
            call = await _call(route, path)
            if call.scope is not None:
                await judge.admit(
                    call.scope, route.for_run, await _asked_of(call, numbered)
                )
            return call

        asked = f"{request.method} {request.path}"
        return _respond(await reply_of(handler, read_call, asked))

    return view


async def _asked_of(call: Call, numbered: Numbered) -> str | None:
    """Of which run something is asked, whatever it is called by; None: of none."""
    if "run_id" in call.path:
        return call.run_id
    word = call.query.get("word")
    return None if word is None else await numbered(word) or word


async def _call(route: Route, path: Mapping[str, str]) -> Call:
    headers = {name.lower(): value for name, value in request.headers.items()}
    body = await request.get_data(as_text=False)
    assert isinstance(body, bytes)
    return Call(
        route=route,
        path=path,
        query=parse_query(route, request.scope["query_string"]),
        headers=headers,
        body=body,
        base=request.scope["state"][BASE_STATE],
        until=request.scope["state"][UNTIL_STATE],
        scope=request.scope["state"][RUN_STATE],
    )


def _respond(reply: HttpAnswer | HttpStream) -> Response:
    if isinstance(reply, HttpAnswer):
        response = Response(reply.body, status=reply.status)
        response.headers.clear()
        response.headers.update(reply.all_headers())
        return response
    # Proxies must pass each line on as it comes.
    headers = {
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
        "X-Content-Type-Options": "nosniff",
        **reply.headers,
    }
    response = Response(b"", headers=headers, content_type=reply.content_type)
    response.headers.pop("Content-Length", None)
    if request.method == "HEAD":
        return response
    response.response = StreamBody(reply.open())
    return response


async def _refused(error: HTTPException) -> Response:
    """Whatever routing refused: no such path, or not with this method."""
    # Quart runs a plain function in a thread, so this one is async, and means it.
    await trio.lowlevel.checkpoint()
    status = error.code or 500
    headers: dict[str, str] = {}
    if status == 405:
        methods = {*(getattr(error, "valid_methods", None) or ()), "OPTIONS"}
        headers["Allow"] = ", ".join(sorted(methods))
        if request.method == "OPTIONS":
            return _respond(HttpAnswer(204, headers=headers))
    details = {
        404: "there is nothing at this path",
        405: "this path does not take this method",
    }
    detail = details.get(status, "the request was refused")
    return _respond(problem_answer(HttpRefused(status, detail, headers)))


class StreamBody(ResponseBody):
    """A response's body that holds its subscription exactly as long as it is sent.

    An async generator would keep it until it is collected, when its client leaves in a send.
    """

    def __init__(self, chunks: AbstractContextManager[AsyncIterator[bytes]]) -> None:
        self._chunks = chunks
        self._iterator: AsyncIterator[bytes] | None = None

    async def __aenter__(self) -> Self:
        self._iterator = self._chunks.__enter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._chunks.__exit__(kind, error, tb)

    def __aiter__(self) -> AsyncIterator[Any]:
        assert self._iterator is not None
        return self._iterator
