"""Contained processes, seen from the daemon; the tree itself is its supervisor's."""

from __future__ import annotations

import errno
import json
import marshal
import os
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import trio

from penstock.concurrency.shielding import shield_until
from penstock.concurrency.threads import run_in_thread
from penstock.processes.containment import boot_id, group_populated
from penstock.processes.detection import Containment as Containment
from penstock.processes.detection import detect_containment as detect_containment
from penstock.processes.feeding import Feed, PipeInput, ProgramInput, TerminalInput
from penstock.processes.launching import (
    Launcher,
    Streams,
    SupervisorProcess,
    launch_executed,
)
from penstock.processes.orphans import end_orphans
from penstock.processes.reading import READ_BYTES, PipeReading, Turns
from penstock.processes.spec import Program, TreeLease, make_spec, refusal
from penstock.processes.supervisor import END, HEARD
from penstock.processes.template import FD_BYTES
from penstock.processes.termination import KILL_SECONDS
from penstock.words.errors import NoProcess
from penstock.words.events import ProcessExited, ProcessStarted

Stream = Literal["stdout", "stderr"]
OnStarted = Callable[[ProcessStarted], Awaitable[None]]
#: Takes what was read of a stream; no bytes, once, are its end.
OnOutput = Callable[[Stream, bytes], Awaitable[None]]
#: Is awaited before each read while the process lives, and holds it back; abandoned at its end.
BeforeRead = Callable[[], Awaitable[None]]
#: Is told the pid of a tree's supervisor, before that starts anything.
OnLaunched = Callable[[int], None]


class OutputUnwanted(Exception):
    """Raised by an `OnOutput`: nobody reads this stream any more, and its program is to know."""


#: Seconds beyond grace and KILL in which a supervisor has told the end, or counts as lost.
REPORT_SECONDS = 0.5
#: Reads after the end of the tree; more than a pipe holds would come from a survivor.
READS_AFTER_END = 16


