"""Supervisors that are forked from a template: the daemon's side of it.

To fork a supervisor costs a tenth of starting a Python for it. A template that is lost costs nobody more
than that: whoever asks it next gets a supervisor that is executed, and whoever asks after that a new template.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import trio

from penstock.carried import carry_code, launch_carried
from penstock.processes.launching import (
    SUPERVISOR_MODULES,
    Launched,
    Streams,
    launch_executed,
    start_python,
)
from penstock.processes.template import ANSWER_BYTES, FD_BYTES, READY

log = logging.getLogger("penstock")

#: Seconds in which a template that is ready answers. It does so in a millisecond; one that was stopped never does,
#: and who asks it cannot be cancelled meanwhile.
ANSWER_SECONDS = 1.0
#: Seconds in which a template is ready; a Python's start takes a twentieth, and a busy machine its time.
READY_SECONDS = 10.0
#: Seconds until another is started after one that was not ready.
AGAIN_SECONDS = 60.0
#: Seconds for one that was killed to be gone; an uninterruptible wait may take longer, and is not waited for.
GONE_SECONDS = 1.0

LAUNCH = launch_carried("penstock.processes.template", "int(sys.argv[1])")
TEMPLATE = carry_code((*SUPERVISOR_MODULES, "penstock.processes.template"))


class TemplateLost(Exception):
    """There is no supervisor of this template; the message says why."""


class ForkedSupervisor:
    """A supervisor that is the template's child, by the handle that the template got of it."""

    def __init__(self, pid: int, handle: int) -> None:
        self.pid = pid
        self._handle = handle
        self.stdin: trio.abc.SendStream | None = None
        self.stdout: trio.abc.ReceiveStream | None = None
        self.stderr: trio.abc.ReceiveStream | None = None

    def kill(self) -> None:
        """KILL it, if it has not ended."""
        if self._handle >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    async def wait(self) -> None:
        """Until it has ended; the template, or whoever has its children then, reaps it."""
        if self._handle < 0:
            return
        try:
            await trio.lowlevel.wait_readable(self._handle)
            # Where the template is gone and we are who adopts, nobody else reaps it.
            with suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, self._handle, os.WEXITED | os.WNOHANG)  # noqa: ASYNC222 (it does not wait)
        finally:
            handle, self._handle = self._handle, -1
            os.close(handle)


@dataclass
class _LiveTemplate:
    """A template that has said that it is ready."""

    process: trio.Process
    requests: trio.SocketStream

    async def ask(self, streams: Sequence[int], fds: Sequence[int]) -> ForkedSupervisor:
        """A supervisor with these descriptors. TemplateLost when it does not answer as it should."""
        channel = self.requests.socket
        rights = b"".join(fd.to_bytes(FD_BYTES, sys.byteorder) for fd in fds)
        brought = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
        answer, handle = b"", -1
        try:
            await channel.sendmsg([bytes(streams)], brought)
            answer, got, _flags, _address = await channel.recvmsg(
                ANSWER_BYTES, socket.CMSG_SPACE(FD_BYTES), socket.MSG_CMSG_CLOEXEC
            )
        except OSError as error:
            raise TemplateLost(str(error)) from error
        for _level, _kind, content in got:
            handle = int.from_bytes(content[:FD_BYTES], sys.byteorder)
        pid = int.from_bytes(answer, "big", signed=True)
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        if handle < 0:
            raise TemplateLost("it is gone" if not answer else "its answer is no whole")
        return ForkedSupervisor(pid, handle)

    async def end(self) -> None:
        """Kill it, and reap it; supervisors go on."""
        self.requests.socket.close()
        self.process.kill()
        with trio.move_on_after(GONE_SECONDS, shield=True):
            await self.process.wait()


async def _start_template() -> _LiveTemplate:
    """One that is ready. TemplateLost if it is not to be had; OSError or NoProcess if no process is."""
    nowhere = Streams(stdin=False, stdout=False, stderr=False)
    template = _LiveTemplate(*await start_python(LAUNCH, nowhere))
    said = b""
    try:
        with suppress(trio.BrokenResourceError), trio.move_on_after(READY_SECONDS):
            await template.requests.send_all(TEMPLATE)
            said = await template.requests.receive_some(len(READY))
    finally:
        if said != READY:
            await template.end()  # noqa: ASYNC102 (shielded and bounded inside)
    if said != READY:
        raise TemplateLost(f"it did not start ({template.process.returncode})")
    return template


