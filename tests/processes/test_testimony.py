"""What is proven of a process tree whose daemon was killed: by its supervisor, for the next life."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.processes.containment import boot_id, children, read_stat
from penstock.processes.testimony import keep_proof, name_of, wait_testimonies
from penstock.service.environment import proven_gone
from penstock.words.events import ProcessStarted

pytestmark = pytest.mark.processes

#: Runs a program as a daemon does, and tells its pid and start time.
DAEMON = """
import sys
from functools import partial
from pathlib import Path
import trio
from penstock.processes.detection import Containment
from penstock.processes.process import run_process
from penstock.processes.spec import Program

async def tell(started):
    print(started.pid, started.start_time, flush=True)

async def nothing(*_):
    pass

program = Program(("sh", "-c", sys.argv[2]), Path("/"), {"PATH": "/usr/bin:/bin"})
trio.run(partial(
    run_process, program, run_id=sys.argv[3],
    containment=Containment("subreaper"), grace=0.2, testimonies=Path(sys.argv[1]), on_started=tell,
    on_output=nothing, on_proof=lambda _: None,
))
"""
STUBBORN = 'trap "" TERM; (setsid sh -c "trap \\"\\" TERM; sleep 77") & sleep 77'


@contextmanager
def daemon(
    folder: Path, program: str
) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """A process that runs this, and the program's pid and start time."""
    run_id = f"testimony-{os.getpid()}"
    with subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(folder), program, run_id],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        pid, start_time = map(int, process.stdout.readline().split())
        try:
            yield process, pid, start_time
        finally:
            process.kill()


def test_a_supervisor_whose_daemon_was_killed_keeps_its_proof(tmp_path: Path) -> None:
    """CN-06: of a tree that had to be killed, too."""
    with daemon(tmp_path / "kept", STUBBORN) as (process, pid, start_time):
        process.kill()
        wanted = {name_of(boot_id(), pid, start_time)}
        assert wait_testimonies(str(tmp_path / "kept"), boot_id(), wanted, 30) == wanted
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_last_word_that_was_left_unread_is_kept_as_a_proof(tmp_path: Path) -> None:
    """CN-06: the daemon was killed with it in its socket."""
    with daemon(tmp_path / "kept", "sleep 77") as (process, pid, start_time):
        os.kill(process.pid, signal.SIGSTOP)
        [supervisor] = children(process.pid)
        os.kill(pid, signal.SIGKILL)
        # It reaps its program, and says the last word before it waits for anything again.
        give_up = time.monotonic() + 30
        while read_stat(pid) or not rests(supervisor):
            assert time.monotonic() < give_up
            time.sleep(0.01)
        process.kill()
        kept = {name_of(boot_id(), pid, start_time)}
        assert wait_testimonies(str(tmp_path / "kept"), boot_id(), kept, 30) == kept


def rests(pid: int) -> bool:
    """Whether it waits for something, or has ended."""
    stat = read_stat(pid)
    return stat is None or stat.state in "SZ"


def test_what_the_daemon_heard_itself_is_kept_nowhere_else(tmp_path: Path) -> None:
    """CN-06: a file for each program would be one to be written and removed."""
    with daemon(tmp_path / "kept", "true") as (process, _, _):
        assert process.wait(30) == 0
    assert not (tmp_path / "kept").exists()


def test_a_supervisor_that_is_killed_too_keeps_nothing(tmp_path: Path) -> None:
    """CN-06: nobody waited then."""
    with daemon(tmp_path / "kept", "sleep 77") as (process, pid, _):
        os.kill(process.pid, signal.SIGSTOP)
        [supervisor] = children(process.pid)
        os.kill(supervisor, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    assert not (tmp_path / "kept").exists()


async def test_only_what_was_seen_in_this_start_of_the_machine_counts(
    tmp_path: Path,
) -> None:
    """CN-06: a pid of another start is another process; what tells of one is removed."""
    folder, boot = str(tmp_path), boot_id()
    keep_proof(folder, boot, 5, 50)
    keep_proof(folder, "earlier", 7, 70)

    def started(pid: int, start_time: int, boot: str) -> ProcessStarted:
        return ProcessStarted(
            pid=pid, start_time=start_time, boot_id=boot, method="subreaper"
        )

    gone = started(5, 50, boot)
    others = [started(5, 51, boot), started(7, 70, "earlier"), started(7, 70, boot)]
    for _ in range(2):
        assert await proven_gone(tmp_path, [gone, *others]) == {gone}
    assert os.listdir(folder) == [name_of(boot, 5, 50)]
