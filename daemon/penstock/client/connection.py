"""One connection to a daemon on Trio, and one request on it, its answer read by hand."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import trio

from penstock.client.log_reader import LARGEST_FRAME_BYTES, Lost
from penstock.client.requests import CONNECT_SECONDS, Request, head_of
from penstock.client.response_reader import Lines, NoHttp, ResponseReader
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
        self._stream, self._reader = stream, ResponseReader()
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

    async def receive(self) -> bytes:
        """The next of the body; b"" after its end."""
        piece, self._first = self._first, b""
        while not piece and not self._reader.ended:
            piece = await self._receive()
        return piece

    async def read(self) -> bytes:
        """The body whole."""
        body = bytearray()
        while piece := await self.receive():
            body += piece
        return bytes(body)

    def lines(self) -> ComingLines:
        """The body line by line, as they come."""
        return ComingLines(self)

    async def _receive(self) -> bytes:
        try:
            data = await self._stream.receive_some(RECEIVE_BYTES)
            return self._reader.feed(bytes(data))
        except (trio.BrokenResourceError, trio.ClosedResourceError, NoHttp) as error:
            raise Lost(f"the connection broke: {error}") from None


class ComingLines:
    """The lines of a body; one that has no end is none."""

    def __init__(self, answer: ComingAnswer) -> None:
        self._answer = answer
        self._cut = Lines(LARGEST_FRAME_BYTES)
        self._come: list[bytes] = []

    def __aiter__(self) -> ComingLines:
        return self

    async def __anext__(self) -> str:
        while not self._come:
            piece = await self._answer.receive()
            if not piece:
                raise StopAsyncIteration
            try:
                self._come = self._cut.feed(piece)[::-1]
            except ValueError as error:
                raise Lost(str(error)) from None
        return self._come.pop().decode(errors="replace").removesuffix("\r")


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
