"""CN-01, CN-06, SY-03: contained processes of a run, with harmless ones and the real clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import pytest
import trio
import trio.testing

from penstock.processes import forking, launching
from penstock.processes.containment import boot_id, group_populated, read_stat
from penstock.processes.detection import Containment
from penstock.processes.feeding import sends
from penstock.processes.forking import open_launcher
from penstock.processes.launching import Launched, Launcher, Streams, launch_executed
from penstock.processes.liveness import lives, living_since
from penstock.processes.orphans import end_orphans
from penstock.processes.output import OutputPieces, RunOutput, open_output
from penstock.processes.process import ProcessTree, Proof, run_process
from penstock.processes.reading import READ_BYTES
from penstock.processes.spec import Program, child_environment
from penstock.processes.supervisor import spawn
from penstock.words.batching import Pace
from penstock.words.errors import NoProcess, Refused
from penstock.words.events import Log, ProcessExited, ProcessStarted
from penstock.words.printed import bytes_of, size_of

pytestmark = pytest.mark.processes

#: The tests of two sessions must not find each other's processes.
RUN_ID = f"run-of-test-{os.getpid()}"
SUBREAPER = Containment("subreaper")
PATH = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


#: What belongs to the program.
AROUND = ("cwd", "env", "umask", "terminal", "one_stream")


class Watched:
    """Runs processes and keeps everything that is told about them."""

    def __init__(self, launcher: Launcher = launch_executed) -> None:
        self.launcher = launcher
        self.started = trio.Event()
        self.starts: list[ProcessStarted] = []
        self.output = {"stdout": b"", "stderr": b""}
        self.said = trio.Event()
        self.proofs: list[Proof] = []

    async def run(self, *argv: str, **changes: Any) -> ProcessExited:
        named: dict[str, Any] = {
            "run_id": RUN_ID,
            "cwd": Path("/"),
            "env": PATH,
            "containment": SUBREAPER,
            "grace": 0.5,
            "launcher": self.launcher,
            "on_started": self.on_started,
            "on_output": self.on_output,
            "on_proof": self.proofs.append,
            **changes,
        }
        around = {name: named.pop(name) for name in AROUND if name in named}
        return await run_process(Program(argv, **around), **named)

    async def on_started(self, started: ProcessStarted) -> None:
        await trio.lowlevel.checkpoint()
        self.starts.append(started)
        self.started.set()

    async def on_output(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        assert self.starts, "the start is told first"
        self.output[stream] += data
        self.said.set()

    @property
    def proof(self) -> Proof:
        [proof] = self.proofs
        return proof


@pytest.fixture(params=["forked", "executed"])
async def watched(request: pytest.FixtureRequest) -> AsyncIterator[Watched]:
    """Both ways in which a supervisor comes to be keep every promise."""
    async with open_launcher() as launcher:
        forked = request.param == "forked"
        yield Watched(launcher if forked else launch_executed)


@contextmanager
def deadline() -> Iterator[None]:
    """Every wait of this file ends."""
    with trio.fail_after(30):
        yield


def alive(pid: int) -> bool:
    return living_since(pid) is not None


#: Its first thread has ended when it says `up`, and another works on: /proc shows a zombie.
DEAD_LEADER = """
import ctypes, os, threading, time
def work():
    while b') Z ' not in open(f'/proc/{os.getpid()}/stat', 'rb').read(): time.sleep(0.001)
    print(os.getpid(), 'up', flush=True)
    time.sleep(60)
