"""MB-04, MB-07: no process outlives the lease of its daemon, whatever has become of that daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
import trio

from penstock.processes.containment import (
    all_pids,
    boot_id,
    carries,
    descendants,
    read_stat,
    send,
)
from penstock.processes.detection import Containment
from penstock.processes.lease_deadline import (
    DEADLINE_BYTES,
    LeaseDeadline,
    boottime,
    decode,
    encode,
    grace_left,
)
from penstock.processes.process import Proof, run_process
from penstock.processes.spec import Program, TreeLease
from penstock.processes.testimony import find_testimonies
from penstock.words.errors import NoProcess

processes = pytest.mark.processes
SECOND = 1_000_000_000

#: Runs programs as a daemon does: the last arguments, a shell's script each.
DAEMON = """
import sys
from functools import partial
from pathlib import Path
import trio
from penstock.processes.detection import Containment
from penstock.processes.forking import open_launcher
from penstock.processes.launching import launch_executed
from penstock.processes.lease_deadline import boottime, encode
from penstock.processes.process import run_process
from penstock.processes.pseudoterminal import WindowSize
from penstock.processes.spec import Program, TreeLease

lease, seconds, grace, kept, method, way, run_id, script = sys.argv[1:]
size = WindowSize(24, 80) if way == "terminal" else None

async def tell(started):
    print(started.pid, started.start_time, flush=True)

async def nothing(*_):
    await trio.lowlevel.checkpoint()

async def main():
    program = Program(("sh", "-c", script), Path("/"), {"PATH": "/usr/bin:/bin"}, terminal=size)
    async with open_launcher() as warm:
        # Here, since a loaded box takes longer than a short lease to come so far.
        Path(lease).write_bytes(encode(boottime() + int(float(seconds) * 1e9)))
        await run_process(
            program, run_id=run_id, containment=Containment(method), grace=float(grace),
            launcher=launch_executed if way == "executed" else warm, testimonies=Path(kept),
            lease=TreeLease(lease, 4.0), on_started=tell, on_output=nothing, on_proof=lambda _: None,
        )
    print("over", flush=True)

trio.run(main)
"""
#: They do not heed TERM, and one has left its parent.
STUBBORN = 'trap "" TERM; (setsid sh -c "trap \\"\\" TERM; while :; do sleep 1; done") & while :; do sleep 1; done'
#: Its supervisor is woken all the time, by the ends of what nobody waits for.
RESTLESS = "while :; do (sleep 0.01 &); sleep 0.002; done"
#: It writes more than anybody takes.
TALKATIVE = "exec yes"
STOPPED = 'kill -STOP $$ & (setsid sh -c "sleep 600") & wait'


@dataclass
class Frozen:
    """A process that runs one program by a lease, and what the program is."""

    lease: Path
    daemon: subprocess.Popen[str]
    run_id: str
    pid: int
    start_time: int

    def tell(self, seconds: float) -> None:
        """Have the lease's deadline so far from now."""
        fd = os.open(self.lease, os.O_WRONLY)
        os.pwrite(fd, encode(boottime() + int(seconds * SECOND)), 0)
        os.close(fd)

    def supervisor(self) -> int:
        """The one of the program, to be asked before the lease is over: it may be gone at any time then."""
        stat = read_stat(self.pid)
        assert stat is not None
        return stat.parent

    def members(self) -> list[int]:
        """What is there of the program's tree."""
        marker = {f"PENSTOCK_RUN_ID={self.run_id}".encode()}
        return [pid for pid in all_pids() if carries(pid, marker, b"")]

    def freeze(self) -> None:
        """Stop the daemon, which does no more and is not gone."""
        os.kill(self.daemon.pid, signal.SIGSTOP)
        wait_until(lambda: (stat := read_stat(self.daemon.pid)) and stat.state == "T")

    def killed(self) -> bool:
        """Kill what is there; whether nothing was."""
        members = self.members()
        for pid in members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not members

    def wait_gone(self) -> None:
        wait_until(lambda: not self.members())


@dataclass
class Freezer:
    """Makes them, and ends what is left of them."""

    folder: Path
    made: list[Frozen] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)

    def start(
        self,
        script: str,
        *,
        seconds: float = 600.0,
        grace: float = 0.2,
        method: str = "subreaper",
        way: str = "forked",
    ) -> Frozen:
        """One whose lease is to be renewed within so many seconds, once its program has begun."""
        number = next(self.numbers)
        lease, run_id = self.folder / f"lease{number}", f"lease-{os.getpid()}-{number}"
        kept = self.folder / "kept"
        process = subprocess.Popen(
            [sys.executable, "-c", DAEMON, lease, str(seconds), str(grace), kept, method, way, run_id, script],
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert process.stdout is not None
        pid, start_time = map(int, process.stdout.readline().split())
        frozen = Frozen(lease, process, run_id, pid, start_time)
        self.made.append(frozen)
        return frozen

    def end(self) -> None:
        """Kill all of it: a tree that its supervisor gives its grace stays long."""
        for frozen in self.made:
            below = descendants(frozen.daemon.pid)
            with frozen.daemon as process:
                process.kill()
            for pid, start_time in below.items():
                send(pid, start_time, signal.SIGKILL)
            wait_until(frozen.killed)


def wait_until(holds: Callable[[], object]) -> None:
    give_up = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.01)


