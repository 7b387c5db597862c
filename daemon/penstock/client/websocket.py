"""One WebSocket connection to a daemon: TCP, TLS or its Unix socket."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import trio
from pydantic_core import from_json
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    WebSocketConnection,
    wrap_client_stream,
)

from penstock.client.log_reader import (
    LARGEST_FRAME_BYTES,
    LogReader,
    Lost,
    first_message,
    why_closed,
    why_refused,
)
from penstock.concurrency.deferred import only
from penstock.words.address import Address

#: Seconds to connect and shake hands: the daemon is on this box or near.
CONNECT_SECONDS = 5.0
#: Seconds to say good-bye; the daemon does not mind if it is not heard.
CLOSE_SECONDS = 1.0
#: Reading in pieces of 4 KiB would cost a turn of the loop for each.
RECEIVE_BYTES = 64 * 1024
#: Seconds of silence after which TCP asks whether the other box is still there.
KEEPALIVE_SECONDS = 30


class Socket:
    """Messages from one connection."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection

    async def receive(self) -> object:
        """The next message, parsed. Lost, or the error that the close code stands for."""
        try:
            return from_json(await self._connection.get_message())
        except ConnectionClosed as closed:
            reason = closed.reason
        if reason is None:
            raise why_closed(None)
        raise why_closed(reason.code, reason.reason or "")


@asynccontextmanager
async def open_socket(address: Address, reader: LogReader) -> AsyncIterator[Socket]:
    """A connection that tells the log from the reader's place on.

    Lost if it cannot be made; the daemon's own error if it refuses.
    """
    place = reader.place
    url = address.websocket_url(reader.cursor.run_id, **place)
    opening = first_message(address, place)
    async with open_connection(address, url, opening) as connection:
        yield Socket(connection)


@asynccontextmanager
async def open_connection(
    address: Address, url: str, opening: str | None
) -> AsyncIterator[WebSocketConnection]:
    """A connection to this URL of the daemon, `opening` sent first; raises as `open_socket` does."""
    try:
        async with trio.open_nursery() as nursery:
            try:
                async with await _connect(address) as stream:
                    connection = await _shake_hands(
                        nursery, stream, address, url, opening
                    )
                    try:
                        yield connection
                    finally:
                        with trio.move_on_after(CLOSE_SECONDS, shield=True):
                            await connection.aclose()
            finally:
                # Last of all: closing the stream in a cancelled scope would hide what went wrong.
                nursery.cancel_scope.cancel(reason="the connection is closed")
    except BaseExceptionGroup as group:
        error = only(group)
        if isinstance(error, ConnectionRejected):
            raise why_refused(error.status_code, error.body) from None
        raise error from None


async def _connect(
    address: Address,
) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    try:
        with trio.fail_after(CONNECT_SECONDS):
            return await _open_stream(address)
    except trio.TooSlowError:
        raise Lost(f"{address} does not answer") from None
    except OSError as error:
        raise Lost(
            f"no daemon answers at {address} ({error.strerror or error})"
        ) from None


async def _shake_hands(
    nursery: trio.Nursery,
    stream: trio.SocketStream | trio.SSLStream[trio.SocketStream],
    address: Address,
    target: str,
    opening: str | None,
) -> WebSocketConnection:
    url = urlsplit(target)
    shown = address.authorization().items()
    headers = [(name.encode(), value.encode()) for name, value in shown]
    try:
        with trio.fail_after(CONNECT_SECONDS):
            connection = await wrap_client_stream(
                nursery,
                stream,
                url.netloc,
                f"{url.path}?{url.query}",
                extra_headers=headers,
                max_message_size=LARGEST_FRAME_BYTES,
                receive_buffer_size=RECEIVE_BYTES,
            )
            if opening is not None:
                await connection.send_message(opening)
    except trio.TooSlowError:
        raise Lost(f"{address} does not answer") from None
    except (OSError, trio.BrokenResourceError, ConnectionClosed) as error:
        raise Lost(f"the connection to {address} broke ({error})") from None
    return connection


async def _open_stream(
    address: Address,
) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    if address.socket is not None:
        return await trio.open_unix_socket(str(address.socket))
    url = urlsplit(address.base)
    host = url.hostname or ""
    secure = url.scheme == "https"
    stream = await trio.open_tcp_stream(host, url.port or (443 if secure else 80))
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
    if not secure:
        return stream
    context = ssl.create_default_context()
    return trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