@dataclass
class ProcessTree:
    """One process tree and what its supervisor has said about it."""

    process: SupervisorProcess
    control: trio.SocketStream
    spec: dict[str, Any]
    argv: tuple[str, ...]
    run_id: str
    #: What the supervisor is sent before its table.
    code: bytes = b""
    started: ProcessStarted | None = None
    failed: dict[str, Any] | None = None
    exited: dict[str, Any] | None = None
    ended: dict[str, Any] | None = None
    sent: bool = False
    pending: bytes = b""
    #: Lines that were received and not looked at yet.
    heard: deque[bytes] = field(default_factory=deque)
    #: That of a program which has one, once it has begun.
    terminal: TerminalInput | None = None
    #: Pids that were ended without the supervisor, after it was lost.
    orphans: tuple[int, ...] = ()
    #: Trio's time by which a tree that was asked to end counts as lost.
    deadline: float | None = None
    #: The start was told; no output comes before that.
    told: trio.Event = field(default_factory=trio.Event)
    over: bool = False
    waits: dict[str, trio.CancelScope] = field(default_factory=dict)
    #: Which of two streams is read first, while both are wanted.
    turns: Turns | None = None

    def ask_end(self) -> float:
        """Tell the supervisor to end the tree; the time by which it has told the end."""
        if self.deadline is None:
            seconds = self.spec["grace"] + KILL_SECONDS + REPORT_SECONDS
            self.deadline = trio.current_time() + seconds
            self._tell(END)
        return self.deadline

    def _tell(self, word: bytes) -> None:
        """Say a word to the supervisor; it has hung up if it does not hear it."""
        with suppress(OSError):
            if self.sent:
                os.write(self.control.socket.fileno(), word)
            else:
                # It would take the word for a part of its table.
                self.control.socket.shutdown(socket.SHUT_WR)

    async def start(self) -> None:
        """Send the supervisor its table; a part of one starts nothing."""
        encoded = marshal.dumps(self.spec)
        with suppress(trio.BrokenResourceError):
            size = len(encoded).to_bytes(8, "big")
            await self.control.send_all(self.code + size + encoded)
            self.sent = True

    async def follow(self, on_started: OnStarted) -> None:
        """Take what the supervisor says until it has said the end, or is lost."""
        # After the end it says nothing more. What was said waits where a cancel leaves it: whoever follows
        # to the end afterwards finds it.
        while not self.ended and (self.heard or await self._listen()):
            while self.heard:
                await self._hear(json.loads(self.heard.popleft()), on_started)
        if self.sent and not self.failed and not self.ended:
            await self.end_orphans()
        self.over = True
        self.told.set()
        # What is in the pipes now is all there will be.
        if self.turns is not None:
            self.turns.end()
        for scope in self.waits.values():
            scope.cancel(reason="the process tree is over")

    async def _listen(self) -> bool:
        """Wait for words of the supervisor's; false once it is gone."""
        data = await self._receive()
        *lines, self.pending = (self.pending + data).split(b"\n")
        self.heard += lines
        return bool(data)

    async def _receive(self) -> bytes:
        """What the supervisor says, no bytes once it is gone.

        A terminal comes with the word that its program has begun.
        """
        try:
            data, brought, _flags, _address = await self.control.socket.recvmsg(
                READ_BYTES, socket.CMSG_SPACE(FD_BYTES), socket.MSG_CMSG_CLOEXEC
            )
        except OSError:  # it was killed with words of ours unread
            return b""
        for level, kind, content in brought:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                master = int.from_bytes(content[:FD_BYTES], sys.byteorder)
                self.terminal = TerminalInput(master)
        return data

    async def _hear(self, message: dict[str, Any], on_started: OnStarted) -> None:
        match message["type"]:
            case "started":
                self.started = self._started(message)
                await on_started(self.started)
                self.told.set()
            case "failed":
                self.failed = message
            case "exited":
                self.exited = message
            case "ended":
                self.ended = message

    def _started(self, message: Mapping[str, Any]) -> ProcessStarted:
        return ProcessStarted(
            pid=message["pid"],
            start_time=message["start_time"],
            boot_id=boot_id(),
            method=message["method"],
            cgroup=self.spec["cgroup"] if message["method"] == "cgroup" else None,
            argv=self.argv,
        )

    async def end_orphans(self) -> None:
        """End what a lost supervisor left behind, as well as it can be found."""
        started = [self.started] if self.started else []
        find = partial(
            end_orphans,
            started,
            [self.run_id],
            grace=self.spec["grace"],
            epoch=os.fsdecode(self.spec["epoch"]).partition("=")[2],
        )
        self.orphans, _ = await run_in_thread(find)

    @property
    def survivors(self) -> tuple[int, ...] | Literal["unknown"]:
        """Empty only when the emptiness of the tree was proven."""
        if self.failed is not None or not self.sent:
            return ()
        if self.ended is not None:
            left = tuple(self.ended["left"])
            return left if left or self.ended["proven"] else "unknown"
        if (
            self.started
            and self.started.cgroup
            and not group_populated(self.started.cgroup)
        ):
            return ()
        return "unknown"

    @property
    def pids(self) -> tuple[int, ...]:
        """The main process, and those that had to be ended."""
        main = {self.started.pid} if self.started else set()
        return tuple(
            sorted(main.union(self.orphans, self.ended["pids"] if self.ended else ()))
        )

    async def feed(self, feed: Feed) -> None:
        """Have the standard input fed, and close a pipe; a process may leave it unread."""
        try:
            with (
                trio.CancelScope() as self.waits["stdin"],
                suppress(trio.BrokenResourceError),
            ):
                if (program := await self._input()) is not None:
                    await feed(program)
        finally:
            if isinstance(self.process.stdin, trio.lowlevel.FdStream):
                self.process.stdin.close()

    async def _input(self) -> ProgramInput | None:
        """Where the program reads from; None if it has a terminal and never began."""
        if self.process.stdin is not None:
            return PipeInput(self.process.stdin)
        await self.told.wait()
        return self.terminal

    def _source(self, name: Stream) -> trio.lowlevel.FdStream | None:
        """Where the program writes to; None if it never began to a terminal, or if stderr goes into stdout."""
        if name == "stdout" and self.process.stdout is None:
            return None if self.terminal is None else self.terminal.stream
        stream = self.process.stdout if name == "stdout" else self.process.stderr
        assert isinstance(stream, trio.lowlevel.FdStream | None)
        return stream

    async def pump(
        self, name: Stream, on_output: OnOutput, before_read: BeforeRead | None = None
    ) -> None:
        """Hand on one stream and its end; while `on_output` waits so does who fills its pipe."""
        await self.told.wait()
        stream = self._source(name)
        if stream is None:
            return
        fd = stream.fileno()
        try:
            await self._pump(name, fd, on_output, before_read)
            if self.started is not None:
                await on_output(name, b"")
        except OutputUnwanted:
            stream.close()
        finally:
            if self.turns is not None:
                self.turns.leave(fd)

    async def _pump(
        self,
        name: Stream,
        fd: int,
        on_output: OnOutput,
        before_read: BeforeRead | None,
    ) -> None:
        reads_left, reading = READS_AFTER_END, PipeReading(fd)
        idle = self.turns is not None
        while reads_left:
            if before_read is not None and not self.over:
                with trio.CancelScope() as self.waits[name]:
                    await before_read()
            if idle:
                await self._wait_readable(name, fd)
                idle = False
            reads_left -= self.over
            try:
                data = reading.read()
            except BlockingIOError:
                if self.over:
                    return
                idle = True
                continue
            except OSError as error:
                # A terminal of which nobody holds the other end; the supervisor did to its own.
                if error.errno != errno.EIO:
                    raise
                return
            if not data:
                return
            await on_output(name, data)
            await trio.lowlevel.checkpoint()

    async def _wait_readable(self, name: Stream, fd: int) -> None:
        """Return when there may be something, or when no more will come."""
        if self.turns is not None:
            await self.turns.wait(fd)
        elif not self.over:
            with trio.CancelScope() as self.waits[name]:
                await trio.lowlevel.wait_readable(fd)

    def order_streams(self) -> Turns | None:
        """Have two streams read in the order in which they speak; None where there is but one."""
        streams = (self.process.stdout, self.process.stderr)
        pipes = [s for s in streams if isinstance(s, trio.lowlevel.FdStream)]
        if len(pipes) > 1:
            self.turns = Turns(pipe.fileno() for pipe in pipes)
        return self.turns

    async def close(self) -> None:
        """End the tree if it has not ended, reap the supervisor, close the pipes. Bounded."""
        try:
            if not self.over:
                with trio.CancelScope(deadline=self.ask_end(), shield=True):
                    await self._drain()
            if not self.over:
                self.process.kill()
                await self.end_orphans()
            self._tell(HEARD)
            await self.process.wait()
        finally:
            if self.turns is not None:
                self.turns.close()
            for stream in (
                self.process.stdin,
                self.process.stdout,
                self.process.stderr,
            ):
                if isinstance(stream, trio.lowlevel.FdStream):
                    stream.close()
            if self.terminal is not None:
                self.terminal.stream.close()
            self.control.socket.close()

    async def _drain(self) -> None:
        """Wait for the end while nobody wants the output any more."""
        self.told.set()
        if self.turns is not None:
            self.turns.close()
            self.turns = None
        async with trio.open_nursery() as nursery:
            for name in ("stdout", "stderr"):
                nursery.start_soon(self.pump, name, _discard)
            await self.follow(_unnoticed)


