"""Daemons for the dashboard to talk to, each in a process of its own, and a wire that can be cut."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from penstock.words.address import Address

HERE = Path(__file__).parent


@dataclass
class DaemonProcess:
    """A process and where it listens."""

    process: subprocess.Popen[str]
    port: int
    token: str | None = None

    @property
    def address(self) -> Address:
        return Address(base=f"http://127.0.0.1:{self.port}", token=self.token)


@contextmanager
def open_scene(*options: str) -> Iterator[DaemonProcess]:
    """`fakes.tui_daemon` with these options, ready. As a module: beside it, its folder would hide the library's own."""
    command = [sys.executable, "-m", "fakes.tui_daemon", *options]
    environ = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environ
    ) as process:
        try:
            assert process.stdout is not None
            yield DaemonProcess(process, int(process.stdout.readline().split()[1]))
        finally:
            process.kill()


@dataclass
class CutWire:
    """Passes bytes between clients and a daemon until it is cut, without a goodbye."""

    port: int
    #: Whether nobody gets through.
    closed: bool = False
    pairs: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """Every connection of now is gone."""
        for writer in list(self.pairs):
            writer.transport.abort()

    async def carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self.closed:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(
                "127.0.0.1", self.port
            )
        except OSError:
            writer.transport.abort()
            return
        self.pairs |= {writer, far_writer}
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            for end in (writer, far_writer):
                end.close()
                self.pairs.discard(end)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def cut_wire(
    port: int, token: str | None = None
) -> AsyncIterator[tuple[CutWire, Address]]:
    """A wire to the daemon, and the address of its near end."""
    wire = CutWire(port)
    server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    async with server:
        near = server.sockets[0].getsockname()[1]
        yield wire, Address(base=f"http://127.0.0.1:{near}", token=token)
        wire.cut()
        await asyncio.sleep(0.05)
