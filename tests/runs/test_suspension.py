"""Pausing one running program: told as a state, kept in its slot, and no reason for a timeout."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from fakes.cores import (
    Nothing,
    Seconds,
    kind,
    open_fake_core,
    request,
    types_of,
    wait_ended,
)
from fakes.stores import crashed
from penstock.kinds.command import KIND
from penstock.log.writes import Continue, RequestPreempt, Suspend
from penstock.pipeline import Kind, Run
from penstock.runs.core import Core
from penstock.testing import (
    FakeProcesses,
    FakeProgram,
    memory_environment,
    open_memory_store,
)
from penstock.words.api import RearrangeRequest
from penstock.words.errors import Conflict, Fenced, RunNotFound, Terminal
from penstock.words.events import Milestone, ProcessExited
from penstock.words.wait_reason import Waiting


def sleeping(seconds: float) -> FakeProcesses:
    """A box on which every program takes so long."""
    return FakeProcesses({"work": FakeProgram(seconds=seconds)})


class SlowToLaunch(FakeProcesses):
    """A box on which a program begins a second after it was asked for."""

    async def __call__(self, *args: Any, **options: Any) -> ProcessExited:
        await trio.sleep(1)
        return await super().__call__(*args, **options)


@asynccontextmanager
async def open_box(
    processes: FakeProcesses, others: tuple[Kind, ...] = (), **settings: Any
) -> AsyncIterator[Core]:
    world = memory_environment(processes)
    async with open_fake_core(KIND, *others, environment=world, **settings) as core:
        yield core


async def begin(core: Core, run_id: str = "r", **others: Any) -> None:
    await core.submitter.submit(
        request("command", run_id=run_id, argv=["work"], cwd="/", **others)
    )
    await trio.sleep(1)


async def test_a_paused_program_keeps_its_slot_and_is_told(autojump_clock: Any) -> None:
    """DU-05: by its state, by `why`, and to who wants its slot."""
    processes = sleeping(100.0)
    async with open_box(processes, max_concurrent=1) as core:
        await begin(core)
        await core.suspension.pause("r")
        assert core.reader.open_view("r").state == "paused"
        assert len(processes.stopped) == 1
        await begin(core, "next")
        assert [r.code for r in (await core.why("r")).reasons] == ["program_paused"]
        assert "slots" in [r.code for r in (await core.why("next")).reasons]
        await core.suspension.pause("r")
        await core.suspension.resume("r")
        await core.suspension.resume("r")
        assert processes.stopped == set()
        await wait_ended(core, "r", "next")
        moves = [
            t for t in await types_of(core, "r") if t in ("run.paused", "run.continued")
        ]
        assert moves == ["run.paused", "run.continued"]


async def test_the_time_of_a_paused_program_stands_still(autojump_clock: Any) -> None:
    """DU-05, SC-06: its timeout counts what it executes."""
    async with open_box(sleeping(1000.0)) as core:
        await begin(core, timeout=100.0)
        await core.suspension.pause("r")
        await trio.sleep(500)
        assert core.reader.is_open("r")
        await core.suspension.resume("r")
        began = trio.current_time()
        await wait_ended(core, "r")
        assert 98 <= trio.current_time() - began <= 100
        view, terms = await core.reader.look("r")
        assert view.reason == "timeout"
        assert 100 <= terms.used_seconds < 102


async def test_a_paused_program_is_cancelled_with_proof(autojump_clock: Any) -> None:
    """DU-05, CN-01"""
    async with open_box(sleeping(1000.0)) as core:
        await begin(core)
        await core.suspension.pause("r")
        receipt = await core.control.cancel("r", "enough", wait=True)
        assert receipt.proves_end
        assert (await types_of(core, "r"))[-1] == "run.cancelled"


@pytest.mark.parametrize("on_restart", ["requeue", "fail", "ask"])
async def test_a_restart_does_not_forget_it(
    autojump_clock: Any, on_restart: str
) -> None:
    """DU-05: what would be executed again is put aside until somebody enqueues it."""
    async with open_memory_store() as store:
        async with open_box(sleeping(1000.0), store=store) as core:
            await begin(core, on_restart=on_restart)
            await core.suspension.pause("r")
        async with open_box(sleeping(5.0), store=store, life="life-2") as core:
            await trio.sleep(100)
            view = await core.reader.view("r")
            expected = {"requeue": "queued", "fail": "failed", "ask": "waiting"}
            assert view.state == expected[on_restart]
            if on_restart == "requeue":
                assert view.stashed
                assert "stashed" in [r.code for r in (await core.why("r")).reasons]


async def test_the_program_of_any_kind_is_paused_and_its_limits_stand_still(
    autojump_clock: Any,
) -> None:
    """DU-05: `run.limited` goes by the run's own clock, in a pause and behind it."""
    spans: list[tuple[str, float]] = []

    async def tested(run: Run, inputs: Seconds) -> Nothing:
        for name in ("paused", "not paused"):
            began = trio.current_time()
            with run.limited(100) as limit:
                await run.exec(["work"])
            assert limit.cancelled_caught
            spans.append((name, trio.current_time() - began))
        return Nothing()

    async with open_box(sleeping(1000.0), others=(kind("tested", tested),)) as core:
        await core.submitter.submit(request("tested", run_id="r"))
        await trio.sleep(10)
        await core.suspension.pause("r")
        assert core.reader.open_view("r").state == "paused"
        await trio.sleep(500)
        await core.suspension.resume("r")
        await wait_ended(core, "r")
        assert (await types_of(core, "r"))[-1] == "run.completed"
    (_, paused), (_, straight) = spans
    assert 599 <= paused <= 601
    assert 99 <= straight <= 101


