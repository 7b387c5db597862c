"""The way in behind Hypercorn: the guard, the body, and which application answers."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote_to_bytes

import trio

from penstock.concurrency.deferred import only
from penstock.runs.run_scopes import RunScope
from penstock.server.cross_origin import PREFLIGHT, is_preflight, sharing_headers
from penstock.server.guard import (
    WRITES,
    Guard,
    RequestHead,
    body_too_large,
    is_streamed,
)
from penstock.server.http_answer import (
    HttpAnswer,
    HttpRefused,
    Unfinished,
    problem_answer,
)
from penstock.server.public_address import BASE_STATE, PublicAddress
from penstock.words.config import Config
from penstock.words.errors import PenstockError, Refused
from penstock.words.json_meter import JsonMeter

_log = logging.getLogger("penstock.http")
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
ASGI = Callable[[Any, Any, Any], Awaitable[None]]

#: Where the door says, in a scope's state, that a connection came in by the Unix socket.
UNIX_STATE = "penstock.unix"
#: And where it keeps what is to be called once a connection's client has shown the token.
KNOWN_STATE = "penstock.known"
#: On behalf of which run is asked, None for the owner: as the door knows it, and then as the guard does.
RUN_STATE = "penstock.run"
#: Trio's time until which the client is let in by what it has shown.
UNTIL_STATE = "penstock.until"
#: And what sends `100 Continue`, if the client waits for it.
CONTINUE_STATE = "penstock.continue"
#: And what waits for ever, while it is entered, for a client that takes nothing.
PATIENT_STATE = "penstock.patient"


_LIVE = re.compile(r"/runs/[^/]+/live")


class Gone(Exception):
    """The client left while it was sending its request."""


def asgi_mux(rest: ASGI, stdin: ASGI, live: ASGI, mcp: ASGI | None) -> ASGI:
    """Send bodies that are streams to `stdin`, runs that are told live to `live`, `/mcp` and `/mcp/` to
    `mcp`, if there is one, and everything else to `rest`."""

    async def mux(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["raw_path"].decode("ascii")
        if is_streamed(scope["method"], path):
            await stdin(scope, receive, send)
        elif scope["method"] == "GET" and _LIVE.fullmatch(path):
            await live(scope, receive, send)
        elif mcp is not None and scope["path"].rstrip("/") == "/mcp":
            await mcp(scope, receive, send)
        else:
            await rest(scope, receive, send)

    return mux


def guarded(
    app: ASGI, guard: Guard, config: Config, version: str, address: PublicAddress
) -> ASGI:
    """`app` behind the guard: it sees admitted requests only, each with its whole body.

    Only a body that is a stream is left to `app` as it comes. Every answer names the daemon and its
    `version`, and every scope's state says how its client addresses the daemon.
    """
    server = f"penstock/{version}".encode("ascii")

    async def entrance(scope: Scope, receive: Receive, send: Send) -> None:
        request_head = _request_head_of(scope)
        origin = guard.shared_with(request_head)
        send = _naming(send, [(b"server", server), *sharing_headers(origin)])
        preflight = origin is not None and is_preflight(request_head)
        refusal = _judge(guard, scope, request_head, preflight=preflight)
        if scope["type"] == "websocket":
            # Only the first request of a connection can become a stream: the door looks there.
            error = refusal or HttpRefused(404, "there is no stream here")
            await _refuse_websocket(receive, send, error)
        elif refusal is not None:
            await _refuse(receive, send, refusal, config)
        elif preflight:
            answer = HttpAnswer(204, headers=PREFLIGHT)
            await answer_early(receive, send, answer, config)
        else:
            run = guard.run_of(request_head)
            await _let_in(scope, guard, request_head)
            peer = (scope["client"] or (None,))[0]
            state = {
                **scope["state"],
                RUN_STATE: run,
                BASE_STATE: address.base_of(request_head, peer),
                UNTIL_STATE: admitted_until(guard, request_head),
            }
            scope = {**scope, "path": _decoded(scope["raw_path"]), "state": state}
            inner = app if run is None else _as_long_as(run, app)
            await _hand_on(inner, scope, receive, send, request_head, config)

    return _breaking_off(entrance)


def _judge(
    guard: Guard, scope: Scope, request_head: RequestHead, *, preflight: bool
) -> PenstockError | None:
    """Why a request is refused, by who asks and by where it goes."""
    if preflight:
        return guard.judge_preflight(request_head)
    handshake = _is_stream(scope, request_head)
    refusal = guard.judge(request_head, handshake=handshake)
    return refusal or _judge_target(scope, request_head)


async def _hand_on(
    app: ASGI,
    scope: Scope,
    receive: Receive,
    send: Send,
    request_head: RequestHead,
    config: Config,
) -> None:
    """An admitted request, with its whole body unless that is a stream."""
    if not is_streamed(request_head.method, request_head.path):
        try:
            parsed = request_head.method in WRITES
            body = await _read_body(receive, config, parsed=parsed)
        except Gone:
            return
        except PenstockError as error:
            await _refuse(receive, send, error, config)
            return
        receive = _replay(body, receive)
    await app(scope, receive, _whole_ending(send))


def _as_long_as(run: RunScope, app: ASGI) -> ASGI:
    """`app` for one who may ask only as long as a run executes: what is not answered then is broken off."""

    async def as_long_as(scope: Scope, receive: Receive, send: Send) -> None:
        async with open_while(run):
            await app(scope, receive, send)

    return as_long_as


@asynccontextmanager
async def open_while(run: RunScope) -> AsyncIterator[None]:
    """Its block is left when the execution of the run is over."""
    async with trio.open_nursery() as nursery:

        async def leave() -> None:
            await run.wait_over()
            nursery.cancel_scope.cancel(reason="the run that asks is over")

        nursery.start_soon(leave)
        yield
        nursery.cancel_scope.cancel(reason="all is answered")


def _breaking_off(app: ASGI) -> ASGI:
    """`app` where an answer may end unfinished: Hypercorn closes what its application left open."""

    async def breaking_off(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except* Unfinished as unfinished:
            path, why = scope["raw_path"].decode("ascii"), only(unfinished)
            _log.info("the answer to %s was broken off: %s", path, why)

    return breaking_off


def admitted_until(
    guard: Guard, request_head: RequestHead, shown: str | None = None
) -> float | None:
    """Trio's time at which ends what let this peer in; None unless it is the key of a page."""
    left = guard.seconds_left(request_head, shown)
    return None if left is None else trio.current_time() + left


