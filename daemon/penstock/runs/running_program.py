"""A program that a pipeline, or somebody outside, talks with while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from penstock.concurrency.deferred import DeferredFailure
from penstock.processes.feeding import ProgramInput
from penstock.processes.process import OutputUnwanted
from penstock.processes.pseudoterminal import WindowSize
from penstock.runs.program import Executed, check_ended


class NobodyReads(trio.BrokenResourceError):
    """The program has ended, or has closed its standard input."""


class ProgramStdin(trio.abc.SendStream):
    """A program's standard input, for other tasks than the one that runs the program.

    `send_all` waits while the program does not read, and before it has begun. NobodyReads once
    nothing is taken any more; closing is the end of file.
    """

    def __init__(self) -> None:
        self._begun = trio.Event()
        self._closed = trio.Event()
        self._over = trio.Event()
        self._program: ProgramInput | None = None

    async def feed(self, program: ProgramInput) -> None:
        """What feeds the program; it is ended with it."""
        self._program = program
        self._begun.set()
        try:
            await self._closed.wait()
        finally:
            self.end()

    def end(self) -> None:
        """The program takes nothing any more, or was never begun."""
        self._program = None
        self._begun.set()
        self._over.set()

    @property
    def over(self) -> bool:
        """Whether nothing is taken any more, or nothing more will come."""
        return self._over.is_set() or self._closed.is_set()

    async def wait_over(self) -> None:
        """Return when nothing is taken any more."""
        await self._over.wait()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        try:
            await (await self._begun_program()).send_all(bytes(data))
        except trio.BrokenResourceError:
            raise NobodyReads("the program does not read any more") from None

    async def wait_send_all_might_not_block(self) -> None:
        await self._begun_program()

    def close(self) -> None:
        """Say that there is no more."""
        self._closed.set()

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        """Say that there is no more for now: on a terminal more may follow."""
        try:
            await (await self._begun_program()).send_eof()
        except trio.BrokenResourceError:
            raise NobodyReads("the program does not read any more") from None

    def resize(self, size: WindowSize) -> None:
        """Set the size of its terminal, while it has one."""
        if self._program is not None:
            self._program.resize(size)

    async def _begun_program(self) -> ProgramInput:
        await self._begun.wait()
        if self._program is None:
            raise NobodyReads("the program does not read any more")
        return self._program


class ProgramStdout(trio.abc.ReceiveStream):
    """A program's standard output as it comes; while nobody receives, the program waits.

    A receive of no bytes is its end, which a program may bring about long before its own. Closing
    it is what closing a pipe is: the program that writes on is told so by SIGPIPE.
    """

    def __init__(self) -> None:
        # Nothing is kept in between: what is not wanted yet stays in the pipe.
        self._coming, self._pieces = trio.open_memory_channel[bytes](0)
        self._rest = b""
        #: Nobody receives any more, and the program is not to notice.
        self._ignored = False
        self._closed = False

    async def take(self, data: bytes) -> None:
        """Hand over what came. OutputUnwanted once it was closed."""
        try:
            await self._coming.send(data)
        except trio.BrokenResourceError:
            if not self._ignored:
                raise OutputUnwanted from None
            await trio.lowlevel.checkpoint()

    def end(self) -> None:
        """Nothing more will come."""
        self._coming.close()

    def ignore(self) -> None:
        """Take the rest as it comes, and drop it, unless it was closed before."""
        self._ignored = not self._closed
        self._pieces.close()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._rest:
            await trio.lowlevel.checkpoint()
        else:
            try:
                self._rest = await self._pieces.receive()
            except trio.EndOfChannel:
                return b""
        size = len(self._rest) if max_bytes is None else max_bytes
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    async def aclose(self) -> None:
        self._closed = True
        self._pieces.close()
        await trio.lowlevel.checkpoint()


@dataclass(eq=False, slots=True)
class RunningProcess:
    """A program that runs, its two ends, and how it ended once the block is left."""

    stdin: ProgramStdin = field(default_factory=ProgramStdin)
    stdout: ProgramStdout = field(default_factory=ProgramStdout)
    ended: Executed | None = None


@asynccontextmanager
async def open_process(
    execute: Callable[[RunningProcess], Awaitable[Executed]],
    *,
    check: bool,
    patience: float = 0.0,
) -> AsyncIterator[RunningProcess]:
    """As `Run.process` promises."""
    process = RunningProcess()
    program, block = DeferredFailure(), DeferredFailure()
    # A cancel from outside reaches the block first, and the program when that is left.
    lasting = trio.CancelScope(shield=patience > 0)
    left = trio.Event()
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def run() -> None:
            try:
                with lasting, program:
                    process.ended = await execute(process)
            finally:
                process.stdin.end()
                process.stdout.end()
            if program.error is not None:
                scope.cancel(reason="the program could not be run")

        nursery.start_soon(run)
        if patience > 0:
            nursery.start_soon(_end_shield, lasting, left, patience)
        try:
            with scope, block:
                yield process
        finally:
            process.stdout.ignore()
            left.set()
        if _says_more_than_nobody_reads(block.error):
            nursery.cancel_scope.cancel(reason="the block failed")
        process.stdin.close()
    program.reraise()
    if _says_more_than_nobody_reads(block.error):
        block.reraise()
    if check and process.ended is not None:
        check_ended(process.ended)


async def _end_shield(
    lasting: trio.CancelScope, left: trio.Event, patience: float
) -> None:
    """Have a cancel reach the program once the block is left, or `patience` seconds after it reached that."""
    try:
        await left.wait()
    finally:
        if not left.is_set():
            with trio.move_on_after(patience, shield=True):
                await left.wait()
        lasting.shield = False


def _says_more_than_nobody_reads(error: Exception | None) -> bool:
    """Whether a block failed of itself: that its program took no more is for the program's end to judge."""
    if isinstance(error, ExceptionGroup):
        return error.split(NobodyReads)[1] is not None
    return error is not None and not isinstance(error, NobodyReads)