async def test_what_has_no_program_is_not_paused(autojump_clock: Any) -> None:
    """DU-05"""
    async with open_box(sleeping(10.0), max_concurrent=2) as core:
        with pytest.raises(RunNotFound):
            await core.suspension.pause("none")
        await core.submitter.submit(request(run_id="no", seconds=10.0))
        await trio.sleep(1)
        with pytest.raises(Conflict, match="no program"):
            await core.suspension.pause("no")
        await begin(core)
        await begin(core, "queued", stashed=True)
        with pytest.raises(Conflict, match="queued"):
            await core.suspension.pause("queued")
        await wait_ended(core, "r")
        for ask in (core.suspension.pause, core.suspension.resume):
            with pytest.raises(Terminal):
                await ask("r")


async def test_what_a_dead_daemon_left_is_no_program_of_the_run_any_more(
    autojump_clock: Any,
) -> None:
    """DU-05: its end was never on record, and repair has seen to it."""
    async with crashed({"on_restart": "requeue"}) as store:
        async with open_fake_core(store=store, life="life-2") as core:
            await trio.sleep(0.5)
            assert core.reader.open_view("r0").state == "running"
            with pytest.raises(Conflict, match="no program"):
                await core.suspension.pause("r0")


@pytest.mark.parametrize("stop", [True, False])
async def test_who_asked_may_go_at_any_moment(autojump_clock: Any, stop: bool) -> None:
    """DU-05: a program stands if its run is paused, and else goes on, whenever the caller is cut off."""
    for steps in range(1, 40, 3):
        processes = sleeping(1000.0)
        async with open_memory_store(delay=lambda: 0.02) as store:
            async with open_box(processes, store=store) as core:
                await begin(core)
                if not stop:
                    await core.suspension.pause("r")
                ask = core.suspension.pause if stop else core.suspension.resume
                with trio.move_on_after(steps * 0.005):
                    await ask("r")
                await trio.sleep(1)
                paused = core.reader.open_view("r").state == "paused"
                assert paused == bool(processes.stopped), f"cut off after {steps} steps"


async def _tested(run: Run, _inputs: Seconds) -> Nothing:
    await run.exec(["work"])
    return Nothing()


async def test_a_paused_run_gives_way_to_nobody(autojump_clock: Any) -> None:
    """DU-05, SC-05: it keeps what it has until somebody lets it go on."""
    victim = kind("victim", _tested, preemptible=True)
    async with open_box(sleeping(100.0), others=(victim,), max_concurrent=1) as core:
        await core.submitter.submit(request("victim", run_id="r", priority="LOW"))
        await trio.sleep(1)
        await core.suspension.pause("r")
        await core.submitter.submit(request(run_id="urgent", priority="CRITICAL"))
        await trio.sleep(50)
        assert core.reader.open_view("r").state == "paused"
        with pytest.raises(Fenced, match="paused"):
            await core.recorder.record(RequestPreempt("r", "urgent", core.now()))
        await core.suspension.resume("r")
        await wait_ended(core, "urgent", "r")
        assert "run.preempted" in await types_of(core, "r")


async def test_a_run_that_is_paused_as_it_gives_way_is_put_aside(
    autojump_clock: Any,
) -> None:
    """DU-05, law 2: it ends its execution once, and goes on when somebody enqueues it."""
    async with open_box(sleeping(100.0), others=(kind("tested", _tested),)) as core:
        await core.submitter.submit(request("tested", run_id="r"))
        await trio.sleep(1)
        await core.suspension.pause("r")
        core.table.executions["r"].preempt("urgent")
        await trio.sleep(1)
        view = core.reader.open_view("r")
        assert (view.state, view.stashed, view.reason) == ("queued", True, "preempted")
        assert "r" not in core.table.executions
        await core.line.rearrange("r", RearrangeRequest(stashed=False))
        await wait_ended(core, "r")
        assert (await core.reader.view("r")).state == "completed"


async def _two_branches(run: Run, _inputs: Seconds) -> Nothing:
    """A program, and beside it a question after ten seconds and another program after fifty."""

    async def question() -> None:
        await trio.sleep(10)
        await run.ask("go", "May it?")

    async def another() -> None:
        await trio.sleep(50)
        await run.exec(["work"])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(question)
        nursery.start_soon(another)
        await run.exec(["work"])
    return Nothing()