async def _let_in(scope: Scope, guard: Guard, request_head: RequestHead) -> None:
    """Tell the connection that this request was admitted: from now on its body is wanted."""
    state = scope["state"]
    if guard.has_shown_token(request_head) and KNOWN_STATE in state:
        state[KNOWN_STATE]()
    if CONTINUE_STATE in state:
        await state[CONTINUE_STATE]()


def _request_head_of(scope: Scope) -> RequestHead:
    unix = scope["state"].get(UNIX_STATE) is True
    return RequestHead(
        method=scope.get("method", "GET"),
        path=scope["raw_path"].decode("ascii"),
        query=scope["query_string"],
        headers=list(scope["headers"]),
        # An address that is unknown is nobody's, and no Host matches it.
        local=None if unix else tuple(scope["server"] or ("", 0))[:2],
        within=scope["state"].get(RUN_STATE),
    )


def _is_stream(scope: Scope, request_head: RequestHead) -> bool:
    return scope["type"] == "websocket" and _is_stream_path(request_head.path)


def _is_stream_path(path: str) -> bool:
    return path == "/ws" or path.startswith("/ws/")


def _judge_target(scope: Scope, request_head: RequestHead) -> PenstockError | None:
    """What only looks at where the request goes, after the guard looked at who asks."""
    if scope["http_version"] not in ("1.0", "1.1"):
        return HttpRefused(505, "HTTP/1.1 only")
    if request_head.method == "CONNECT":
        return HttpRefused(501, "this is no proxy: CONNECT leads nowhere from here")
    if request_head.path == "*":
        why = "* is no resource here: ask for a path; GET /openapi.json lists them"
        return Refused("path", why)
    if not request_head.path.startswith("/"):
        why = "must start with a slash, or be an http:// or https:// address of this daemon"
        return Refused("path", why)
    if _is_stream_path(request_head.path):
        headers = {"Upgrade": "websocket", "Connection": "close"}
        return HttpRefused(
            426, "a stream is the first request of its connection", headers
        )
    try:
        _decoded(scope["raw_path"])
    except UnicodeDecodeError:
        return Refused("path", "is not UTF-8 when decoded")
    return None


