"""One WebSocket connection to a daemon: TCP, TLS or its Unix socket."""

from __future__ import annotations

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

from penstock.client.connection import RECEIVE_BYTES, connect
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
            return await connect(address)
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
