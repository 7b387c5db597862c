"""What a process asks its own daemon: by the guard and the handlers of everybody, without a server.

A command that became its own daemon submits a run and follows it. The server that others would need for
that is two tenths of what such a command does, so nothing of it is imported here: a request is taken as it
is, and its answer written as HTTP to a socket whose other end the command reads as it reads any daemon's.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

import trio

from penstock.runs.core import Core
from penstock.server.asgi import (
    ASGI,
    UNIX_STATE,
    UNTIL_STATE,
    Receive,
    Scope,
    Send,
    answer_whole,
    asgi_mux,
    guarded,
)
from penstock.server.boundary import reply_of
from penstock.server.guard import make_guard
from penstock.server.http_answer import HttpAnswer
from penstock.server.judge import ScopeJudge
from penstock.server.live_output import make_live_app
from penstock.server.public_address import BASE_STATE, make_public_address
from penstock.server.rest.run_routes import control_handlers, run_handlers
from penstock.server.routes import ROUTES, Call, parse_query
from penstock.server.shutdown import Shutdown

#: What is asked of handlers here: to begin the run, and to end it.
_ROUTES = {route.name: route for route in ROUTES if route.name in ("submit", "cancel")}


@dataclass(frozen=True, slots=True)
class OwnRequest:
    """A request of this process; its target is the path with the query, its headers in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    def scope(self) -> Scope:
        """The same as the guard sees it: from our own user, by no network."""
        path, _, query = self.target.partition("?")
        headers = {
            "host": "localhost",
            "content-length": str(len(self.body)),
            **self.headers,
        }
        return {
            "type": "http",
            "http_version": "1.1",
            "method": self.method,
            "path": path,
            "raw_path": path.encode("ascii"),
            "query_string": query.encode("ascii"),
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
            "server": None,
            "client": None,
            "state": {UNIX_STATE: True},
        }


def answers_in_process(method: str, parts: tuple[str, ...]) -> bool:
    """Whether such a request is answered here; others go to the socket that all use."""
    match method, parts:
        case "POST", ("runs",):
            return True
        case ("GET", ("runs", _, "live")) | ("POST", ("runs", _, "cancel")):
            return True
    return False


@dataclass(eq=False, slots=True)
class InProcess:
    """Made by `open_in_process`, which ends what it has begun."""

    _app: ASGI
    _nursery: trio.Nursery
    _over: trio.Event = field(default_factory=trio.Event)

    async def take(self, asked: OwnRequest, theirs: socket.socket) -> None:
        """Begin to answer on this socket, which is ours to close from now on."""
        await trio.lowlevel.checkpoint()
        if self._over.is_set():
            theirs.close()
            return
        answer = partial(self._answer, asked, theirs)
        self._nursery.start_soon(answer, name=f"own {asked.method} {asked.target}")

    async def _answer(self, asked: OwnRequest, theirs: socket.socket) -> None:
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
        with stream.socket:
            spoken = _Spoken(stream, asked.body)
            await self._app(asked.scope(), spoken.receive, spoken.send)

    def close(self) -> None:
        """Take nothing more."""
        self._over.set()

    async def wait_closed(self) -> None:
        """Return when nothing more is taken."""
        await self._over.wait()


@asynccontextmanager
async def open_in_process(
    core: Core, shutdown: Shutdown, base: str
) -> AsyncIterator[InProcess]:
    """What answers this process; leaving the block waits for answers that `shutdown` ends, within its bound.

    They end by nothing else: who asked while the log broke is told so, and a cancel would close the
    connection on the answer.
    """
    config = core.config
    app = guarded(
        asgi_mux(
            _make_rest(core),
            _nothing,
            make_live_app(core, shutdown, ScopeJudge(core)),
            None,
        ),
        make_guard(config, None),
        config,
        core.version,
        make_public_address(config, base),
    )
    answering = trio.CancelScope(shield=True)

    async def serve(*, task_status: trio.TaskStatus[InProcess]) -> None:  # noqa: ASYNC128
        with answering:
            async with trio.open_nursery() as answers_nursery:
                own = InProcess(app, answers_nursery)
                task_status.started(own)
                await own.wait_closed()

    async with trio.open_nursery() as nursery:
        own = await nursery.start(serve)
        try:
            yield own
        finally:
            answering.deadline = trio.current_time() + config.shutdown_servers
            own.close()


def _make_rest(core: Core) -> ASGI:
    handlers = {**run_handlers(core, ScopeJudge(core)), **control_handlers(core)}

    async def rest(scope: Scope, receive: Receive, send: Send) -> None:
        _, _, *named = scope["path"].split("/")
        route = _ROUTES["cancel" if named else "submit"]

        async def read_call() -> Call:
            return Call(
                route=route,
                path={"run_id": named[0]} if named else {},
                query=parse_query(route, scope["query_string"]),
                headers={k.decode(): v.decode() for k, v in scope["headers"]},
                body=(await receive())["body"],
                base=scope["state"][BASE_STATE],
                until=scope["state"][UNTIL_STATE],
            )

        asked = f"POST {scope['path']}"
        answer = await reply_of(handlers[route.name], read_call, asked)
        assert isinstance(answer, HttpAnswer)
        await answer_whole(send, answer)

    return rest


async def _nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Streams are not sent this way."""
    await trio.lowlevel.checkpoint()
    raise NotImplementedError


@dataclass(eq=False, slots=True)
class _Spoken:
    """A request that was read, and its answer as HTTP/1.1 on a connection of its own."""

    stream: trio.SocketStream
    body: bytes | None
    _chunked: bool = False
    _gone: bool = False

    async def receive(self) -> dict[str, Any]:
        """The body, and then the client's leaving."""
        body, self.body = self.body, None
        if body is not None:
            await trio.lowlevel.checkpoint()
            return {"type": "http.request", "body": body, "more_body": False}
        with suppress(trio.BrokenResourceError):
            await self.stream.receive_some(1)
        self._gone = True
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        """The next part of the answer; to nobody, once the client has left."""
        if message["type"] == "http.response.start":
            data = self._head(message)
        else:
            data = self._part(message.get("body", b""))
            if self._chunked and not message.get("more_body", False):
                data += b"0\r\n\r\n"
        if self._gone or not data:
            await trio.lowlevel.checkpoint()
            return
        try:
            await self.stream.send_all(data)
        except trio.BrokenResourceError:
            self._gone = True

    def _head(self, message: dict[str, Any]) -> bytes:
        status = HTTPStatus(message["status"])
        headers = list(message["headers"])
        self._chunked = all(name != b"content-length" for name, _ in headers)
        if self._chunked:
            headers.append((b"transfer-encoding", b"chunked"))
        lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode("ascii")]
        lines += [b"%b: %b" % header for header in headers]
        return b"\r\n".join([*lines, b"connection: close", b"", b""])

    def _part(self, body: bytes) -> bytes:
        if body and self._chunked:
            return b"%x\r\n%b\r\n" % (len(body), body)
        return body
