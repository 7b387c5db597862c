"""Requests to a daemon without an event loop, for commands that ask one thing and end.

Trio, httpx and what these import take three times the CPU of all else that such a command does.
Nothing else may use this: it blocks its thread.
"""

from __future__ import annotations

import http.client
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from penstock.client.requests import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    Calls,
    OnServer,
    Request,
    broken,
    not_there,
    read_answer,
    silent,
    unheard,
)
from penstock.words.address import Address

#: Bytes of an answer: many times what a daemon gives in one. What is no daemon may never end.
LARGEST_ANSWER = 256 * 1024 * 1024
#: What stands in a target as it is; the path of an address that a person gave may hold anything else.
TARGET_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"


class SyncClient(Calls[dict[str, Any]]):
    """A daemon to ask; every method of `Calls` waits for the answer and returns it.

    Each request has a connection of its own: a command makes one or two.
    """

    def __init__(self, address: Address, on_server: OnServer = unheard) -> None:
        self.address = address
        self._on_server = on_server

    def send(self, request: Request) -> dict[str, Any]:
        """See `Calls`."""
        connection = _connection(self.address)
        try:
            answer, body = self._exchange(connection, request)
        finally:
            connection.close()
        self._on_server(answer.getheader("Server"))
        document: dict[str, Any] = read_answer(
            request, answer.status, body, answer.getheader("Retry-After")
        )
        return document

    def _exchange(
        self, connection: http.client.HTTPConnection, request: Request
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """The answer and its body; DaemonUnreachable says where it broke."""
        url = urlsplit(request.url(self.address))
        target = f"{url.path}?{url.query}" if url.query else url.path
        content, headers = request.content(), request.headers(self.address)
        try:
            connection.connect()
        # A host's name may be none that can be asked for.
        except (OSError, UnicodeError):
            raise not_there(self.address) from None
        connection.sock.settimeout(None if request.patient else ANSWER_SECONDS)
        try:
            # One that answers before it has read everything breaks the rest of the sending.
            with suppress(ConnectionError):
                connection.request(
                    request.method,
                    quote(target, safe=TARGET_CHARACTERS),
                    body=content,
                    headers={**headers, "Connection": "close"},
                )
            answer = connection.getresponse()
            body = answer.read(LARGEST_ANSWER + 1)
            if len(body) > LARGEST_ANSWER:
                raise http.client.HTTPException(
                    f"its answer has more than {LARGEST_ANSWER} bytes"
                )
            return answer, body
        except TimeoutError:
            raise silent(self.address) from None
        except (OSError, http.client.HTTPException) as error:
            raise broken(self.address, error) from None


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=CONNECT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CONNECT_SECONDS)
        self.sock.connect(str(self._path))


def _connection(address: Address) -> http.client.HTTPConnection:
    """A connection not yet made. No proxy of the environment is asked: a token must not pass through."""
    if address.socket is not None:
        return _UnixConnection(address.socket)
    url = urlsplit(address.base)
    host = url.hostname or ""
    if url.scheme == "https":
        return http.client.HTTPSConnection(host, url.port, timeout=CONNECT_SECONDS)
    return http.client.HTTPConnection(host, url.port, timeout=CONNECT_SECONDS)