async def launch(
    launcher: Launcher,
    spec: dict[str, Any],
    program: Program,
    run_id: str,
    *,
    fed: bool,
) -> ProcessTree:
    """Start the supervisor with its pipes; it starts nothing before it has its table.

    NoProcess when the system grants no process or no descriptor.
    """
    terminal = program.terminal is not None
    streams = Streams(
        stdin=fed and not terminal,
        stdout=not terminal,
        # What a program shows on its terminal is one stream as it is.
        stderr=None if program.one_stream and not terminal else True,
    )
    try:
        launched = await launcher(streams)
    except (OSError, NoProcess) as error:
        # A thread that was refused counts against the same limit as a process.
        why = getattr(error, "strerror", None) or os.strerror(errno.EAGAIN)
        name = program.argv[0]
        raise NoProcess(f"no process could be made for {name!r}: {why}") from error
    return ProcessTree(
        process=launched.process,
        control=launched.control,
        spec=spec,
        argv=program.argv,
        run_id=run_id,
        code=launched.code,
    )


async def _discard(name: Stream, data: bytes) -> None:
    await trio.lowlevel.checkpoint()


async def _unnoticed(started: ProcessStarted) -> None:
    await trio.lowlevel.checkpoint()


#: Seconds beyond two rounds of TERM, grace and KILL, the second one for a lost supervisor.
CLOSE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of a process tree."""

    method: Literal["cgroup", "subreaper", "session"]
    pids: tuple[int, ...]
    #: Empty only when the emptiness of the tree was proven.
    survivors: tuple[int, ...] | Literal["unknown"]
    #: Nobody asked for the end: the daemon's lease was not renewed in time.
    by_lease: bool = False


async def run_process(
    program: Program,
    *,
    run_id: str,
    containment: Containment,
    grace: float,
    launcher: Launcher = launch_executed,
    epoch: str = "",
    feed: Feed | None = None,
    testimonies: Path | None = None,
    lease: TreeLease | None = None,
    on_started: OnStarted,
    on_output: OnOutput,
    on_proof: Callable[[Proof], None],
    before_read: BeforeRead | None = None,
    on_launched: OnLaunched | None = None,
) -> ProcessExited:
    """Run a program to the end of its whole tree; what outlives the main process is ended.

    `grace` is the seconds between TERM and KILL; `launcher` starts the tree's supervisor; `epoch`, the
    id of the log, tells this run from one of the same id in another. In the folder `testimonies` the
    supervisor keeps its proof when this process has died before it, and with a `lease` it ends the tree when
    that is over. `feed` feeds its standard input;
    None: there is nothing to read.
    While `on_output` waits, so does a process that fills its pipe; so it does while `before_read`
    does, which is not asked any more once the process has ended. A cancel ends the tree, in at most
    `grace` + 2 s and with the output of its last moments, before it goes on. `on_proof` is called once
    in every case, before this returns or raises. Refused when the program or the folder is not there,
    NoProcess when the system grants no process; what the callbacks raise comes in a group.
    """
    spec = make_spec(program, run_id, containment, grace, epoch, testimonies, lease)
    tree = await launch(launcher, spec, program, run_id, fed=feed is not None)
    try:
        if on_launched is not None:
            on_launched(tree.process.pid)
        async with shield_until(tree.ask_end), trio.open_nursery() as nursery:
            turns = tree.order_streams()
            await tree.start()
            if turns is not None:
                nursery.start_soon(turns.watch)
            if feed is not None:
                nursery.start_soon(tree.feed, feed)
            nursery.start_soon(tree.pump, "stdout", on_output, before_read)
            nursery.start_soon(tree.pump, "stderr", on_output, before_read)
            await tree.follow(on_started)
    finally:
        bound = 2 * (grace + KILL_SECONDS) + CLOSE_SECONDS
        with trio.move_on_after(bound, shield=True):
            await tree.close()
        on_proof(prove(tree, containment))
    if tree.failed is not None:
        raise refusal(tree.failed, program)
    return exit_of(tree)


def prove(tree: ProcessTree, containment: Containment) -> Proof:
    """The proof of a tree that was closed."""
    method = tree.started.method if tree.started else containment.method
    by_lease = tree.ended is not None and tree.ended["by_lease"]
    return Proof(method, tree.pids, tree.survivors, by_lease)


def exit_of(tree: ProcessTree) -> ProcessExited:
    """How the main process ended; neither code nor signal when nobody saw it."""
    exited = tree.exited or {}
    return ProcessExited(
        pid=tree.started.pid if tree.started else 0,
        exit_code=exited.get("exit_code"),
        signal=exited.get("signal"),
        leftover=exited.get("leftover", 0),
        survivors=tree.survivors,
    )
