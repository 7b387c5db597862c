"""What no daemon of this version says: cut streams, wrong frames, other logs, others' texts.

What a client does with them is what is tested. What the core decides is asked of the real one: see
`house`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import h11
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from penstock.words.address import Address
from penstock.words.live_frames import CONTENT_TYPE as LIVE_TYPE

Script = Callable[[WebSocketConnection, dict[str, str]], Awaitable[None]]
AT = "2026-01-02T03:04:05.000000Z"
#: What a daemon says that knows no `after_id`.
OLDER_REFUSES = {
    "type": "urn:penstock:refused",
    "detail": "after_id: unknown parameter",
}


@dataclass
class Asked:
    """A request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: Any


@dataclass
class ForeignDaemon:
    """Answers `routes[method, path]` with (status, body); plays `scripts` to WebSocket clients in turn."""

    address: Address
    routes: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    scripts: list[Script] = field(default_factory=list)
    #: What clients that ask for lines are told in turn; then the connection is cut.
    lines: list[list[dict[str, Any]]] = field(default_factory=list)
    #: The same for clients that come for what a run prints, in frames.
    live: list[bytes] = field(default_factory=list)
    #: How many clients that ask for lines find nobody, before any is told something.
    absent: int = 0
    #: Facts told by pages, as `?after=` asks for them.
    pages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    #: How it names itself; None: not at all, as the first release.
    server: str | None = None
    #: Whether it is of a version that knows no `after_id`.
    older: bool = False

    async def handle(self, stream: trio.SocketStream) -> None:
        """One connection."""
        async with stream:
            head = b""
            while b"\r\n\r\n" not in head:
                more = await stream.receive_some(65536)
                if not more:
                    return
                head += more
            back = GivesBack(stream, head)
            if b"upgrade: websocket" in head.lower():
                await self._stream(back)
            else:
                # The client may leave in the midst of an answer.
                with suppress(trio.BrokenResourceError):
                    await self._answer(back)

    async def _answer(self, stream: GivesBack) -> None:
        connection = h11.Connection(h11.SERVER)
        while True:
            request = await _next(connection, stream)
            if not isinstance(request, h11.Request):
                return
            body = b""
            while isinstance(event := await _next(connection, stream), h11.Data):
                body += bytes(event.data)
            asked = _asked(request, json.loads(body) if body else None)
            self.asked.append(asked)
            accepts = asked.headers.get("accept")
            if accepts == "application/x-ndjson" and self.absent:
                self.absent -= 1
                return
            if accepts == "application/x-ndjson" and self.lines:
                await self._tell_lines(connection, stream, asked)
                return
            if accepts == LIVE_TYPE and self.live:
                form = ("Content-Type", LIVE_TYPE)
                head = h11.Response(status_code=200, headers=[form])
                await stream.send_all(connection.send(head) or b"")
                frames = h11.Data(data=self.live.pop(0))
                await stream.send_all(connection.send(frames) or b"")
                return
            key = (asked.method, asked.target.split("?")[0])
            if key[1] in self.pages:
                status, document = 200, _page(self.pages[key[1]], asked.target)
            else:
                status, document = self.routes.get(
                    key, (404, {"type": "urn:penstock:not-found"})
                )
            data = json.dumps(document).encode()
            headers = [("Content-Length", str(len(data)))]
            if self.server is not None:
                headers.append(("Server", self.server))
            reply = h11.Response(status_code=status, headers=headers)
            for event in (reply, h11.Data(data=data), h11.EndOfMessage()):
                await stream.send_all(connection.send(event) or b"")
            if connection.our_state is not h11.DONE:
                return
            connection.start_next_cycle()

    async def _tell_lines(
        self, connection: h11.Connection, stream: GivesBack, asked: Asked
    ) -> None:
        form = ("Content-Type", "application/x-ndjson")
        reply = h11.Response(status_code=200, headers=[form])
        refused = self.older and "after_id" in asked.target
        if refused:
            reply = h11.Response(status_code=400, headers=[])
        await stream.send_all(connection.send(reply) or b"")
        told = OLDER_REFUSES if refused else self.lines.pop(0)
        for line in [told] if isinstance(told, dict) else told:
            data = h11.Data(data=json.dumps(line).encode() + b"\n")
            await stream.send_all(connection.send(data) or b"")
        if refused:
            await stream.send_all(connection.send(h11.EndOfMessage()) or b"")

    async def _stream(self, stream: GivesBack) -> None:
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, stream)
            headers = {k.decode().lower(): v.decode() for k, v in request.headers}
            self.asked.append(Asked("WS", request.path, headers, None))
            if self.older and "after_id" in request.path:
                await request.reject(400, body=json.dumps(OLDER_REFUSES).encode())
            elif self.scripts:
                await _play(self.scripts.pop(0), await request.accept(), headers)
            else:
                await request.reject(404, body=b'{"type":"urn:penstock:run-not-found"}')
            nursery.cancel_scope.cancel(reason="script played")


