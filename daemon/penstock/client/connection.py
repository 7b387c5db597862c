"""One connection to a daemon on Trio, and one request on it, its answer read by hand."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import trio

from penstock.client.answers import AnswerReader, Lines, NoHttp
from penstock.client.log_reader import LARGEST_FRAME_BYTES, Lost
from penstock.client.requests import CONNECT_SECONDS, Request, head_of
from penstock.words.address import Address

#: Reading in pieces of 4 KiB would cost a turn of the loop for each.
RECEIVE_BYTES = 64 * 1024
#: Seconds of silence after which TCP asks whether the other box is still there.
KEEPALIVE_SECONDS = 30


class Unsent(Lost):
    """No connection could be made, so nothing was sent."""


class ComingAnswer:
    """An answer whose head has come, and whose body comes. Raises Lost if that breaks off."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream, self._reader = stream, AnswerReader()
        self._first = b""

    @property
    def status(self) -> int:
        return self._reader.status

    @property
    def headers(self) -> dict[str, str]:
        """By names in lower case."""
        return self._reader.headers

    async def ask(self, sent: bytes) -> None:
        """Send the request, and wait for the head of its answer."""
        try:
            await self._stream.send_all(sent)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Lost("the connection broke") from None
        while not self.status:
            self._first = await self._receive()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        first, self._first = self._first, b""
        yield first
        while not self._reader.ended:
            yield await self._receive()

    async def read(self) -> bytes:
        """The body whole."""
        return b"".join([piece async for piece in self.pieces()])

    async def lines(self) -> AsyncIterator[str]:
        """The body line by line, as they come."""
        lines = Lines(LARGEST_FRAME_BYTES)
        async for piece in self.pieces():
            for line in lines.feed(piece):
                yield line.decode(errors="replace").removesuffix("\r")

    async def _receive(self) -> bytes:
        try:
            data = await self._stream.receive_some(RECEIVE_BYTES)
            return self._reader.feed(bytes(data))
        except (trio.BrokenResourceError, trio.ClosedResourceError, NoHttp) as error:
            raise Lost(f"the connection broke: {error}") from None


@asynccontextmanager
async def open_answer(
    address: Address, request: Request
) -> AsyncIterator[ComingAnswer]:
    """The answer to this request, on a connection of its own. Unsent, or Lost before its head came."""
    content = request.content()
    try:
        with trio.fail_after(CONNECT_SECONDS):
            stream = await connect(address)
            head = head_of(request, address, content)
    except trio.TooSlowError:
        raise Unsent(f"{address} does not answer") from None
    # A host's name may be none that can be asked for.
    except (OSError, UnicodeError) as error:
        raise Unsent(str(error)) from None
    async with stream:
        answer = ComingAnswer(stream)
        await answer.ask(head + (content or b""))
        yield answer


async def connect(
    address: Address,
) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    """A connection, not yet used: TCP, TLS or a Unix socket. OSError."""
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