class _Ends:
    """Both ends of what leads to a supervisor that is to be forked."""

    def __init__(self) -> None:
        #: The numbers that the streams are to have, and what is sent: the control socket, then they.
        self.numbers: list[int] = []
        self.theirs: list[int] = []
        self._ours: dict[int, int] = {}
        self._control: socket.socket | None = None

    def open(self, streams: Streams) -> None:
        """Make them. OSError when there are no more descriptors; `close` closes what was made."""
        self._control, theirs = socket.socketpair()
        self.theirs.append(theirs.detach())
        if streams.stdin:
            read_end, self._ours[0] = os.pipe()
            self._give(0, read_end)
        for number, wanted in ((1, streams.stdout), (2, streams.stderr)):
            if wanted:
                self._ours[number], write_end = os.pipe()
                self._give(number, write_end)
        if streams.stderr is None and streams.stdout:
            self._give(2, self.theirs[-1])

    def _give(self, number: int, fd: int) -> None:
        self.numbers.append(number)
        self.theirs.append(fd)

    def launched(self, process: ForkedSupervisor) -> Launched:
        """Our ends, which are the supervisor's from now on."""
        assert self._control is not None
        streams = {n: trio.lowlevel.FdStream(fd) for n, fd in self._ours.items()}
        process.stdin, process.stdout, process.stderr = map(streams.get, (0, 1, 2))
        control = trio.SocketStream(trio.socket.from_stdlib_socket(self._control))
        self._ours, self._control = {}, None
        return Launched(process, control, code=b"")

    def close(self) -> None:
        """Close theirs, of which the template has copies by now, and ours if nobody took them."""
        for fd in {*self.theirs, *self._ours.values()}:
            os.close(fd)
        if self._control is not None:
            self._control.close()


class WarmLauncher:
    """Has supervisors forked by a template, which is started when the first is asked for."""

    def __init__(self) -> None:
        self._turn = trio.Lock()
        self._template: _LiveTemplate | None = None
        #: Trio's time before which no template is started, because one did not start.
        self._not_before = 0.0

    async def __call__(self, streams: Streams) -> Launched:
        """A supervisor, by whichever way there is one."""
        if trio.current_time() >= self._not_before:
            try:
                return await self._launch_forked(streams)
            except TemplateLost as error:
                log.warning("the template of supervisors is lost: %s", error)
            except OSError as error:
                # A copy that was refused to it may be granted to us, who make none of ourselves.
                log.info("the template of supervisors cannot fork: %s", error)
        return await launch_executed(streams)

    async def _launch_forked(self, streams: Streams) -> Launched:
        ends = _Ends()
        try:
            ends.open(streams)
            return ends.launched(await self._fork(ends))
        finally:
            ends.close()

    async def _fork(self, ends: _Ends) -> ForkedSupervisor:
        async with self._turn:
            if self._template is None:
                await self._start()
            assert self._template is not None
            forked, why = None, f"no answer in {ANSWER_SECONDS:g} s"
            # An answer that nobody waits for would be the next one's.
            with trio.move_on_after(ANSWER_SECONDS, shield=True):
                try:
                    forked = await self._template.ask(ends.numbers, ends.theirs)
                except TemplateLost as error:
                    why = str(error)
            if forked is None:
                await self.close()
                raise TemplateLost(why)
            return forked

    async def _start(self) -> None:
        try:
            self._template = await _start_template()
        except TemplateLost:
            self._not_before = trio.current_time() + AGAIN_SECONDS
            raise

    async def close(self) -> None:
        """End the template, if there is one. Shielded, and bounded by `GONE_SECONDS`."""
        template, self._template = self._template, None
        if template is not None:
            await template.end()


@asynccontextmanager
async def open_launcher() -> AsyncIterator[WarmLauncher]:
    """A launcher whose template, if there is one by then, ends with the block."""
    launcher = WarmLauncher()
    await trio.lowlevel.checkpoint()
    try:
        yield launcher
    finally:
        await launcher.close()  # noqa: ASYNC102 (shielded and bounded inside)
