"""CN-01, CN-06, SY-03: how supervisors come to be, and what the loss of their template costs."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from penstock.processes import forking, launching
from penstock.processes.containment import (
    SUBREAPER,
    Subreaper,
    children,
    find_prctl,
    read_stat,
)
from penstock.processes.detection import Containment
from penstock.processes.forking import WarmLauncher, open_launcher
from penstock.processes.launching import (
    Launched,
    Launcher,
    Streams,
    launch_executed,
)
from penstock.processes.liveness import living_since, read_of_threads
from penstock.processes.process import Proof, run_process
from penstock.processes.spec import Program
from penstock.words.events import ProcessExited, ProcessStarted
from penstock_drills.faultpoints import AtStep

pytestmark = pytest.mark.processes

RUN_ID = f"launched-by-test-{os.getpid()}"


class Launches:
    """Runs programs by one launcher, and keeps who supervised them."""

    def __init__(self, launcher: WarmLauncher) -> None:
        self.launcher = launcher
        self.output = b""
        self.launched: list[int] = []
        self.supervisors: list[int] = []
        self.mains: list[int] = []
        self.proofs: list[Proof] = []
        self.said = trio.Event()

    async def run(self, script: str, launcher: Launcher | None = None) -> ProcessExited:
        """A shell's script, which says something first and then reads a line."""
        return await run_process(
            Program(("sh", "-c", script), Path("/"), {"PATH": "/usr/bin:/bin"}),
            run_id=RUN_ID,
            containment=Containment("subreaper"),
            grace=0.5,
            launcher=launcher or self.launch,
            on_started=self._on_started,
            on_output=self._on_output,
            on_proof=self.proofs.append,
        )

    async def launch(self, streams: Streams) -> Launched:
        launched = await self.launcher(streams)
        self.launched.append(launched.process.pid)
        return launched

    async def _on_started(self, started: ProcessStarted) -> None:
        await trio.lowlevel.checkpoint()
        stat = read_stat(started.pid)
        self.mains.append(started.pid)
        self.supervisors.append(stat.parent if stat else 0)

    async def _on_output(self, _stream: str, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.output += data
        self.said.set()

    def templates(self) -> list[int]:
        """Our children that are templates."""
        word = b"penstock.processes.template"
        return [
            p for p in children(os.getpid()) if word in read_of_threads(p, "cmdline")
        ]

    def forked(self, number: int) -> bool:
        """Whether the supervisor of this run was made by a template, while both are there."""
        stat = read_stat(self.supervisors[number])
        return stat is not None and stat.parent in self.templates()


@contextmanager
def deadline() -> Iterator[None]:
    """Every wait of this file ends."""
    with trio.fail_after(30):
        yield


@pytest.fixture
async def launches() -> AsyncIterator[Launches]:
    async with open_launcher() as launcher:
        yield Launches(launcher)


async def run_and_look(launches: Launches) -> bool:
    """One run to its end; whether a template had made its supervisor."""
    looked: list[bool] = []
    launches.said = trio.Event()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(launches.run, "echo up; sleep 1000")
            await launches.said.wait()
            looked.append(launches.forked(-1))
            scope.cancel(reason="seen")
    assert launches.proofs[-1].survivors == ()
    assert living_since(launches.mains[-1]) is None
    return looked[0]


async def test_one_template_makes_the_supervisors_of_all_runs(
    launches: Launches,
) -> None:
    """SY-03"""
    with deadline():
        assert launches.templates() == []
        assert await run_and_look(launches)
        [template] = launches.templates()
        assert await run_and_look(launches)
        assert launches.templates() == [template]
        assert len(set(launches.supervisors)) == 2


async def test_a_template_ends_with_its_launcher() -> None:
    """SY-03"""
    with deadline():
        async with open_launcher() as launcher:
            launches = Launches(launcher)
            await launches.run("true")
            [template] = launches.templates()
        assert living_since(template) is None
        assert launches.templates() == []


async def test_a_template_knows_nothing_of_the_daemon_and_of_no_run(
    launches: Launches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SY-03: a daemon that is a run itself would find its own template by the marker."""
    monkeypatch.setenv("PENSTOCK_RUN_ID", RUN_ID)
    monkeypatch.setenv("PENSTOCK_TOKEN", "secret")
    with deadline():
        await launches.run("true")
    [template] = launches.templates()
    assert b"PENSTOCK" not in read_of_threads(template, "environ")
    [session] = {stat.session for stat in [read_stat(template)] if stat}
    assert session == template


async def test_a_tree_goes_on_without_its_template_and_the_next_has_another(
    launches: Launches, caplog: pytest.LogCaptureFixture
) -> None:
    """CN-06 SY-03: kill -9 of the template takes nothing from the proof."""
    with deadline(), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(launches.run, "sleep 1000 & echo $!; wait")
            await launches.said.wait()
            [template] = launches.templates()
            os.kill(template, signal.SIGKILL)
            # Whoever asks it next hears of it, and has a supervisor all the same.
            assert not await run_and_look(launches)
            assert await run_and_look(launches)
            assert launches.templates() != [template]
            assert living_since(launches.mains[0]) is not None
            scope.cancel(reason="test")
    assert "the template of supervisors is lost" in caplog.text
    assert launches.proofs[-1].survivors == ()
    assert living_since(launches.mains[0]) is None
    assert living_since(int(launches.output.split()[0])) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_template_is_there_until_the_daemon_ends(
    launches: Launches, number: signal.Signals
) -> None:
    """SY-03: what ends a whole group reaches it too, and a daemon that stops may still start programs."""
    with deadline():
        await launches.run("true")
        [template] = launches.templates()
        os.kill(template, number)
        assert await run_and_look(launches)
        assert launches.templates() == [template]


async def test_a_supervisor_heeds_a_term_though_its_template_does_not(
    launches: Launches,
) -> None:
    """SY-03: it ends its tree in order."""
    with deadline():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(launches.run, "echo up; sleep 1000")
            await launches.said.wait()
            os.kill(launches.supervisors[0], signal.SIGTERM)
    assert launches.proofs[0].survivors == ()
    assert living_since(launches.mains[0]) is None


async def test_a_supervisor_heeds_a_term_that_comes_before_its_table(
    launches: Launches,
) -> None:
    """SY-03: in its first moment it has nothing to be woken by."""

    async def term(streams: Streams) -> Launched:
        launched = await launches.launch(streams)
        os.kill(launched.process.pid, signal.SIGTERM)
        return launched

    with deadline():
        exited = await launches.run("sleep 1000", term)
    assert exited.signal == signal.SIGTERM
    assert launches.proofs[0].survivors == ()


async def test_a_supervisor_that_lost_its_template_is_no_zombie_of_who_adopts_it(
    launches: Launches,
) -> None:
    """SY-03: the daemon itself does where it is the first process, as in a container."""
    Subreaper()
    try:
        with deadline(), trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(launches.run, "echo up; sleep 1000")
                await launches.said.wait()
                await launches.launcher.close()
                scope.cancel(reason="its template is gone")
        assert launches.supervisors[0] not in children(os.getpid())
    finally:
        find_prctl()(SUBREAPER, 0, 0, 0, 0)


async def test_a_template_that_is_stopped_is_given_up(launches: Launches) -> None:
    """CN-04: it may hold nobody for longer than its bound, and its late answer is nobody's."""
    with deadline():
        await launches.run("true")
        [template] = launches.templates()
        os.kill(template, signal.SIGSTOP)
        assert not await run_and_look(launches)
        assert living_since(template) is None
        assert await run_and_look(launches)
        assert launches.templates() != [template]


async def test_an_answer_belongs_to_who_asked_though_he_was_cancelled(
    launches: Launches,
) -> None:
    """CN-07 SY-03: else the next run would wait for, and kill, another's supervisor."""
    with deadline():
        await launches.run("true")
        [template] = launches.templates()
        os.kill(template, signal.SIGSTOP)
        scope = trio.CancelScope()

        async def ask() -> None:
            with scope:
                await launches.run("sleep 1000")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel(reason="while it waits for the answer")
            await trio.testing.wait_all_tasks_blocked()
            os.kill(template, signal.SIGCONT)
        assert await run_and_look(launches)
    assert launches.launched[-1] == launches.supervisors[-1]


async def test_a_template_that_cannot_fork_leaves_it_to_the_daemon(
    launches: Launches,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """RS-01: no process and no memory for a copy are its answer, and no end of the run."""
    refuse = "import os\ndef refuse(): raise OSError({}, '')\nos.fork = refuse\n"
    caplog.set_level(logging.INFO)
    real = forking.LAUNCH
    for number in (11, 12):  # EAGAIN, ENOMEM
        monkeypatch.setattr(forking, "LAUNCH", refuse.format(number) + real)
        with deadline():
            assert not await run_and_look(launches)
            [template] = launches.templates()
            # It is asked again: what was short may be there by then.
            assert not await run_and_look(launches)
            assert launches.templates() == [template]
            await launches.launcher.close()
        assert os.strerror(number) in caplog.text


async def test_supervisors_have_nothing_in_memory_that_they_can_do_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """PF-03: every run pays for copies of it, and `typing` alone would be a third of it all."""
    told = tmp_path / "told"
    list_them = (
        f"import main\nopen({str(told)!r}, 'w').write(' '.join(sys.modules))\nmain()"
    )
    for module in (launching, forking):
        launch = module.LAUNCH.replace("import main; main()", list_them)
        monkeypatch.setattr(module, "LAUNCH", launch)
        with deadline():
            async with open_launcher() as launcher:
                launches = Launches(launcher)
                by = launch_executed if module is launching else launcher
                await launches.run("echo", by)
        imported = set(told.read_text().split())
        assert "penstock.processes.supervisor" in imported
        heavy = {"typing", "dataclasses", "re", "pathlib", "inspect", "subprocess"}
        assert not heavy & imported


async def test_a_template_that_does_not_start_is_left_alone_for_a_while(
    launches: Launches,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """RS-01"""
    real = forking.LAUNCH
    monkeypatch.setattr(forking, "LAUNCH", "raise SystemExit(3)")
    with deadline():
        assert not await run_and_look(launches)
        monkeypatch.setattr(forking, "LAUNCH", real)
        assert not await run_and_look(launches)
        assert launches.templates() == []
    assert caplog.text.count("did not start (3)") == 1


async def test_a_handle_that_cannot_be_had_leaves_no_supervisor(
    launches: Launches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SY-03: one that nobody could wait for must not be."""
    refuse = (
        "import os\ndef refuse(pid): raise OSError(24, '')\nos.pidfd_open = refuse\n"
    )
    code = refuse + forking.LAUNCH
    monkeypatch.setattr(forking, "LAUNCH", code)
    with deadline():
        assert not await run_and_look(launches)
        [template] = launches.templates()
        while children(template):  # noqa: ASYNC110 (nothing tells us of another's children)
            await trio.sleep(0.01)


async def test_a_cancel_at_any_step_leaves_no_process_and_no_descriptor(
    launches: Launches,
) -> None:
    """CN-07 CN-04 SY-03: from before the template is asked until after the end was told."""
    open_before = len(os.listdir("/proc/self/fd"))
    point, reached = 0, True
    while reached:
        point += 1
        proofs = len(launches.proofs)
        with deadline(), trio.CancelScope() as scope:
            at_step = AtStep(point, lambda: scope.cancel(reason="a fault"))
            trio.lowlevel.add_instrument(at_step)
            try:
                await launches.run("echo up; exec sleep 0.01")
            finally:
                trio.lowlevel.remove_instrument(at_step)
        reached = at_step.steps >= point
        # Nobody is asked for a proof of a process that was never made.
        assert all(proof.survivors == () for proof in launches.proofs[proofs:]), point
        assert len(launches.templates()) <= 1, point
        # The template is a child, and has none but those that it is about to reap.
        left = [pid for p in launches.templates() for pid in children(p)]
        assert [pid for pid in left if living_since(pid) is not None] == [], point
    assert point > 10
    assert await run_and_look(launches), "the template answers in step"
    # Its own two, for its socket and its handle, are all that is more.
    assert len(os.listdir("/proc/self/fd")) <= open_before + 2
