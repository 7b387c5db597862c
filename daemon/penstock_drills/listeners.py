"""Clients of a drill: those that read, those that take nothing until told to, and what these must be told.

The healthy ones (`Crowd`) are a process of their own, which is asked what it was told.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import trio
from pydantic_core import from_json
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from penstock.log.bus import Overflow
from penstock.words.address import Address
from penstock_drills import raw_clients as ears

#: A frame has at most 512 KiB of events, and one event may be larger.
LARGEST_MESSAGE_BYTES = 16 * 1024 * 1024
#: Reading in pieces of 4 KiB would cost a turn of the loop for each.
RECEIVE_BYTES = 64 * 1024

POLICIES: tuple[Overflow, ...] = ("catch_up", "drop_oldest", "disconnect")
#: Close code of a client that its policy disconnects.
CODE_LAGGED = 1013

_EVENTS = '{"type":"events"'
# Parsing every frame for each of 200 clients would make the drill slower than the daemon.
_POSITION = re.compile(r'"position":(\d+),"run_id"')

_REQUEST = (
    "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@asynccontextmanager
async def open_connection(
    address: Address, after: int, overflow: Overflow
) -> AsyncIterator[WebSocketConnection]:
    """A WebSocket to the daemon's Unix socket."""
    assert address.socket is not None
    url = urlsplit(address.websocket_url(None, after=after))
    target = f"{url.path}?after={after}&overflow={overflow}"
    async with trio.open_nursery() as nursery:
        stream = await trio.open_unix_socket(str(address.socket))
        async with stream:
            connection = await wrap_client_stream(
                nursery, stream, url.netloc, target,
                max_message_size=LARGEST_MESSAGE_BYTES,
                receive_buffer_size=RECEIVE_BYTES,
            )  # fmt: skip
            yield connection
            nursery.cancel_scope.cancel(reason="the connection is closed")


@dataclass(eq=False, slots=True)
class Listener:
    """What one client has been told; positions must be dense but for the gaps it was told of."""

    cursor: int
    overflow: Overflow = "catch_up"
    facts: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    #: The close code, once the daemon has closed.
    closed: int | None = None
    broken: list[str] = field(default_factory=list)
    _moved: trio.Event = field(default_factory=trio.Event)

    async def listen(self, connection: WebSocketConnection) -> None:
        """Take every frame until the daemon closes."""
        try:
            while True:
                self.take(await connection.get_message())
                self._moved.set()
        except ConnectionClosed as closed:
            self.closed = closed.reason.code if closed.reason else 0
            self._moved.set()

    def take(self, message: str | bytes) -> None:
        """One frame."""
        text = message if isinstance(message, str) else message.decode()
        if text.startswith(_EVENTS):
            for position in map(int, _POSITION.findall(text)):
                self._fact(position)
            return
        frame: dict[str, Any] = from_json(text)
        if frame["type"] == "gap":
            first, last = frame["first"], frame["last"]
            if first != self.cursor + 1:
                self.broken.append(f"at {self.cursor} a gap from {first} was told")
            self.gaps.append((first, last))
            self.cursor = last

    def _fact(self, position: int) -> None:
        if position != self.cursor + 1:
            self.broken.append(f"after {self.cursor} came {position}")
        self.cursor = position
        self.facts += 1

    async def wait_told(self, position: int) -> None:
        """Return when all up to this position has been told, or the daemon has closed."""
        while self.cursor < position and self.closed is None:
            await self._moved.wait()
            self._moved = trio.Event()


def judge(listener: Listener, head: int, kept: int) -> list[str]:
    """What is wrong, in words. `head`: all that was published; `kept`: what the store tells up to."""
    wrong = [*listener.broken]
    policy = listener.overflow
    if bool(listener.gaps) != (policy == "drop_oldest"):
        wrong.append(f"gaps {listener.gaps}")
    if (listener.closed == CODE_LAGGED) != (policy == "disconnect"):
        wrong.append(f"closed with {listener.closed}")
    if policy != "disconnect" and listener.cursor < head:
        wrong.append(f"told up to {listener.cursor} of {head}")
    missed = max([head, *(last for _, last in listener.gaps)])
    if kept < missed:
        wrong.append(f"missed up to {missed}, and the store tells {kept}")
    return wrong


@dataclass(eq=False, slots=True)
class Crowd:
    """Clients in a process of their own, and what they were told. Made by `open_crowd`."""

    process: trio.Process
    facts: int = 0
    broken: tuple[str, ...] = ()
    _rest: bytes = b""

    async def wait_told(self, position: int) -> None:
        """Return when every client has been told up to this position."""
        assert self.process.stdin is not None
        await self.process.stdin.send_all(f"{position}\n".encode())
        await self.read()

    async def read(self) -> None:
        """The next line of the process; BrokenResourceError when it has ended."""
        assert self.process.stdout is not None
        while b"\n" not in self._rest:
            data = await self.process.stdout.receive_some()
            if not data:
                raise trio.BrokenResourceError("the clients' process has ended")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        self.facts, self.broken = told["facts"], tuple(told["broken"])


@asynccontextmanager
async def open_crowd(address: Address, clients: int) -> AsyncIterator[Crowd]:
    """So many clients that read everything from the first position on, all of them let in."""
    url = urlsplit(address.websocket_url(None, after=0))
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    orders = {
        "path": str(address.socket),
        "request": _REQUEST.format(f"{url.path}?after=0", url.netloc, key),
        "clients": clients,
    }
    process = await trio.lowlevel.open_process(
        [sys.executable, "-I", "-S", ears.__file__, json.dumps(orders)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        crowd = Crowd(process)
        await crowd.read()
        yield crowd
    finally:
        process.kill()
        # A process that was killed is gone in a moment, and its pipes are ours to close.
        with trio.CancelScope(shield=True):
            await process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                await stream.aclose()


def cpu_seconds(pid: int) -> float:
    """Seconds that a process has computed, in all its threads."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