def _decoded(raw_path: bytes) -> str:
    """The path decoded. A separator that was encoded is part of an id, where it becomes `-`."""
    for separator in (b"%2F", b"%2f", b"%5C", b"%5c"):
        raw_path = raw_path.replace(separator, b"-")
    return unquote_to_bytes(raw_path).decode("utf-8")


async def _read_body(receive: Receive, config: Config, *, parsed: bool) -> bytes:
    body = bytearray()
    meter = JsonMeter(
        "body", most_values=config.max_body_values, deepest=config.max_body_depth
    )
    with trio.move_on_after(config.stall_timeout) as patience:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            piece = message.get("body", b"")
            body += piece
            if len(body) > config.max_body_bytes:
                raise body_too_large(config.max_body_bytes)
            if parsed:
                meter.feed(piece)
            if not message.get("more_body", False):
                break
    if patience.cancelled_caught:
        raise HttpRefused(
            408, "the request body did not come in time", {"Connection": "close"}
        )
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the body at once and then what the connection says."""
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> dict[str, Any]:
        return pending.pop() if pending else await receive()

    return replay


def _naming(send: Send, more: Sequence[tuple[bytes, bytes]]) -> Send:
    """A send that adds who answers, and to which pages."""

    async def named(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = [*message["headers"], *more]
            message = {**message, "headers": headers}
        await send(message)

    return named


def _whole_ending(send: Send) -> Send:
    """A send whose last message is always finished.

    With it Hypercorn tells the application that the request is over, whereupon Quart-Trio cancels
    whoever is sending: Hypercorn would never get to set the time limit of an idle connection.
    The shield is bounded: what a peer does not take, DoorStream breaks.
    """

    async def whole(message: dict[str, Any]) -> None:
        is_body = message["type"] == "http.response.body"
        with trio.CancelScope(shield=is_body and not message.get("more_body", False)):
            await send(message)

    return whole


async def _refuse(
    receive: Receive, send: Send, error: PenstockError, config: Config
) -> None:
    answer = problem_answer(error)
    # A stranger keeps no connection.
    stranger = answer.status in (401, 403)
    await answer_early(receive, send, answer, config, close=stranger)


async def answer_early(
    receive: Receive,
    send: Send,
    answer: HttpAnswer,
    config: Config,
    *,
    close: bool = False,
) -> None:
    """Answer a request whose body was not read to its end; `close` ends the connection with it."""
    headers = _headers(answer)
    if close:
        headers.append((b"connection", b"close"))
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": headers,
        }
    )
    await send({"type": "http.response.body", "body": answer.body, "more_body": True})
    # A connection that is closed with bytes unread takes its answer along: read on for a moment.
    with trio.move_on_after(config.close_timeout):
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def answer_whole(send: Send, answer: HttpAnswer) -> None:
    """Answer a request whose body was read."""
    start = {"type": "http.response.start", "status": answer.status}
    await send({**start, "headers": _headers(answer)})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


async def _refuse_websocket(receive: Receive, send: Send, error: PenstockError) -> None:
    await receive()
    answer = problem_answer(error)
    headers = [*_headers(answer), (b"connection", b"close")]
    kind = "websocket.http.response"
    await send({"type": f"{kind}.start", "status": answer.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": answer.body, "more_body": False})


def _headers(answer: HttpAnswer) -> list[tuple[bytes, bytes]]:
    headers = answer.all_headers().items()
    return [
        (name.lower().encode("ascii"), value.encode("ascii")) for name, value in headers
    ]