threading.Thread(target=work).start()
ctypes.CDLL(None).pthread_exit(0)
"""
WITH_DEAD_LEADER = [sys.executable, "-I", "-S", "-c", DEAD_LEADER]


async def test_output_exit_code_and_proof_are_told(watched: Watched) -> None:
    """CN-01"""
    with deadline():
        exited = await watched.run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (exited.exit_code, exited.signal, exited.survivors) == (3, None, ())
    assert watched.output == {"stdout": b"out\n", "stderr": b"err\n"}
    [started] = watched.starts
    assert (started.pid, started.boot_id, started.method) == (
        exited.pid,
        boot_id(),
        "subreaper",
    )
    assert started.start_time > 0
    assert watched.proof.survivors == ()


async def test_a_signal_is_told(watched: Watched) -> None:
    with deadline():
        exited = await watched.run("sh", "-c", "kill -9 $$")
    assert (exited.exit_code, exited.signal) == (None, signal.SIGKILL)


async def test_standard_input_is_given_and_ends(watched: Watched) -> None:
    data = os.urandom(300_000)
    with deadline():
        await watched.run("cat", feed=sends(data))
    assert watched.output["stdout"] == data


async def test_input_that_nobody_reads_holds_nothing_up(watched: Watched) -> None:
    with deadline():
        exited = await watched.run("true", feed=sends(b"x" * 1_000_000))
    assert exited.exit_code == 0


async def test_the_process_sees_what_it_was_given_and_its_run(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_TOKEN", "secret")
    monkeypatch.setenv("OF_THE_DAEMON", "1")
    with deadline():
        await watched.run(
            "env", env={**PATH, "MINE": "é", "NOTIFY_SOCKET": "/x", "LISTEN_FDS": "3"}
        )
    assert set(watched.output["stdout"].decode().split("\n")) == {
        f"PATH={PATH['PATH']}",
        "MINE=é",
        f"PENSTOCK_RUN_ID={RUN_ID}",
        "",
    }


def test_names_of_the_daemon_are_withheld() -> None:
    names = (
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "PENSTOCK_TOKEN",
    )
    assert child_environment(dict.fromkeys(names, "x"), "r") == {"PENSTOCK_RUN_ID": "r"}


async def test_no_descriptor_of_ours_is_inherited(watched: Watched) -> None:
    with deadline():
        await watched.run("ls", "/proc/self/fd")
    # The fourth is that of the listing itself.
    assert watched.output["stdout"].split() == [b"0", b"1", b"2", b"3"]


async def test_ignored_signals_are_not_inherited(watched: Watched) -> None:
    with deadline():
        await watched.run("grep", "SigIgn", "/proc/self/status")
    ignored = int(watched.output["stdout"].split()[1], 16)
    # glibc keeps 32 and 33 to itself: no program can set them back, ours included.
    assert ignored & ~(0b11 << 31) == 0


@pytest.mark.parametrize(
    ("argv", "changes", "field"),
    [
        (["no-such-program-anywhere"], {}, "inputs.argv"),
        (["/etc"], {}, "inputs.argv"),
        (["true"], {"cwd": Path("/no/such/folder")}, "inputs.cwd"),
        (["true", "a\0b"], {}, "inputs.argv"),
        (["true"], {"env": {"A=B": "c"}}, "inputs.env"),
        (["true", "\ud800"], {}, "inputs.argv"),
    ],
)
async def test_what_cannot_be_started_is_refused_with_the_field(
    watched: Watched, argv: list[str], changes: dict[str, Any], field: str
) -> None:
    """ER-02"""
    with deadline(), pytest.raises(Refused) as refused:
        await watched.run(*argv, **changes)
    assert refused.value.field == field
    assert not watched.starts


async def test_a_script_without_a_format_is_the_shells_also_by_its_name(
    watched: Watched, tmp_path: Path
) -> None:
    """ER-02: as execvp has it; what cannot be entered or executed on the way to it is passed over."""
    here, before = tmp_path / "here", tmp_path / "before"
    for folder in (here, before):
        folder.mkdir()
    (here / "greet").write_text("echo hello $1 $0")
    (here / "greet").chmod(0o755)
    (before / "greet").mkdir()
    path = f"{tmp_path}/none:{before}:{here}:/bin"
    with deadline():
        await watched.run("greet", "you", env={"PATH": path})
        await watched.run("./greet", "me", cwd=here)
    said = watched.output["stdout"].decode().split("\n")
    assert said == [f"hello you {here}/greet", "hello me ./greet", ""]


async def test_what_is_there_and_cannot_be_executed_is_told_as_that(
    watched: Watched, tmp_path: Path
) -> None:
    """ER-02: 126 and not 127."""
    (tmp_path / "text").write_text("no program")
    with deadline(), pytest.raises(Refused, match="Permission denied") as refused:
        await watched.run("text", env={"PATH": f"{tmp_path}:/bin"})
    assert refused.value.facts["exit_code"] == 126


async def test_a_program_begins_as_from_a_shell_and_in_its_folder(
    watched: Watched, tmp_path: Path
) -> None:
    """CN-06: a session of its own, no signal blocked or ignored, its umask; its supervisor stays away."""
    script = "umask; pwd; ps -o sid= -p $$; grep SigBlk /proc/self/status; echo $$; sleep 1000"
    with deadline(), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            run = partial(watched.run, cwd=tmp_path, umask=0o027)
            nursery.start_soon(run, "sh", "-c", script)
            while watched.output["stdout"].count(b"\n") < 5:
                watched.said = trio.Event()
                await watched.said.wait()
            stat = read_stat(watched.starts[0].pid)
            assert stat is not None
            supervisor = os.readlink(f"/proc/{stat.parent}/cwd")
            scope.cancel(reason="seen")
    umask, folder, session, _, blocked, main = watched.output["stdout"].decode().split()
    assert (umask, folder, session) == ("0027", str(tmp_path), main)
    assert int(blocked, 16) == 0
    assert supervisor == "/"


async def test_what_outlives_the_main_process_is_ended_and_counted(
    watched: Watched,
) -> None:
    """SY-03: a run owns its processes."""
    with deadline():
        exited = await watched.run("sh", "-c", "sleep 1000 & echo $!")
    assert (exited.exit_code, exited.leftover, exited.survivors) == (0, 1, ())
    background = int(watched.output["stdout"])
    assert background in watched.proof.pids
    assert not alive(background)


@pytest.mark.parametrize("method", ["subreaper", "session"])
async def test_a_process_whose_first_thread_has_ended_is_not_taken_for_dead(
    watched: Watched, method: Literal["subreaper", "session"]
) -> None:
    """CN-06 SY-03: what outlives the main process works on as a zombie, by /proc."""
    script = (
        "import subprocess, sys\n"
        "other = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)\n"
        "print(other.stdout.readline().decode(), flush=True)"
    )
    main = [sys.executable, "-I", "-S", "-c", script, *WITH_DEAD_LEADER]
    with deadline():
        exited = await watched.run(*main, containment=Containment(method))
    background, said = watched.output["stdout"].split()
    assert said == b"up"
    assert int(background) in watched.proof.pids
    assert exited.leftover == 1
    assert (watched.proof.survivors == ()) == (method == "subreaper")
    assert not lives(int(background))


async def test_a_cancel_ends_the_tree_before_it_goes_on(watched: Watched) -> None:
    """CN-01"""
    with deadline(), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watched.run, "sh", "-c", "sleep 1000 & echo $!; wait")
            await watched.said.wait()
            scope.cancel(reason="test")
    assert scope.cancelled_caught
    assert watched.proof.survivors == ()
    assert not alive(int(watched.output["stdout"]))
    assert not alive(watched.starts[0].pid)


async def test_last_words_after_term_are_kept(watched: Watched) -> None:
    """DS-03"""
    script = "trap 'echo bye; exit 1' TERM; echo up; sleep 1000 & wait"
    with deadline(), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watched.run, "sh", "-c", script)
            await watched.said.wait()
            scope.cancel(reason="test")
    assert watched.output["stdout"] == b"up\nbye\n"


async def test_a_cancel_before_the_start_starts_nothing_that_stays(
    watched: Watched,
) -> None:
    """CN-07"""
    with deadline(), trio.CancelScope() as scope:
        scope.cancel(reason="test")
        await watched.run("sleep", "1000")
    for proof in watched.proofs:
        assert proof.survivors == ()
    for started in watched.starts:
        assert not alive(started.pid)


async def test_a_deadline_ends_work_that_never_yields(watched: Watched) -> None:
    """SC-06, SC-07"""
    with deadline(), trio.move_on_after(0.3) as scope:
        await watched.run(sys.executable, "-I", "-S", "-c", "while True: pass")
    assert scope.cancelled_caught
    assert watched.proof.survivors == ()


async def test_a_failing_callback_ends_the_tree(watched: Watched) -> None:
    """SY-03"""

    async def on_output(stream: str, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError

    with deadline(), pytest.RaisesGroup(KeyError):
        await watched.run("sh", "-c", "echo x; sleep 1000", on_output=on_output)
    assert watched.proof.survivors == ()
    assert not alive(watched.starts[0].pid)


async def test_a_callback_that_never_returns_holds_a_cancel_only_for_the_bound(
    watched: Watched,
) -> None:
    """CN-04"""

    async def on_output(stream: str, data: bytes) -> None:
        watched.said.set()
        await trio.sleep_forever()

    with deadline(), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                await watched.run("sh", "-c", "echo x; sleep 1000", on_output=on_output)

            await watched.said.wait()
            scope.cancel(reason="test")
    assert watched.proof.survivors == ()


#: Leaves its session, and at a TERM its environment, and goes on.
FORGETS = "setsid sh -c 'trap \"exec env -i sleep 1000\" TERM; echo $$; while :; do sleep 0.01; done'"


@pytest.mark.parametrize("lost", [False, True], ids=["session", "lost"])
async def test_who_was_seen_is_ended_though_he_forgets_his_run_then(
    watched: Watched, lost: bool
) -> None:
    """CN-06 SY-03: by neither session nor environment is it found again, when the grace is over."""
    method: Any = "subreaper" if lost else "session"
    with deadline(), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            argv = ("sh", "-c", f"{FORGETS} & sleep 1000")
            run = partial(watched.run, *argv, containment=Containment(method))
            nursery.start_soon(run)
            await watched.said.wait()
            if lost:
                stat = read_stat(watched.starts[0].pid)
                assert stat is not None
                os.kill(stat.parent, signal.SIGKILL)
            else:
                scope.cancel(reason="test")
    pid = int(watched.output["stdout"])
    try:
        assert living_since(pid) is None
        assert pid in watched.proof.pids
        assert watched.proof.survivors == "unknown"
    finally:
        if living_since(pid) is not None:
            os.kill(pid, signal.SIGKILL)


async def test_a_word_to_end_before_the_supervisor_could_hear_is_heard() -> None:
    """CN-06: a TERM in the moment in which its interpreter starts; it proves the end all the same."""

    async def launch(streams: Streams) -> Launched:
        launched = await launch_executed(streams)
        os.kill(launched.process.pid, signal.SIGTERM)
        return launched

    watched = Watched(launch)
    with deadline():
        await watched.run("sleep", "1000")
    assert watched.proof.survivors == ()
    assert watched.starts


async def test_a_lost_supervisor_is_told_as_unknown(watched: Watched) -> None:
    """CN-06: its death is no proof; the processes are looked for all the same."""
    exits: list[ProcessExited] = []

    async def run() -> None:
        exits.append(await watched.run("sh", "-c", "sleep 1000 & echo $!; wait"))

    with deadline():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await watched.said.wait()
            stat = read_stat(watched.starts[0].pid)
            assert stat is not None
            os.kill(stat.parent, signal.SIGKILL)
    assert watched.proof.survivors == "unknown"
    assert (exits[0].exit_code, exits[0].signal, exits[0].survivors) == (
        None,
        None,
        "unknown",
    )
    assert not alive(int(watched.output["stdout"]))


async def test_a_stuck_supervisor_holds_a_cancel_only_for_the_bound(
    watched: Watched,
) -> None:
    """CN-06: it is given up, its processes are looked for, and nothing is claimed."""
    supervisor = 0
    with deadline(), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watched.run, "sh", "-c", "sleep 1000 & echo $!; wait")
            await watched.said.wait()
            stat = read_stat(watched.starts[0].pid)
            assert stat is not None
            supervisor = stat.parent
            os.kill(supervisor, signal.SIGSTOP)
            scope.cancel(reason="test")
    assert scope.cancelled_caught
    assert watched.proof.survivors == "unknown"
    assert int(watched.output["stdout"]) in watched.proof.pids
    assert not alive(int(watched.output["stdout"]))
    assert not alive(supervisor)


async def test_a_slow_reader_holds_the_process(watched: Watched) -> None:
    """RS-05: `on_output` waiting is backpressure to the pipe."""
    taken, gate = 0, trio.Event()

    async def on_output(stream: str, data: bytes) -> None:
        nonlocal taken
        taken += len(data)
        watched.said.set()
        await gate.wait()

    with deadline():
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                await watched.run(
                    "head", "-c", "1000000", "/dev/zero", on_output=on_output
                )

            await watched.said.wait()
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert taken <= 65536
            assert alive(watched.starts[0].pid)
            gate.set()
    assert taken == 1_000_000


@pytest.mark.parametrize("first", ["stdout", "stderr"])
async def test_the_stream_is_read_first_that_spoke_first(
    watched: Watched, first: str
) -> None:
    """PT-06: though both did before anybody read, and the program has ended since."""
    line = "echo err >&2; echo out" if first == "stderr" else "echo out; echo err >&2"
    for _ in range(6):
        read: list[str] = []

        async def on_output(stream: str, data: bytes, read: list[str] = read) -> None:
            read += [stream] if data else []
            await trio.lowlevel.checkpoint()

        async def stand_still(started: ProcessStarted) -> None:
            # The whole daemon is late, as on a box with too much to do.
            while alive(started.pid):
                pass
            await trio.lowlevel.checkpoint()

        with deadline():
            await watched.run("/bin/sh", "-c", line, on_started=stand_still, on_output=on_output)  # fmt: skip
        assert read == [first, {"stdout": "stderr", "stderr": "stdout"}[first]]


async def test_what_holds_a_program_back_does_not_outlast_it(watched: Watched) -> None:
    """PT-06 CN-03: what it had written by its end is read all the same, and its end is told."""
    with deadline():
        exited = await watched.run(
            "sh", "-c", "printf %060000d; exit 3", before_read=trio.sleep_forever
        )
    assert exited.exit_code == 3
    assert len(watched.output["stdout"]) == 60_000


async def test_a_program_is_held_back_before_it_is_read(watched: Watched) -> None:
    """PT-06: it waits in its pipe, and goes on when it may."""
    may = trio.Event()
    with deadline():
        async with trio.open_nursery() as nursery:
            script = "head -c 1000000 /dev/zero; echo written >&2"
            nursery.start_soon(
                partial(watched.run, "sh", "-c", script, before_read=may.wait)
            )
            await watched.started.wait()
            await trio.sleep(0.2)
            assert watched.output["stdout"] == b""
            may.set()
    assert len(watched.output["stdout"]) == 1_000_000
    assert watched.output["stderr"] == b"written\n"


async def test_the_pipe_of_a_busy_program_is_read_in_larger_pieces(
    watched: Watched,
) -> None:
    """PT-06: so that the two change places more rarely."""
    sizes: list[int] = []

    async def take(stream: Literal["stdout", "stderr"], data: bytes) -> None:
        sizes.append(len(data))
        # It has time to fill its pipe.
        await trio.sleep(0.005)

    with deadline():
        await watched.run("head", "-c", "10M", "/dev/zero", on_output=take)
    assert sum(sizes) == 10 * 1024 * 1024
    assert max(sizes) > READ_BYTES


async def test_a_flood_is_bounded_and_the_cut_is_told(watched: Watched) -> None:
    """RS-05, QA-05, PT-04: 200 MB of output, of which no more goes out than its pace allows."""
    size, head = 200_000_000, 100_000
    pieces: list[Log] = []

    async def emit(sent: Sequence[tuple[UUID, Log]]) -> bool:
        await trio.lowlevel.checkpoint()
        pieces.extend(piece for _, piece in sent)
        return True

    pace = Pace(0.1, 65536, at_once=20)
    output = RunOutput(OutputPieces(pace, head), emit)
    tracemalloc.start()
    with deadline():
        async with open_output(output, 1.0) as on_output:
            await watched.run("sh", "-c", f"yes | head -c {size}", on_output=on_output)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16_000_000
    assert sum(map(size_of, pieces)) == size
    beginning = b"".join(bytes_of(piece) or b"" for piece in pieces)
    assert beginning.startswith(b"y\n" * (head // 2))
    assert any(piece.emptied for piece in pieces)
    assert bytes_of(pieces[-1]) is not None


@contextmanager
def stranger(**environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that no supervisor owns."""
    with owned(["sleep", "1000"], environ) as process:
        yield process


