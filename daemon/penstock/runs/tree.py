"""The daemon's end of one supervisor: launch it, follow it, and know what it proved."""

from __future__ import annotations

import json
import marshal
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import trio

import penstock
from penstock.runs.previous import end_previous
from penstock.runs.supervisor import KILL_SECONDS
from penstock.runs.trees import boot_id, group_populated
from penstock.words.events import ProcessStarted

Stream = Literal["stdout", "stderr"]
OnStarted = Callable[[ProcessStarted], Awaitable[None]]
OnOutput = Callable[[Stream, bytes], Awaitable[None]]

#: Seconds beyond grace and KILL in which a supervisor has told the end, or counts as lost.
REPORT_SECONDS = 0.5
#: Seconds to reap a supervisor that has said its last word or got KILL.
REAP_SECONDS = 1.0
#: Bytes of one read: the capacity of a pipe.
READ_BYTES = 64 * 1024
#: Reads after the end of the tree; more than a pipe holds would come from a survivor.
READS_AFTER_END = 16

#: The supervisor is imported and not run by its path, so that its bytecode is kept.
LAUNCH = (
    f"import sys; sys.path.append({str(Path(penstock.__file__).parents[1])!r}); "
    "from penstock.runs.supervisor import main; main()"
)


@dataclass
class Tree:
    """One process tree and what its supervisor has said about it."""

    process: trio.Process
    control: trio.SocketStream
    spec: dict[str, Any]
    argv: tuple[str, ...]
    run_id: str
    started: ProcessStarted | None = None
    failed: dict[str, Any] | None = None
    exited: dict[str, Any] | None = None
    ended: dict[str, Any] | None = None
    sent: bool = False
    pending: bytes = b""
    #: Pids that were ended without the supervisor, after it was lost.
    orphans: tuple[int, ...] = ()
    #: Trio's time by which a tree that was asked to end counts as lost.
    deadline: float | None = None
    #: The start was told; no output comes before that.
    told: trio.Event = field(default_factory=trio.Event)
    over: bool = False
    waits: dict[str, trio.CancelScope] = field(default_factory=dict)

    def ask_end(self) -> float:
        """Tell the supervisor to end the tree; the time by which it has told the end."""
        if self.deadline is None:
            seconds = self.spec["grace"] + KILL_SECONDS + REPORT_SECONDS
            self.deadline = trio.current_time() + seconds
            with suppress(OSError):
                self.control.socket.shutdown(socket.SHUT_WR)
        return self.deadline

    async def start(self) -> None:
        """Send the supervisor its table; a part of one starts nothing."""
        encoded = marshal.dumps(self.spec)
        with suppress(trio.BrokenResourceError):
            await self.control.send_all(len(encoded).to_bytes(8, "big") + encoded)
            self.sent = True

    async def follow(self, on_started: OnStarted) -> None:
        """Take what the supervisor says until it has said the end, or is lost."""
        with suppress(trio.BrokenResourceError):
            while data := await self.control.receive_some(READ_BYTES):
                *lines, self.pending = (self.pending + data).split(b"\n")
                for line in lines:
                    await self._hear(json.loads(line), on_started)
        if self.sent and not self.failed and not self.ended:
            await self.end_orphans()
        self.over = True
        self.told.set()
        # What is in the pipes now is all there will be.
        for scope in self.waits.values():
            scope.cancel(reason="the process tree is over")

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
            end_previous,
            started,
            [self.run_id],
            grace=self.spec["grace"],
            epoch=os.fsdecode(self.spec["epoch"]).partition("=")[2],
        )
        self.orphans, _ = await trio.to_thread.run_sync(find)

    @property
    def survivors(self) -> tuple[int, ...] | Literal["unknown"]:
        """Empty only when the emptiness of the tree was proven."""
        if self.failed is not None or not self.sent:
            return ()
        if self.ended is not None and (self.ended["left"] or self.ended["proven"]):
            return tuple(self.ended["left"])
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

    async def feed(self, data: bytes) -> None:
        """Write the process's standard input and close it; a process may leave it unread."""
        if self.process.stdin is None:
            return
        async with self.process.stdin as stdin:
            with (
                trio.CancelScope() as self.waits["stdin"],
                suppress(trio.BrokenResourceError),
            ):
                await stdin.send_all(data)

    async def pump(self, name: Stream, on_output: OnOutput) -> None:
        """Hand on one stream; while `on_output` waits the process does, when its pipe is full."""
        stream = self.process.stdout if name == "stdout" else self.process.stderr
        assert isinstance(stream, trio.lowlevel.FdStream)
        fd, reads_left = stream.fileno(), READS_AFTER_END
        await self.told.wait()
        while reads_left:
            reads_left -= self.over
            try:
                data = os.read(fd, READ_BYTES)
            except BlockingIOError:
                if self.over:
                    return
                with trio.CancelScope() as self.waits[name]:
                    await trio.lowlevel.wait_readable(fd)
                continue
            if not data:
                return
            await on_output(name, data)
            await trio.lowlevel.checkpoint()

    async def close(self) -> None:
        """End the tree if it has not ended, reap the supervisor, close the pipes. Bounded."""
        try:
            if not self.over:
                with trio.CancelScope(deadline=self.ask_end(), shield=True):
                    await self._drain()
            if not self.over:
                self.process.kill()
                await self.end_orphans()
            await self.process.wait()
        finally:
            for stream in (
                self.process.stdin,
                self.process.stdout,
                self.process.stderr,
            ):
                if isinstance(stream, trio.lowlevel.FdStream):
                    stream.close()
            self.control.socket.close()

    async def _drain(self) -> None:
        """Wait for the end while nobody wants the output any more."""
        self.told.set()
        async with trio.open_nursery() as nursery:
            for name in ("stdout", "stderr"):
                nursery.start_soon(self.pump, name, _discard)
            await self.follow(_unnoticed)


async def launch(
    spec: dict[str, Any], argv: tuple[str, ...], run_id: str, stdin: int
) -> Tree:
    """Start the supervisor with its pipes; it starts nothing before it has its table."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-I", "-S", "-c", LAUNCH, str(theirs.fileno())],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                cwd="/",
                # What Python itself may need; the program gets the environment in the table.
                env={k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"},
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
    return Tree(
        process=process,
        control=trio.SocketStream(trio.socket.from_stdlib_socket(ours)),
        spec=spec,
        argv=argv,
        run_id=run_id,
    )


async def _discard(name: Stream, data: bytes) -> None:
    await trio.lowlevel.checkpoint()


async def _unnoticed(started: ProcessStarted) -> None:
    await trio.lowlevel.checkpoint()