@asynccontextmanager
async def open_foreign_daemon(
    socket: Path | None = None,
) -> AsyncIterator[ForeignDaemon]:
    """A foreign daemon on a Unix socket, or on a free port with the token `secret`."""
    if socket is None:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        address = Address(base=f"http://127.0.0.1:{port}", token="secret")
    else:
        server = trio.socket.socket(trio.socket.AF_UNIX)
        await server.bind(str(socket))
        server.listen()
        listener = trio.SocketListener(server)
        address = Address(base="http://localhost", socket=socket)
    daemon = ForeignDaemon(address)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, daemon.handle, [listener])
        yield daemon
        nursery.cancel_scope.cancel(reason="test over")


def fact(
    position: int, sequence: int, event: dict[str, Any], run_id: str = "r"
) -> dict[str, Any]:
    """An envelope as the daemon sends it."""
    return {
        "position": position, "run_id": run_id, "sequence": sequence, "at": AT, "clock": {},
        "event_id": f"01890000-0000-7000-8000-{position:012d}", "causation_id": None,
        "code_version": 0, "event": event,
    }  # fmt: skip


def story(run_id: str = "r", first: int = 1, **end: Any) -> list[dict[str, Any]]:
    """A small run: queued, started, a line on each stream, and its end."""
    events: list[dict[str, Any]] = [
        {"type": "run.queued", "kind": "command", "priority": 20},
        {"type": "run.started", "kind": "command"},
        {"type": "log", "text": "to stdout\n", "stream": "stdout"},
        {"type": "log", "text": "to stderr\n", "stream": "stderr"},
        end or {"type": "run.completed", "result": {"exit_code": 0}},
    ]
    return [fact(first + n, n + 1, event, run_id) for n, event in enumerate(events)]


def hello(epoch: str = "e1", head: int = 0) -> str:
    return json.dumps(
        {
            "type": "hello",
            "daemon": "0",
            "epoch": epoch,
            "life": "l",
            "head": head,
            "floor": 1,
        }
    )


def tells(*facts: dict[str, Any], epoch: str = "e1", close: int = 1000) -> Script:
    """A script: hello, these facts in one frame, then the end of the connection."""

    async def play(connection: WebSocketConnection, _headers: dict[str, str]) -> None:
        await connection.send_message(hello(epoch))
        if facts:
            await connection.send_message(
                json.dumps({"type": "events", "events": facts})
            )
        await connection.aclose(close)

    return play


class GivesBack(trio.abc.Stream):
    """A stream that gives bytes back that were read to look at them."""

    def __init__(self, stream: trio.SocketStream, head: bytes) -> None:
        self._stream, self._head = stream, head

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        return bytes(await self._stream.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


def _page(facts: list[dict[str, Any]], target: str) -> dict[str, Any]:
    """The next two facts after the cursor in the target; small pages, so that there are several."""
    after = int(parse_qs(urlsplit(target).query).get("after", ["0"])[0])
    page = [fact for fact in facts if fact["position"] > after][:2]
    following = page[-1]["position"] if page else after
    return {"events": page, "next": following, "more": bool(page)}


async def _play(
    script: Script, connection: WebSocketConnection, headers: dict[str, str]
) -> None:
    try:
        await script(connection, headers)
        await connection.aclose()
    except ConnectionClosed:
        # The client has left before the script was over: that is a script too.
        pass


async def _next(connection: h11.Connection, stream: GivesBack) -> Any:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await stream.receive_some())
    return event


def _asked(request: h11.Request, body: Any) -> Asked:
    headers = {k.decode(): v.decode() for k, v in request.headers}
    return Asked(request.method.decode(), request.target.decode(), headers, body)