@contextmanager
def dead_leader(**environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that no supervisor owns, and of which only a second thread lives."""
    with owned(WITH_DEAD_LEADER, environ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"%d up\n" % process.pid
        yield process


@contextmanager
def owned(
    argv: list[str], environ: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    # With this test's home it goes too when pytest is killed.
    environ = {**PATH, "HOME": os.environ["HOME"], **environ}
    with subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def started_as(process: subprocess.Popen[bytes], **changes: Any) -> ProcessStarted:
    stat = read_stat(process.pid)
    assert stat is not None
    values = {
        "pid": process.pid,
        "start_time": stat.start_time,
        "boot_id": boot_id(),
        "method": "session",
    }
    return ProcessStarted.model_validate({**values, **changes})


def test_boot_repair_ends_the_recorded_process() -> None:
    """SY-03"""
    with stranger() as process:
        assert end_orphans([started_as(process)], [], grace=1.0) == (
            (process.pid,),
            (),
        )
        assert process.wait(60) == -signal.SIGTERM


def test_boot_repair_ends_the_recorded_process_whose_first_thread_has_ended() -> None:
    """SY-03: /proc shows it as a zombie."""
    with dead_leader() as process:
        ended = end_orphans([started_as(process)], [], grace=5.0)
        assert ended == ((process.pid,), ())
        assert process.wait(60) == -signal.SIGTERM


def test_boot_repair_finds_a_process_whose_first_thread_has_ended_by_its_run() -> None:
    """SY-03: /proc shows its environment at its other threads alone."""
    run_id = f"repair-zombie-{os.getpid()}"
    with dead_leader(PENSTOCK_RUN_ID=run_id) as process:
        assert end_orphans([], [run_id], grace=5.0) == ((process.pid,), ())
        assert process.wait(60) == -signal.SIGTERM


def test_a_process_is_dead_when_its_last_thread_has_ended() -> None:
    """CN-06"""
    with dead_leader() as process:
        stat = read_stat(process.pid)
        assert stat is not None
        assert stat.state == "Z"
        assert lives(process.pid)
        assert living_since(process.pid) == stat.start_time
        process.kill()
        # It has ended, and waits for us as a zombie.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not lives(process.pid)
        assert living_since(process.pid) is None
    assert not lives(process.pid)


def test_a_cgroup_that_cannot_be_seen_is_not_taken_for_empty(tmp_path: Path) -> None:
    """CN-06: removed by the kernel's leave is proof; a tree that is not there is none."""
    tree = tmp_path / "tree"
    group = tree / "run-1"
    assert group_populated(str(group)), "the whole tree is not to be seen"
    group.mkdir(parents=True)
    (tree / "cgroup.procs").touch()
    assert group_populated(str(group)), "it does not say"
    (group / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    assert group_populated(str(group))
    (group / "cgroup.events").write_text("populated 0\nfrozen 0\n")
    assert not group_populated(str(group))
    (group / "cgroup.events").unlink()
    group.rmdir()
    assert not group_populated(str(group)), "the kernel let it be removed"


def test_an_empty_cgroup_is_no_proof_against_a_child_that_is_left(
    tmp_path: Path,
) -> None:
    """CN-06: what left the folder is in the supervisor's word alone."""
    (tmp_path / "cgroup.procs").touch()
    (tmp_path / "run-1").mkdir()
    (tmp_path / "run-1" / "cgroup.events").write_text("populated 0\n")
    nothing: Any = None
    tree = ProcessTree(nothing, nothing, {}, ("a",), RUN_ID, sent=True)
    with stranger() as process:
        folder = str(tmp_path / "run-1")
        tree.started = started_as(process, method="cgroup", cgroup=folder)
    found = [tree.survivors]
    tree.ended = {"left": [], "pids": [], "proven": False}
    assert [*found, tree.survivors] == [(), "unknown"]


def test_boot_repair_spares_another_process_of_the_same_pid() -> None:
    """SY-03: a pid alone, or one of another boot, proves nothing."""
    with stranger() as process:
        others = [
            started_as(process, start_time=1),
            started_as(process, boot_id="another"),
        ]
        assert end_orphans(others, ["no-run-has-this-id"], grace=0.1) == ((), ())
        assert process.poll() is None


def test_boot_repair_finds_processes_by_the_id_of_their_run() -> None:
    """SY-03"""
    run_id = f"repair-{os.getpid()}"
    with (
        stranger(PENSTOCK_RUN_ID=run_id) as process,
        stranger(PENSTOCK_RUN_ID=f"{run_id}0") as other,
    ):
        assert end_orphans([], [run_id], grace=1.0) == ((process.pid,), ())
        assert other.poll() is None


def test_boot_repair_spares_a_run_of_the_same_id_in_another_log() -> None:
    """SY-03: ids are chosen by users, and several daemons may run."""
    with (
        stranger(PENSTOCK_RUN_ID=RUN_ID, PENSTOCK_EPOCH="ours") as ours,
        stranger(PENSTOCK_RUN_ID=RUN_ID, PENSTOCK_EPOCH="theirs") as theirs,
    ):
        assert end_orphans([], [RUN_ID], grace=1.0, epoch="ours") == ((ours.pid,), ())
        assert theirs.poll() is None


async def test_the_process_carries_the_epoch(watched: Watched) -> None:
    with deadline():
        await watched.run("env", epoch="the-log")
    assert b"PENSTOCK_EPOCH=the-log" in watched.output["stdout"].split(b"\n")


#: No child is granted to whoever was forked himself, and to whoever was executed for the run.
REFUSE = """\
import os
fork, template = os.fork, os.getpid() if {template} else 0
def refuse(*_, **__):
    if os.getpid() == template: return fork()
    raise BlockingIOError(11, '')
os.fork = refuse
"""
#: The same, by the other way to a child as well.
REFUSE_ALL = REFUSE + "import _posixsubprocess\n_posixsubprocess.fork_exec = refuse\n"
#: That other way takes other arguments, as that of another Python may.
OTHER_PYTHON = "import _posixsubprocess\n_posixsubprocess.fork_exec = lambda: 0\n"
#: Or there is none.
WITHOUT_IT = "import _posixsubprocess\ndel _posixsubprocess.fork_exec\n"


def before_supervisors(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Have this done where supervisors come from, before they import anything."""
    for module, template in ((launching, 0), (forking, 1)):
        launch = code.format(template=template) + module.LAUNCH
        monkeypatch.setattr(module, "LAUNCH", launch)


async def test_a_program_is_made_without_a_copy_of_its_supervisor(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PF-03: what a fork costs is for those that need it; `true` is none of them."""
    before_supervisors(monkeypatch, REFUSE)
    with deadline():
        assert (await watched.run("true")).exit_code == 0


def test_this_python_starts_programs_as_the_supervisor_asks_it_to(
    tmp_path: Path,
) -> None:
    """PF-03: `_posixsubprocess.fork_exec` is private, so what we give it is checked against its effects."""
    write = "{ pwd; umask; echo $WORD; read -r _ _ _ _ _ session _ < /proc/$$/stat; echo $session $$; } > out"
    spec: dict[str, object] = {
        "argv": [b"sh", b"-c", write.encode()],
        "env": {b"PATH": os.fsencode(os.environ["PATH"]), b"WORD": b"word"},
        "cwd": os.fsencode(tmp_path),
        "umask": 0o027,
    }
    pid = spawn(spec)
    assert pid, (
        "this Python's _posixsubprocess.fork_exec is not there or takes other arguments than `spawn` in"
        " supervisor.py gives: programs start all the same, by the slower fork"
    )
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    told = (tmp_path / "out").read_text().split()
    assert told == [str(tmp_path), "0027", "word", str(pid), str(pid)], (
        "this Python's _posixsubprocess.fork_exec means something else by what `spawn` in supervisor.py gives it"
    )


@pytest.mark.parametrize("code", [OTHER_PYTHON, WITHOUT_IT], ids=["other", "none"])
async def test_where_that_is_not_to_be_had_it_is_made_all_the_same(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """CN-01: what is Python's own may be another one in another Python, or gone."""
    before_supervisors(monkeypatch, code)
    with deadline():
        await watched.run("sh", "-c", "echo made", umask=0o022)
    assert watched.output["stdout"] == b"made\n"


async def test_what_the_daemon_ignores_and_blocks_is_not_its_programs_business(
    watched: Watched,
) -> None:
    """CN-06: a daemon that `nohup` started, or a background job of a shell, hands on neither."""
    ignored, blocked = (signal.SIGQUIT, signal.SIGUSR2), {signal.SIGUSR1}
    before = [signal.signal(number, signal.SIG_IGN) for number in ignored]
    signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        with deadline():
            await watched.run("grep", "-E", "Sig(Ign|Blk)", "/proc/self/status")
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
        for number, handler in zip(ignored, before, strict=True):
            signal.signal(number, handler)
    told = watched.output["stdout"].split()
    of_glibc = 0b11 << 31
    assert [int(mask, 16) & ~of_glibc for mask in told[1::2]] == [0, 0]


async def test_a_program_that_cannot_be_forked_fails_in_a_sentence(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RS-01: the limit on processes is reached between the supervisor and its child."""
    before_supervisors(monkeypatch, REFUSE_ALL)
    with deadline():
        with pytest.raises(NoProcess, match=r"for 'true': Resource temporarily"):
            await watched.run("true")
    assert watched.proof.survivors == ()
    assert not any(watched.output.values()), "no traceback in the run's output"
