"""A program's standard input, as whoever feeds it sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from penstock.processes.pseudoterminal import WindowSize, set_size

#: What a terminal takes for the end of a file at the beginning of a line: Ctrl-D.
END_OF_FILE = b"\x04"


class ProgramInput(Protocol):
    """Where a program reads from: a stream with backpressure."""

    async def send_all(self, data: bytes) -> None:
        """Send everything; waits while the program does not read.

        BrokenResourceError once nobody can read it any more. One sender at a time.
        """

    async def send_eof(self) -> None:
        """Say that there is no more."""

    def resize(self, size: WindowSize) -> None:
        """Set the size of the program's terminal; to a pipe it means nothing."""


#: Feeds one program; what it leaves open when it returns is closed then. It is ended with the program.
Feed = Callable[[ProgramInput], Awaitable[None]]


class PipeInput:
    """The writing end of a pipe."""

    def __init__(self, pipe: trio.abc.SendStream) -> None:
        self._pipe = pipe

    async def send_all(self, data: bytes) -> None:
        try:
            await self._pipe.send_all(data)
        except trio.ClosedResourceError:
            why = "the program's input is closed"
            raise trio.BrokenResourceError(why) from None

    async def send_eof(self) -> None:
        await self._pipe.aclose()

    def resize(self, size: WindowSize) -> None:
        return None


class TerminalInput:
    """The master of a program's terminal: what is typed goes in, what is shown comes out.

    Closing it hangs up: the program's session gets SIGHUP, and reads and writes nothing any more.
    """

    def __init__(self, master: int) -> None:
        self.stream = trio.lowlevel.FdStream(master)

    async def send_all(self, data: bytes) -> None:
        try:
            await self.stream.send_all(data)
        except trio.ClosedResourceError:
            raise trio.BrokenResourceError("the terminal is closed") from None

    async def send_eof(self) -> None:
        await self.send_all(END_OF_FILE)

    def resize(self, size: WindowSize) -> None:
        set_size(self.stream.fileno(), size)


def sends(data: bytes) -> Feed:
    """Feeds just this; a program may leave it unread."""

    async def feed(program: ProgramInput) -> None:
        await program.send_all(data)

    return feed
