"""HTTP/1.1 as it is spoken here: Hypercorn's, without its ways out of it.

What a request's head may mean twice is settled here, before anything else sees it: there is no
other protocol to go over to, one framing of the body, and one form of target.
"""

from __future__ import annotations

import re
from typing import Any

import h11
from hypercorn.protocol.h11 import H11Protocol

from penstock.server.asgi import CONTINUE_STATE

_STREAM = re.compile(rb"/ws(?:[/?]|$)")
# Whoever speaks TLS stands before us, and its clients say so.
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)([^#]*)", re.IGNORECASE)


class Parser(h11.Connection):
    """The server's half of HTTP/1.1, stricter about a request's head than the original."""

    def __init__(self, *, max_head_bytes: int) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=max_head_bytes)

    @property
    def they_are_waiting_for_100_continue(self) -> bool:
        # Hypercorn would tell them to go on at once. Whether they may is for the guard to say.
        return False

    def receive_data(self, data: bytes) -> None:
        if not (data and self._is_last_answer()):
            super().receive_data(data)

    def _is_last_answer(self) -> bool:
        """Whether the answer that is being sent says `Connection: close`."""
        return self.their_state is h11.MUST_CLOSE

    def next_event(self) -> Any:
        if self._is_last_answer() and self.trailing_data[0]:
            # What the client sent after the request would be an error, and cut the answer to it.
            return h11.NEED_DATA
        event = super().next_event()
        if not isinstance(event, h11.Request):
            return event
        names = {name for name, _ in event.headers}
        if {b"content-length", b"transfer-encoding"} <= names:
            # Two servers in a row could take its end for different ones.
            raise h11.RemoteProtocolError("a body has one length, not two", 400)
        if not _wants(event, b"websocket"):
            # Else h11 stops reading until the answer is sent, and nobody sees the client leave.
            self._cstate.pending_switch_proposals.clear()
        return origin_form(event)


class Handover(Exception):
    """A request wants the connection to become a stream; `head` is it again, and what came after it."""

    def __init__(self, head: bytes) -> None:
        super().__init__("the connection is to become a stream")
        self.head = head


class Http1(H11Protocol):
    """One connection's protocol. Its scopes say in their state how to go on with a body."""

    def __init__(self, app: Any, config: Any, *others: Any) -> None:
        super().__init__(app, config, *others)
        self._parser = Parser(max_head_bytes=config.h11_max_incomplete_size)
        self.connection = self._parser
        self.connection_state[CONTINUE_STATE] = self._let_go_on

    async def _check_protocol(self, event: h11.Request) -> None:
        """Handover of a request for a stream: proxies send one on a connection that they used before.

        The original looks here for `Upgrade: h2c` and the preface of HTTP/2.
        """
        if (
            event.method == b"GET"
            and _wants(event, b"websocket")
            and _STREAM.match(event.target)
        ):
            raise Handover(written(event) + self._parser.trailing_data[0])

    async def _let_go_on(self) -> None:
        if self._parser.client_is_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            await self._send_h11_event(go_on)


def written(request: h11.Request) -> bytes:
    """The request's head, as it could have been sent."""
    first = b"%b %b HTTP/%b" % (request.method, request.target, request.http_version)
    lines = [b"%b: %b" % pair for pair in request.headers.raw_items()]
    return b"\r\n".join([first, *lines, b"", b""])


def origin_form(request: h11.Request) -> h11.Request:
    """The request with a target that begins with its path, as most are sent.

    A client that takes us for a proxy names the authority in its target, which then stands in for
    the Host header (RFC 9112, 3.2.2), so the guard judges it as such.
    """
    absolute = _ABSOLUTE.fullmatch(request.target)
    if absolute is None:
        return request
    authority, target = absolute.groups()
    others = [
        pair for pair in request.headers.raw_items() if pair[0].lower() != b"host"
    ]
    return h11.Request(
        method=request.method,
        target=target if target.startswith(b"/") else b"/" + target,
        headers=[(b"Host", authority), *others],
        http_version=request.http_version,
    )


def _wants(request: h11.Request, protocol: bytes) -> bool:
    return any(
        name == b"upgrade" and value.lower() == protocol
        for name, value in request.headers
    )