@contextmanager
def freezing(folder: Path) -> Iterator[Freezer]:
    freezer = Freezer(folder)
    try:
        yield freezer
    finally:
        freezer.end()


@pytest.fixture
def freezer(tmp_path: Path) -> Iterator[Freezer]:
    with freezing(tmp_path) as freezer:
        yield freezer


@processes
@pytest.mark.parametrize("way", ["forked", "executed", "terminal"])
@pytest.mark.parametrize("method", ["subreaper", "session"])
def test_what_a_frozen_daemon_runs_is_gone_by_its_lease(
    freezer: Freezer, method: str, way: str
) -> None:
    """MB-04: its supervisors look for themselves, and need no word of it."""
    frozen = freezer.start(STUBBORN, method=method, way=way)
    wait_until(lambda: len(frozen.members()) >= 4)
    # It stopped renewing when it was stopped; nobody else knows.
    frozen.freeze()
    supervisor = frozen.supervisor()
    frozen.tell(0.0)
    # The alarm was set to a time that is far off, and a daemon never writes an earlier one.
    wake(supervisor)
    frozen.wait_gone()
    stat = read_stat(frozen.daemon.pid)
    assert stat is not None
    assert stat.state == "T"


@processes
@pytest.mark.parametrize(
    "script", [RESTLESS, TALKATIVE, STOPPED], ids=["restless", "talkative", "stopped"]
)
def test_a_supervisor_that_is_busy_heeds_the_lease(
    freezer: Freezer, script: str
) -> None:
    """MB-04: of dying orphans, or with a daemon that takes nothing of what its program says."""
    frozen = freezer.start(script, seconds=4.0)
    frozen.freeze()
    frozen.wait_gone()


@processes
def test_a_lease_that_is_renewed_ends_nothing(freezer: Freezer) -> None:
    """MB-06: the one that is not, with the same deadline, is gone by then."""
    lost, kept = (freezer.start("exec sleep 600", seconds=6.0) for _ in range(2))
    for frozen in (lost, kept):
        frozen.freeze()
    # Not by a new file: a supervisor has the one open that it was told of.
    kept.tell(600)
    kept.lease.unlink()
    lost.wait_gone()
    late = boottime() + SECOND
    wait_until(lambda: boottime() > late)
    assert len(kept.members()) == 1


@processes
def test_what_wakes_after_the_lease_is_ended_without_a_grace(freezer: Freezer) -> None:
    """MB-07: the box slept; by now another may run what was run here."""
    frozen = freezer.start(STUBBORN, grace=600.0)
    wait_until(lambda: len(frozen.members()) >= 4)
    everything = [frozen.daemon.pid, *descendants(frozen.daemon.pid)]
    supervisor = frozen.supervisor()
    for pid in everything:
        os.kill(pid, signal.SIGSTOP)
    # Four seconds more than its deadline ago, which is its margin.
    frozen.tell(-5.0)
    # It hears this when it goes on, and may be gone with its tree before the last of them does.
    wake(supervisor)
    for pid in reversed(everything):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    frozen.wait_gone()


@processes
def test_an_end_under_way_is_over_by_the_lease(freezer: Freezer) -> None:
    """MB-04: its grace is longer than that; the daemon had asked for it, and was stopped then."""
    frozen = freezer.start(STUBBORN, grace=600.0)
    wait_until(lambda: len(frozen.members()) >= 4)
    frozen.freeze()
    supervisor = frozen.supervisor()
    os.kill(supervisor, signal.SIGTERM)
    wait_until(lambda: rests(supervisor))
    frozen.tell(-2.0)
    frozen.wait_gone()


@processes
def test_what_cannot_be_read_is_over(freezer: Freezer) -> None:
    """MB-04: nobody can tell that others do not run it."""
    frozen = freezer.start("sleep 600")
    frozen.freeze()
    supervisor = frozen.supervisor()
    os.truncate(frozen.lease, DEADLINE_BYTES - 1)
    wake(supervisor)
    frozen.wait_gone()


@processes
def test_what_the_lease_ended_is_proven_for_the_next_life(
    freezer: Freezer, tmp_path: Path
) -> None:
    """MB-04, CN-06: the daemon hears nothing of it, and is killed."""
    frozen = freezer.start("sleep 600", seconds=2.0)
    frozen.freeze()
    frozen.wait_gone()
    frozen.daemon.kill()
    kept = str(tmp_path / "kept")
    wait_until(lambda: find_testimonies(kept, boot_id()))
    assert find_testimonies(kept, boot_id()) == {
        f"{boot_id()}.{frozen.pid}.{frozen.start_time}"
    }


def wake(supervisor: int) -> None:
    """Have it look at its lease, unless it has by itself, and is gone."""
    with suppress(ProcessLookupError):
        os.kill(supervisor, signal.SIGCHLD)