async def test_a_paused_run_waits_for_nothing_and_starts_nothing_until_it_goes_on(
    autojump_clock: Any,
) -> None:
    """DU-05, SC-12: it keeps its slot, and its program stands as its state says."""
    processes = sleeping(1000.0)
    both = kind("both", _two_branches)
    async with open_box(processes, others=(both,), max_concurrent=1) as core:
        await core.submitter.submit(request("both", run_id="r"))
        await trio.sleep(1)
        await core.suspension.pause("r")
        await core.submitter.submit(request(run_id="next", seconds=5.0))
        await trio.sleep(100)
        assert core.reader.open_view("r").state == "paused"
        assert processes.stopped == set(processes.alive)
        assert len(processes.started) == 1
        assert core.reader.open_view("next").state == "queued"
        await core.suspension.resume("r")
        await trio.sleep(1)
        assert core.reader.open_view("r").state == "waiting"
        assert len(processes.alive) == 2
        assert not processes.stopped
        await wait_ended(core, "next")
        await core.control.answer("r", "go", "yes", "me")
        await wait_ended(core, "r")
        assert (await core.reader.view("r")).state == "completed"


async def test_a_branch_of_a_paused_run_that_would_wait_hears_its_cancel(
    autojump_clock: Any,
) -> None:
    """DU-05, CN-01: that of its own, and that of the run."""
    left: list[float] = []

    async def tested(run: Run, _inputs: Seconds) -> Nothing:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run.exec, ["work"])
            await trio.sleep(10)
            with trio.move_on_after(20):
                await run.ask("go", "May it?")
            left.append(trio.current_time() - begun)
            await run.ask("again", "May it?")
        return Nothing()

    begun = trio.current_time()
    async with open_box(sleeping(1000.0), others=(kind("tested", tested),)) as core:
        await core.submitter.submit(request("tested", run_id="r"))
        await trio.sleep(1)
        await core.suspension.pause("r")
        await trio.sleep(100)
        assert [round(at) for at in left] == [30]
        receipt = await core.control.cancel("r", "enough", wait=True)
        assert receipt.proves_end


async def test_the_time_of_a_run_that_waits_stands_still_though_it_was_paused_in_that_moment(
    autojump_clock: Any,
) -> None:
    """DU-05, SC-06: a pause and its end that come to the log just before the wait do not set it going."""

    async def tested(run: Run, _inputs: Seconds) -> Nothing:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run.exec, ["work"])
            await trio.sleep(10)
            # While this is being committed, the three writes behind it come to be one batch.
            nursery.start_soon(run.emit, Milestone(name="m"))
            for write in (Suspend, Continue):
                await trio.sleep(0.1)
                nursery.start_soon(core.recorder.record, write("r", core.now()))
            await trio.sleep(0.1)
            async with run.without_slot(Waiting("model", "away")):
                await trio.sleep(500)
            nursery.cancel_scope.cancel(reason="done")
        return Nothing()

    async with open_memory_store(delay=lambda: 0.5) as store:
        box = open_box(sleeping(9000.0), others=(kind("tested", tested),), store=store)
        async with box as core:
            await core.submitter.submit(request("tested", run_id="r", timeout=100.0))
            await wait_ended(core, "r")
            assert (await core.reader.view("r")).state == "completed"
            moves = ["run.paused", "run.continued", "run.waiting", "run.resumed"]
            assert [t for t in await types_of(core, "r") if t in moves] == moves


@pytest.mark.parametrize("box", [FakeProcesses, SlowToLaunch])
@pytest.mark.parametrize("paused_at", [8.2, 8.5, 8.9, 9.2, 9.4, 9.8, 10.2, 10.8])
async def test_a_program_that_begins_as_its_run_is_paused_stands_too(
    autojump_clock: Any, paused_at: float, box: type[FakeProcesses]
) -> None:
    """DU-05: whichever of its start and the pause comes to the log first; and both go on."""
    processes = box({"work": FakeProgram(seconds=1000.0)})

    async def tested(run: Run, _inputs: Seconds) -> Nothing:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run.exec, ["work"])
            await trio.sleep_until(began + 10)
            nursery.start_soon(run.exec, ["work"])
        return Nothing()

    async with open_memory_store(delay=lambda: 0.5) as store:
        others = (kind("tested", tested),)
        async with open_box(processes, others=others, store=store) as core:
            began = trio.current_time()
            await core.submitter.submit(request("tested", run_id="r"))
            await trio.sleep_until(began + paused_at)
            await core.suspension.pause("r")
            await trio.sleep(20)
            assert processes.stopped == set(processes.alive)
            await core.suspension.resume("r")
            assert not processes.stopped
            await trio.sleep(20)
            assert (len(processes.alive), processes.stopped) == (2, set())
