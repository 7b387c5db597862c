"""WebSocket connections that say why they end a peer's fault: the library hangs up without a word."""

from __future__ import annotations

from contextlib import suppress

import trio
from trio_websocket import (
    CloseReason,
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
)
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, CloseConnection, TextMessage

from penstock.server.door_stream import DoorStream


class FrankConnection(WebSocketConnection):
    """Answers what breaks the protocol with a close frame: 1002, 1007 for no UTF-8, 1009 for too much.

    Its hooks are not public; a test on bytes pins what is used of them.
    """

    #: Made when the peer was told of its fault, and set when that had its time to arrive.
    _told: trio.Event | None = None

    async def _handle_close_connection_event(self, event: CloseConnection) -> None:
        if self._wsproto.state is ConnectionState.OPEN:
            # No close of the peer's, but what the parser made of a fault of its.
            self._told = trio.Event()
            # From here on nobody sends anything more.
            self._close_reason = CloseReason(event.code, event.reason or None)
            with suppress(ConnectionClosed):
                await self._send(event)
            await self._linger()
        await super()._handle_close_connection_event(event)

    async def _handle_message_event(self, event: BytesMessage | TextMessage) -> None:
        if self._message_size + len(event.data) > self._max_message_size:
            self._told = trio.Event()
        await super()._handle_message_event(event)
        await self._linger()

    async def _linger(self) -> None:
        """Read on for a moment: bytes that nobody read would take the last frame along."""
        if self._told is None:
            return
        stream = self._stream
        assert isinstance(stream, DoorStream)
        try:
            await stream.linger()
        finally:
            self._told.set()

    async def _aclose(self, code: int, reason: str | None) -> None:
        await super()._aclose(code, reason)
        if self._told is not None:
            await self._told.wait()

    async def _close_stream(self) -> None:
        if self._told is not None:
            await self._told.wait()
        await super()._close_stream()


async def wrap_stream(
    nursery: trio.Nursery, stream: DoorStream, *, max_message_size: int
) -> WebSocketRequest:
    """As `trio_websocket.wrap_server_stream`, with a connection that says why it ends."""
    connection = FrankConnection(
        stream, WSConnection(ConnectionType.SERVER), max_message_size=max_message_size
    )
    nursery.start_soon(connection._reader_task)
    return await connection._get_request()
