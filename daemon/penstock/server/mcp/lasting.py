"""Sessions of the older protocol that outlast their server: a restart of the daemon, or a long silence.

The rule for clients is to open a new session when one is not known any more. Hosts on the TypeScript SDK
v1 do not all keep it (Gemini CLI), and are without their tools from then on. A session's id therefore
carries what the client said when it opened it, and one that the server does not know is opened again
from that: nothing is kept for it meanwhile. Its subscriptions are gone, its runs are the daemon's anyway.
"""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import trio
from pydantic_core import from_json

from penstock.server.asgi import ASGI, Receive, Scope, Send

#: Characters of what a client said of itself that its session's id may carry; hosts say 100 to 600.
#: Ids of who says more are as they were, and end with the server.
LONGEST_OPENING = 2048
SESSION = b"mcp-session-id"
VERSION = b"mcp-protocol-version"

Event = dict[str, Any]


class LastingSessions:
    """Before a server of sessions; `most` is how many of them it has at a time."""

    def __init__(self, server: ASGI, most: int) -> None:
        self._server, self._most = server, most
        #: By the id that a client has, the one under which its session goes on.
        self._renewed: OrderedDict[str, str] = OrderedDict()
        #: What clients ended themselves, and nobody opens again.
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._renewing = trio.Lock()

    async def receive(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        told = _header(scope, SESSION)
        if told is None:
            await self._open(scope, receive, send)
        elif (opening := opening_in(told)) is None or told in self._ended:
            await self._server(scope, receive, send)
        else:
            await self._go_on(told, opening, scope, receive, send)

    def kept(self) -> tuple[int, int]:
        """Of how many sessions something is known here: opened again, and ended by their clients."""
        return len(self._renewed), len(self._ended)

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request without a session: the first of one, or one of the newer protocol."""
        heard = _Heard(receive)
        naming = _naming(send, lambda inner: with_opening(inner, heard.data))
        await self._server(scope, heard.receive, naming)

    async def _go_on(
        self, told: str, opening: Event, scope: Scope, receive: Receive, send: Send
    ) -> None:
        inner = self._renewed.get(told, told.partition(".")[0])
        heard = _Heard(receive)
        if scope["method"] == "DELETE":
            await self._ask(told, inner, scope, heard, self._ending(told, send))
        elif await self._ask(told, inner, scope, heard, send, unless=404) == 404:
            renewed = await self._renew(told, inner, opening, scope)
            heard.again()
            await self._ask(told, renewed, scope, heard, send)

    async def _ask(
        self, told: str, inner: str, scope: Scope, heard: _Heard, send: Send, unless: int = 0
    ) -> int:  # fmt: skip
        """Ask under the server's own id; the status of the answer, which is not sent on if it is `unless`."""
        headers = [(k, inner.encode() if k == SESSION else v) for k, v in scope["headers"]]  # fmt: skip
        status = 0

        async def pass_on(event: Event) -> None:
            nonlocal status
            if event["type"] == "http.response.start":
                status = event["status"]
            if status == unless:
                await trio.lowlevel.checkpoint()
            else:
                await send(event)

        naming = _naming(pass_on, lambda _inner: told)
        await self._server({**scope, "headers": headers}, heard.receive, naming)
        return status

    async def _renew(self, told: str, lost: str, opening: Event, scope: Scope) -> str:
        """Open the session again, unless another request just did; the id that it now has."""
        async with self._renewing:
            if (known := self._renewed.get(told, lost)) != lost:
                return known
            version = _header(scope, VERSION) or opening.get("protocolVersion")
            params = {**opening, "protocolVersion": version}
            first = {
                "jsonrpc": "2.0",
                "id": 0,
                "method": "initialize",
                "params": params,
            }
            inner = await self._say(first, None, scope)
            if inner is None:
                return lost
            await self._say({"jsonrpc": "2.0", "method": "notifications/initialized"}, inner, scope)  # fmt: skip
            self._renewed[told] = inner
            _trim(self._renewed, self._most)
            return inner

    async def _say(self, message: Event, inner: str | None, scope: Scope) -> str | None:
        """Send the server a message as the client would; the id of the session that it tells."""
        left_out = (SESSION, b"content-length", b"content-type", b"accept", b"last-event-id")  # fmt: skip
        headers = [(k, v) for k, v in scope["headers"] if k not in left_out]
        headers += [
            (b"content-type", b"application/json"),
            (b"accept", b"application/json, text/event-stream"),
            *([] if inner is None else [(SESSION, inner.encode())]),
        ]
        given: str | None = None

        async def listen(event: Event) -> None:
            nonlocal given
            await trio.lowlevel.checkpoint()
            if event["type"] == "http.response.start":
                given = _value(event["headers"], SESSION)

        heard = _Heard(_nothing_more)
        heard.put(json.dumps(message).encode())
        await self._server({**scope, "method": "POST", "headers": headers}, heard.receive, listen)  # fmt: skip
        return given

    def _ending(self, told: str, send: Send) -> Send:
        """Ends the session before its client hears so: what it asks next may come at once."""

        async def pass_on(event: Event) -> None:
            if event["type"] == "http.response.start" and event["status"] < 400:
                self._end(told)
            await send(event)

        return pass_on

    def _end(self, told: str) -> None:
        self._renewed.pop(told, None)
        self._ended[told] = None
        _trim(self._ended, self._most)


def with_opening(inner: str, body: bytes) -> str:
    """The id that a client is given: the server's own, and what the client said when it opened it."""
    try:
        message = from_json(body)
        params = message["params"] if message["method"] == "initialize" else None
    except (ValueError, TypeError, KeyError):
        return inner
    if not isinstance(params, dict):
        return inner
    kept = {k: v for k, v in params.items() if k != "_meta"}
    text = json.dumps(kept, separators=(",", ":")).encode()
    told = base64.urlsafe_b64encode(text).decode("ascii").rstrip("=")
    return f"{inner}.{told}" if len(told) <= LONGEST_OPENING else inner


def opening_in(told: str) -> Event | None:
    """What `with_opening` put into an id; None if there is no such thing."""
    inner, _, coded = told.partition(".")
    if not inner or not coded or len(coded) > LONGEST_OPENING:
        return None
    try:
        # An id comes as a header, whose depth nobody has counted; to this parser it is an error too.
        opening = from_json(base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)))
    except ValueError:
        return None
    return opening if isinstance(opening, dict) else None


