"""DU-05: the whole tree of a program is stopped, and goes on; ended while it is stopped, it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
import trio

from penstock.concurrency.threads import run_in_thread
from penstock.processes.containment import read_stat
from penstock.processes.detection import Containment
from penstock.processes.process import Proof, run_process
from penstock.processes.spec import Program
from penstock.processes.suspension import go_on, suspend
from penstock.words.events import ProcessExited, ProcessStarted

pytestmark = pytest.mark.processes

#: A shell, a child of it, and one in a session of its own whose parent has ended; each ticks.
TREE = """
(setsid sh -c 'echo o $$; while :; do sleep 0.05; done' &) &
sh -c 'echo c $$; while :; do sleep 0.05; done' &
trap 'echo bye; exit 0' TERM
echo m $$
while :; do sleep 0.05; done
"""


#: Adopts what loses its parent, and has a child that suspends such a program: a supervisor that was killed
#: was its parent. Tells whether that was done, and ends if nobody stopped it meanwhile.
ADOPTED = """
import os, subprocess, sys, time
from penstock.processes.containment import Subreaper, read_stat
from penstock.processes.suspension import suspend
from penstock.words.events import ProcessStarted

Subreaper()
lost = subprocess.run(["sh", "-c", "sleep 77 >&2 & echo $!"], stdout=subprocess.PIPE, check=True)
pid = int(lost.stdout)
stat = read_stat(pid)
assert stat.parent == os.getpid()
started = ProcessStarted(pid=pid, start_time=stat.start_time, boot_id="boot", method="subreaper")
bystander = subprocess.Popen(["sleep", "77"])
daemon = os.fork()
if not daemon:
    print(suspend(started), flush=True)
    os._exit(0)
stopped = os.WIFSTOPPED(os.waitpid(daemon, os.WUNTRACED)[1])
print(stopped, read_stat(bystander.pid).state, flush=True)
os.kill(pid, 9), bystander.kill(), stopped and os.kill(daemon, 9)
"""


#: Stopped, or waiting for a child that is stopped between vfork and exec.
STOPPED = {"T", "D"}


#: Looks in a row: one that works waits for its children now and then, too.
STEADY_LOOKS = 50


class Stopped:
    """One tree of processes, and what is told of it."""

    def __init__(self, method: Literal["subreaper", "session"]) -> None:
        self.containment = Containment(method)
        self.output = b""
        self.said = trio.Event()
        self.started: ProcessStarted | None = None
        self.proofs: list[Proof] = []

    async def run(self) -> None:
        async def on_started(started: ProcessStarted) -> None:
            await trio.lowlevel.checkpoint()
            self.started = started

        async def on_output(_stream: str, data: bytes) -> None:
            await trio.lowlevel.checkpoint()
            self.output += data
            if self.output.count(b"\n") >= 3:
                self.said.set()

        await self.wait(on_started, on_output)

    async def wait(self, on_started: Any, on_output: Any) -> ProcessExited:
        return await run_process(
            Program(("sh", "-c", TREE), Path("/"), {"PATH": os.environ["PATH"]}),
            run_id=f"suspended-{os.getpid()}",
            containment=self.containment,
            grace=5.0,
            on_started=on_started,
            on_output=on_output,
            on_proof=self.proofs.append,
        )

    @property
    def pids(self) -> list[int]:
        lines = self.output.splitlines()[:3]
        return [int(line.split()[1]) for line in lines]


@pytest.mark.parametrize("method", ["subreaper", "session"])
async def test_a_tree_is_stopped_whole_and_goes_on(
    method: Literal["subreaper", "session"],
) -> None:
    """DU-05: with what was adopted, where that can be found."""
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            program = Stopped(method)
            nursery.start_soon(program.run)
            await program.said.wait()
            assert program.started is not None
            assert await run_in_thread(suspend, program.started)
            main = [pid for pid in program.pids if pid == program.started.pid]
            watched = program.pids if method == "subreaper" else main
            await until(lambda: all(state_of(pid) in STOPPED for pid in watched))
            assert await run_in_thread(go_on, program.started)
            await until(lambda: not any(state_of(pid) == "T" for pid in watched))
            nursery.cancel_scope.cancel()
        assert not await run_in_thread(suspend, program.started)
        assert not await run_in_thread(go_on, program.started)


async def test_a_stopped_tree_hears_the_word_to_end() -> None:
    """DU-05, CN-01: it is let go on for that; a KILL after the grace would be no end of its own."""
    with trio.fail_after(30):
        program = Stopped("subreaper")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.run)
            await program.said.wait()
            assert program.started is not None
            await run_in_thread(suspend, program.started)
            nursery.cancel_scope.cancel()
        assert b"bye" in program.output
        [proof] = program.proofs
        assert proof.survivors == ()


def test_who_has_adopted_the_program_of_a_lost_supervisor_is_left_alone() -> None:
    """DU-05: a session's manager adopts it, or the run that a daemon is in; all else there is a stranger's."""
    done = subprocess.run(
        [sys.executable, "-c", ADOPTED],
        stdout=subprocess.PIPE,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "False\nFalse S\n"


def state_of(pid: int) -> str | None:
    stat = read_stat(pid)
    return None if stat is None else stat.state


async def until(holds: Any) -> None:
    """Look until it stays so: a stop takes effect when its process is next in the kernel."""
    looks = 0
    while looks < STEADY_LOOKS:  # noqa: ASYNC110  (the kernel has no event for it)
        looks = looks + 1 if holds() else 0
        await trio.sleep(0.01)