def rests(pid: int) -> bool:
    stat = read_stat(pid)
    return stat is not None and stat.state == "S"


class World:
    """Runs one program by a lease of this test's."""

    def __init__(self, lease: Path, seconds: float) -> None:
        self.lease = lease
        self.proofs: list[Proof] = []
        lease.write_bytes(encode(boottime() + int(seconds * SECOND)))

    async def run(self, *argv: str) -> None:
        with trio.fail_after(60):
            await run_process(
                Program(argv, self.lease.parent, {"PATH": "/usr/bin:/bin"}),
                run_id=f"lease-{os.getpid()}",
                containment=Containment("subreaper"),
                grace=0.5,
                lease=TreeLease(str(self.lease), 4.0),
                on_started=self._nothing,
                on_output=self._nothing,
                on_proof=self.proofs.append,
            )

    async def _nothing(self, *_: object) -> None:
        await trio.lowlevel.checkpoint()


@processes
async def test_a_daemon_that_is_there_hears_what_ended_its_program(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "lease", 2.0)
    await world.run("sleep", "600")
    [proof] = world.proofs
    assert proof.by_lease
    assert proof.survivors == ()


@processes
async def test_what_ends_by_itself_was_not_ended_by_the_lease(tmp_path: Path) -> None:
    world = World(tmp_path / "lease", 600.0)
    await world.run("true")
    assert [proof.by_lease for proof in world.proofs] == [False]


@processes
async def test_nothing_is_started_after_the_lease(tmp_path: Path) -> None:
    """MB-07: the daemon slept between its claim and the program."""
    world = World(tmp_path / "lease", -0.1)
    with pytest.raises(NoProcess, match="the daemon's lease is over"):
        await world.run("touch", "begun")
    assert not (tmp_path / "begun").exists()


@processes
async def test_nothing_is_started_by_a_lease_that_is_not_there(tmp_path: Path) -> None:
    world = World(tmp_path / "lease", 600.0)
    world.lease.unlink()
    with pytest.raises(NoProcess, match="lease cannot be read: No such file"):
        await world.run("touch", "begun")
    assert not (tmp_path / "begun").exists()


# -- decisions


def test_a_deadline_is_read_as_it_was_written() -> None:
    for deadline in (1, boottime(), 2**62):
        assert decode(encode(deadline)) == deadline
        assert len(encode(deadline)) == DEADLINE_BYTES
    for broken in (b"", encode(2**62)[1:], encode(2**62) + b"\0"):
        assert decode(broken) == 0


@pytest.mark.parametrize(
    ("since", "seconds"),
    [(-60.0, 66.0), (0.0, 6.0), (3.0, 3.0), (6.0, 0.0), (7.0, 0.0), (9999.0, 0.0)],
)
def test_a_grace_ends_a_second_before_the_lease(since: float, seconds: float) -> None:
    """MB-07: with a margin of 7 s, so long after the deadline."""
    now = 1000 * SECOND
    assert grace_left(now - int(since * SECOND), 7.0, now) == pytest.approx(seconds)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Callable[[int], None]]:
    """Writes a deadline into a file, which it has at once."""
    fd = os.open(tmp_path / "lease", os.O_RDWR | os.O_CREAT)

    def tell(deadline: int) -> None:
        os.pwrite(fd, encode(deadline), 0)

    tell(100)
    yield tell
    os.close(fd)


def test_a_deadline_that_moved_on_has_not_passed(
    told: Callable[[int], None], tmp_path: Path
) -> None:
    """MB-06: it is read again when the one that was read before is over."""
    now = [50]
    deadline = LeaseDeadline(str(tmp_path / "lease"), 7.0, lambda: now[0])
    assert not deadline.passed()
    told(200)
    now[0] = 150
    assert not deadline.passed()
    now[0] = 200
    assert deadline.passed()
    deadline.close()


def test_the_alarm_goes_on_in_sleep(
    told: Callable[[int], None], tmp_path: Path
) -> None:
    """MB-07: by CLOCK_BOOTTIME, at the deadline and not so long after the start of a wait."""
    told(boottime() + 600 * SECOND)
    deadline = LeaseDeadline(str(tmp_path / "lease"), 7.0)
    info = Path(f"/proc/self/fdinfo/{deadline.alarm}").read_text()
    assert f"clockid: {time.CLOCK_BOOTTIME}\n" in info
    assert "settime flags: 01\n" in info
    assert deadline.bounded(None) is None
    deadline.close()


def test_without_such_a_timer_one_looks_now_and_then(
    told: Callable[[int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MB-07: a timeout would stand still in sleep, so that none may be long."""
    monkeypatch.setattr("penstock.processes.lease_deadline.find_timer_calls", lambda: None)  # fmt: skip
    told(boottime() + 600 * SECOND)
    deadline = LeaseDeadline(str(tmp_path / "lease"), 7.0)
    assert not deadline.passed()
    assert deadline.bounded(None) == 0.5
    assert deadline.bounded(600.0) == 0.5
    assert deadline.bounded(0.02) == 0.02
    deadline.close()