class _Heard:
    """What a client sends, heard by the server, and said again when that did not know the session."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._events: list[Event] = []
        self._next = 0

    @property
    def data(self) -> bytes:
        return b"".join(event.get("body", b"") for event in self._events)

    def put(self, body: bytes) -> None:
        self._events.append({"type": "http.request", "body": body, "more_body": False})

    def again(self) -> None:
        """From the beginning."""
        self._next = 0

    async def receive(self) -> Event:
        if self._next < len(self._events):
            await trio.lowlevel.checkpoint()
            self._next += 1
            return self._events[self._next - 1]
        event = await self._receive()
        if event["type"] == "http.request":
            self._events.append(event)
            self._next += 1
        return event


async def _nothing_more() -> Event:
    """Who sent all goes on listening until the answer has come."""
    await trio.sleep_forever()
    raise AssertionError("not reached")


def _naming(send: Send, named: Callable[[str], str]) -> Send:
    """`send`, with the session's id in an answer as its client knows it."""

    async def name(event: Event) -> None:
        if event["type"] == "http.response.start":
            headers = [
                (k, named(v.decode("latin-1")).encode() if k.lower() == SESSION else v)
                for k, v in event["headers"]
            ]
            event = {**event, "headers": headers}
        await send(event)

    return name


def _header(scope: Scope, name: bytes) -> str | None:
    return _value(scope["headers"], name)


def _value(headers: list[tuple[bytes, bytes]], name: bytes) -> str | None:
    return next((v.decode("latin-1") for k, v in headers if k.lower() == name), None)


def _trim(kept: OrderedDict[str, Any], most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)
