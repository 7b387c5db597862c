"""A TCP relay between one daemon and its server: it holes, refuses, delays, and resets in place of an answer."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import trio

#: Bytes that are handed on at once.
PIECE = 64 * 1024
#: Seconds between two looks whether a hole is over.
LOOK_SECONDS = 0.02
#: Words of the server's protocol: that a COMMIT is done, and that a session is within a transaction.
COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"
WITHIN = b"Z\x00\x00\x00\x05T"
#: Seconds for the server to take a connection.
CONNECT_SECONDS = 5.0

Mode = Literal["up", "hole", "refuse"]


@dataclass(eq=False, slots=True)
class TcpRelay:
    """Between a port of this box and a server's Unix socket; what it does is set from outside."""

    #: Where the server listens; a failover sets another.
    target: Path
    port: int = 0
    #: `hole`: nothing goes through, and nobody is told; what was sent comes later, as by TCP.
    mode: Mode = "up"
    #: Seconds by which each piece is late, either way.
    delay: float = 0.0
    #: What becomes of each piece that the server says, as long as it was.
    edit: Callable[[bytes], bytes] = bytes
    #: Of so many of the next COMMITs the answer is a reset.
    lose: int = 0
    lost: int = 0
    #: Called once, when the server next says that a session is within a transaction, before the
    #: client hears of it.
    within: Callable[[], None] | None = None
    _open: set[trio.CancelScope] = field(default_factory=set)

    def refuse(self) -> None:
        """Reset all that is open, and whatever comes."""
        self.mode = "refuse"
        self.reset()

    def reset(self) -> None:
        """Reset all that is open."""
        for scope in self._open:
            scope.cancel(reason="a reset")

    async def serve(self, client: trio.SocketStream) -> None:
        """One connection, until either end closes it."""
        with trio.CancelScope() as scope, suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):  # fmt: skip
            self._open.add(scope)
            try:
                await self._join(client, scope)
            finally:
                self._open.discard(scope)
                _reset(client)

    async def _join(self, client: trio.SocketStream, scope: trio.CancelScope) -> None:
        if self.mode == "refuse":
            return
        await self._flowing()
        with trio.fail_after(CONNECT_SECONDS):
            server = await trio.open_unix_socket(str(self.target))
        async with server, trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, client, server, scope, bytes)
            nursery.start_soon(self._pump, server, client, scope, self.edit)

    async def _pump(
        self,
        source: trio.SocketStream,
        sink: trio.SocketStream,
        scope: trio.CancelScope,
        edit: Callable[[bytes], bytes],
    ) -> None:
        """Hand on what comes from `source`, until one of both has gone."""
        with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await source.receive_some(PIECE):
                await self._flowing()
                if self.delay:
                    await trio.sleep(self.delay)
                if self.lose and COMMITTED in data:
                    self.lose, self.lost = self.lose - 1, self.lost + 1
                    break
                if self.within is not None and WITHIN in data:
                    called, self.within = self.within, None
                    called()
                await sink.send_all(edit(data))
        scope.cancel(reason="an end has gone")

    async def _flowing(self) -> None:
        while self.mode == "hole":  # noqa: ASYNC110 (set from outside, by no task that could tell)
            await trio.sleep(LOOK_SECONDS)


def _reset(client: trio.SocketStream) -> None:
    """Close it so that its end hears a reset and no end."""
    with suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()


@asynccontextmanager
async def open_relay(target: Path) -> AsyncIterator[TcpRelay]:
    """A relay on a free port of loopback, until the block is left."""
    relay = TcpRelay(target)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    relay.port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, relay.serve, listeners)
        try:
            yield relay
        finally:
            nursery.cancel_scope.cancel(reason="the relay is closed")
