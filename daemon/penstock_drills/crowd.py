"""The healthy clients of a drill, as the drill sees them: a process that is asked what it was told."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import trio

from penstock.words.address import Address
from penstock_drills import raw_clients as ears

_REQUEST = (
    "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


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
