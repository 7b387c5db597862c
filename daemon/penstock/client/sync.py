"""Requests to a daemon without an event loop, for commands that ask one thing and end.

Trio, httpx and what these import take five times the CPU of all else that such a command does, and
the standard library's HTTP as much as half of that. Nothing else may use this: it blocks its thread.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from penstock.client.requests import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    LARGEST_ANSWER,
    Calls,
    OnServer,
    Request,
    broken,
    head_of,
    is_success,
    not_there,
    read_answer,
    silent,
    unheard,
)
from penstock.client.response_reader import NoHttp, ResponseReader
from penstock.words.address import Address
from penstock.words.errors import DaemonUnreachable

#: Answers a request on the socket that it gives, or gives None: then it goes to the address.
Nearer = Callable[[Request, bytes], socket.socket | None]


def nothing_nearer(_request: Request, _content: bytes) -> None:
    """For daemons in another process."""


#: Bytes of one read.
RECEIVE_BYTES = 64 * 1024
#: Seconds of silence after which TCP asks whether the other box is still there.
KEEPALIVE_SECONDS = 30


class SyncClient(Calls[dict[str, Any]]):
    """A daemon to ask; every method of `Calls` waits for the answer and returns it.

    Each request has a connection of its own: a command makes one or two.
    """

    def __init__(
        self,
        address: Address,
        on_server: OnServer = unheard,
        *,
        comes_back: bool = True,
        nearer: Nearer = nothing_nearer,
    ) -> None:
        """`comes_back`: whether a daemon that has gone may be there again soon.

        `nearer`: what answers within this process, where the daemon is in it.
        """
        self.address, self.comes_back = address, comes_back
        self._nearer = nearer
        self._on_server = on_server

    def send(self, request: Request) -> dict[str, Any]:
        """See `Calls`."""
        answer = ResponseReader()
        with self._ask(request) as connection:
            document: dict[str, Any] = self._read(request, connection, answer)
        return document

    def open(self, request: Request) -> OpenAnswer:
        """The answer to a request whose body comes bit by bit. Raises as the methods of `Calls` do.

        An answer in another form than the request accepts is none.
        """
        answer = ResponseReader()
        connection = self._ask(request)
        try:
            with self._breaking():
                first = b""
                while not answer.status:
                    first = answer.feed(connection.recv(RECEIVE_BYTES))
            if not is_success(answer.status):
                self._read(request, connection, answer, first)
            self._on_server(answer.headers.get("server"))
            form = answer.headers.get("content-type", "").partition(";")[0]
            if form != request.accept:
                why = f"what answers is no daemon: not {request.accept}"
                raise DaemonUnreachable(why)
            connection.setblocking(False)
        except BaseException:
            connection.close()
            raise
        return OpenAnswer(connection, answer, first)

    def _ask(self, request: Request) -> socket.socket:
        """A connection on which this was asked; to be closed."""
        content = request.content()
        # What is no text is the caller's affair, and no matter of who is there.
        request.url(self.address)
        if (near := self._nearer(request, content or b"")) is not None:
            near.settimeout(None if request.patient else ANSWER_SECONDS)
            return near
        try:
            head = head_of(request, self.address, content)
            connection = _connect(self.address)
        # A host's name may be none that can be asked for.
        except (OSError, UnicodeError):
            raise not_there(self.address) from None
        connection.settimeout(None if request.patient else ANSWER_SECONDS)
        try:
            # One that answers before it has read everything breaks the rest of the sending.
            with self._breaking(), suppress(ConnectionError):
                if request.pieces is None:
                    connection.sendall(head + (content or b""))
                else:
                    connection.sendall(head)
                    for piece in content:
                        connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                    connection.sendall(b"0\r\n\r\n")
        except BaseException:
            connection.close()
            raise
        return connection

    def _read(
        self,
        request: Request,
        connection: socket.socket,
        answer: ResponseReader,
        first: bytes = b"",
    ) -> Any:
        body = bytearray(first)
        with self._breaking():
            while not answer.ended:
                body += answer.feed(connection.recv(RECEIVE_BYTES))
                if len(body) > LARGEST_ANSWER:
                    raise NoHttp(f"its answer has more than {LARGEST_ANSWER} bytes")
        self._on_server(answer.headers.get("server"))
        retry_after = answer.headers.get("retry-after")
        return read_answer(request, answer.status, bytes(body), retry_after)

    @contextmanager
    def _breaking(self) -> Iterator[None]:
        """What goes wrong on the way is DaemonUnreachable, and says how."""
        try:
            yield
        except TimeoutError:
            raise silent(self.address) from None
        except (OSError, NoHttp) as error:
            raise broken(self.address, error) from None


class OpenAnswer:
    """The body of an answer as it comes, for whoever waits for its `fileno`."""

    def __init__(
        self, connection: socket.socket, answer: ResponseReader, first: bytes
    ) -> None:
        self._connection, self._answer, self._first = connection, answer, first

    def fileno(self) -> int:
        """What can be read once there is more."""
        return self._connection.fileno()

    @property
    def ended(self) -> bool:
        """Whether all of it was read."""
        return self._answer.ended and not self._first

    def read(self) -> bytes:
        """What has come by now, b"" if it is nothing. OSError or NoHttp if it breaks off.

        There may be more than what is given, and `fileno` then does not tell of it: read until it is b"".
        """
        first, self._first = self._first, b""
        if first or self._answer.ended:
            return first
        try:
            data = self._connection.recv(RECEIVE_BYTES)
        except OSError as error:
            if would_block(error):
                return b""
            raise
        return self._answer.feed(data) or (b"" if self._answer.ended else self.read())

    def close(self) -> None:
        """Nothing more is wanted."""
        self._connection.close()


def would_block(error: OSError) -> bool:
    """Whether there is only nothing to be read now; TLS has errors of its own for it."""
    return isinstance(error, BlockingIOError) or type(error).__name__ in (
        "SSLWantReadError", "SSLWantWriteError",
    )  # fmt: skip


def _connect(address: Address) -> socket.socket:
    """A connection. No proxy of the environment is asked: a token must not pass through."""
    if address.socket is not None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(CONNECT_SECONDS)
        try:
            connection.connect(str(address.socket))
        except BaseException:
            connection.close()
            raise
        return connection
    url = urlsplit(address.base)
    host, secure = url.hostname or "", url.scheme == "https"
    port = url.port or (443 if secure else 80)
    connection = socket.create_connection((host, port), CONNECT_SECONDS)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not secure:
        return connection
    # Late: few daemons are reached so, and it takes as long as the rest.
    import ssl

    return ssl.create_default_context().wrap_socket(connection, server_hostname=host)
