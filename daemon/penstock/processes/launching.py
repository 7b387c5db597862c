"""How a supervisor comes to be: what every way of it gives, and the plain one, a Python of its own.

The other is `forking`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import trio

from penstock.carried import carry_code, launch_carried
from penstock.concurrency.threads import retry_threadless
from penstock.processes.supervisor import HEEDED

#: The code comes to the program before all else: it is that of this very daemon, and compiled.
SUPERVISOR_MODULES = (
    "penstock.processes.liveness",
    "penstock.processes.containment",
    "penstock.processes.lease_deadline",
    "penstock.processes.termination",
    "penstock.processes.testimony",
    "penstock.processes.pseudoterminal",
    "penstock.processes.supervisor",
)
LAUNCH = launch_carried("penstock.processes.supervisor", "int(sys.argv[1])")
SUPERVISOR = carry_code(SUPERVISOR_MODULES)


class SupervisorProcess(Protocol):
    """A supervisor, as who started it sees it; its streams are those of the program."""

    @property
    def pid(self) -> int:
        """Its process id."""

    stdin: trio.abc.SendStream | None
    stdout: trio.abc.ReceiveStream | None
    stderr: trio.abc.ReceiveStream | None

    def kill(self) -> None:
        """KILL it, if it has not ended."""

    async def wait(self) -> object:
        """Until it has ended."""


@dataclass
class Launched:
    """A supervisor that waits for its table; `code` is what it must be sent before."""

    process: SupervisorProcess
    control: trio.SocketStream
    code: bytes


@dataclass(frozen=True, slots=True)
class Streams:
    """What of a program's streams the daemon has the other end; the rest leads nowhere."""

    stdin: bool
    stdout: bool
    #: None: it is the same as stdout.
    stderr: bool | None


class Launcher(Protocol):
    """Starts a supervisor with these streams. OSError or NoProcess when the system grants none."""

    async def __call__(self, streams: Streams) -> Launched: ...


async def launch_executed(streams: Streams) -> Launched:
    """A supervisor that is a Python of its own."""
    process, control = await start_python(LAUNCH, streams)
    return Launched(process, control, SUPERVISOR)


def _block_signals() -> None:
    """In the child: what comes before its handlers stand is heard by them, and does not end it without a word.

    It is one call into the kernel, so that it matters to no thread that another one was cut off.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)


async def start_python(
    launch: str, streams: Streams
) -> tuple[trio.Process, trio.SocketStream]:
    """A program of ours in a session of its own, and our end of its socket."""
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    errors = {None: subprocess.STDOUT, True: pipe, False: nothing}
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            # Trio makes the process in a thread.
            process = await retry_threadless(
                partial(
                    trio.lowlevel.open_process,
                    [sys.executable, "-I", "-S", "-c", launch, str(theirs.fileno())],
                    stdin=pipe if streams.stdin else nothing,
                    stdout=pipe if streams.stdout else nothing,
                    stderr=errors[streams.stderr],
                    pass_fds=(theirs.fileno(),),
                    cwd="/",
                    # What Python itself may need; the program gets the environment in the table.
                    env={k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"},
                    start_new_session=True,
                    preexec_fn=_block_signals,
                )
            )
        except BaseException:
            ours.close()
            raise
    return process, trio.SocketStream(trio.socket.from_stdlib_socket(ours))
