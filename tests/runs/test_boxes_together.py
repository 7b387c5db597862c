"""What is done once in all though several daemons see it: hooks, schedules, retries; and what each has of its own."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from fakes.cores import Nothing, Seconds, kind, request, sleep, whole_log
from fakes.shared_log import LEASE, open_box, open_shared_log, open_two_boxes, until
from penstock.pipeline import Run
from penstock.testing import FakeProcesses
from penstock.words.api import ScheduleRequest
from penstock.words.config import Hook
from penstock.words.events import BackpressureRaised, SlotsChanged

Clock = trio.testing.MockClock

#: Runs that any box may execute.
PORTABLE = kind("portable", sleep, portable=True)
#: Calls what is told at the end, of whichever box it is.
TOLD = Hook(on=("completed", "failed", "cancelled", "box", "backpressure"), argv=("tell",))  # fmt: skip


async def test_a_hook_is_called_at_the_box_that_a_run_was_submitted_at(
    autojump_clock: Clock,
) -> None:
    """D-09: once in all, wherever the run executes and whoever cancels it."""
    at_a, at_b = FakeProcesses(), FakeProcesses()
    async with (
        open_shared_log() as log,
        open_box(log, "a", PORTABLE, processes=at_a, hooks=(TOLD,), max_concurrent=1) as (a, _),
        open_box(log, "b", PORTABLE, processes=at_b, hooks=(TOLD,), max_concurrent=1) as (b, _),
    ):  # fmt: skip
        for run_id in ("r1", "r2"):
            await a.submitter.submit(request("portable", run_id=run_id, seconds=50))
        await until(lambda: {v.box for v in b.table.views.values()} == {"a", "b"}, b)
        await b.control.cancel("r1", "enough", wait=True)
        await until(lambda: not b.table.views, b)
        await trio.sleep(60)
        assert (len(at_a.started), len(at_b.started)) == (2, 0)
        await b.submitter.submit(request(run_id="r3", fail=True))
        await trio.sleep(60)
        assert (len(at_a.started), len(at_b.started)) == (2, 1)


async def test_a_loss_is_told_to_hooks_by_whoever_found_it(
    autojump_clock: Clock,
) -> None:
    """MB-03: and by nobody else."""
    at_a, at_b = FakeProcesses(), FakeProcesses()
    async with (
        open_shared_log() as log,
        open_box(log, "a", processes=at_a, hooks=(TOLD,)),
        open_box(log, "b", processes=at_b, hooks=(TOLD,)),
    ):
        log.join("c")
        await trio.sleep(4 * LEASE)
        lost = [f for f in await whole_log(log.store) if f.type == "box.lost"]
        assert len(lost) == 1
        assert len(at_a.started) + len(at_b.started) == 1
        assert b'"by":"a"' in lost[0].body or b'"by":"b"' in lost[0].body


async def test_a_gauge_is_that_of_the_box_which_says_so(autojump_clock: Clock) -> None:
    """BP-03: so that a hook for it is called where something is full, and nowhere else."""
    at_a, at_b = FakeProcesses(), FakeProcesses()
    async with (
        open_shared_log() as log,
        open_box(log, "a", processes=at_a, hooks=(TOLD,), queue_capacity=2) as (a, _),
        open_box(log, "b", processes=at_b, hooks=(TOLD,), queue_capacity=100),
    ):
        await a.queue.pause()
        for number in range(2):
            await a.submitter.submit(request(run_id=f"r{number}"))
        await trio.sleep(60)
        full = [f.event for f in await whole_log(log.store) if f.type == "backpressure.raised"]  # fmt: skip
        assert {e.box for e in full if isinstance(e, BackpressureRaised)} == {"a"}
        assert at_b.started == []
        assert at_a.started


def hourly() -> ScheduleRequest:
    run = {"kind": "sleep", "inputs": {}}
    return ScheduleRequest.model_validate({"name": "tick", "timing": "1m", "run": run})  # fmt: skip


async def test_a_due_time_makes_one_run_though_every_box_sees_it(
    autojump_clock: Clock,
) -> None:
    """DU-04: and goes on while one of them has no daemon."""
    async with open_shared_log() as log, open_box(log, "a") as (a, _):
        async with open_box(log, "b"):
            await a.schedules.set(hourly(), None)
            await trio.sleep(3.5 * 60)
        async with open_box(log, "b", life="b-2") as (b, _):
            await trio.sleep(2 * 60)
            [row] = await b.schedules.rows()
            assert row.skipped == 0
        made = [f.run_id for f in await whole_log(log.store) if f.type == "run.queued"]
        assert len(made) == len(set(made)) == 5
        await a.schedules.remove("tick")


async def test_what_is_passed_over_is_so_once(autojump_clock: Clock) -> None:
    """DU-04: its last run is open, on whichever box."""
    async with open_two_boxes() as (a, _):
        run = {"kind": "sleep", "inputs": {"seconds": 2.5 * 60}}
        wanted = {"name": "tick", "timing": "1m", "run": run}
        await a.schedules.set(ScheduleRequest.model_validate(wanted), None)
        await trio.sleep(3.5 * 60)
        types = [f.type for f in await whole_log(a.store)]
        assert types.count("schedule.skipped") == 2
        assert types.count("run.queued") == 1


async def test_a_retry_is_made_by_one_box(autojump_clock: Clock) -> None:
    """DU-02: each knows the moment, and one of them claims."""
    tried: list[str] = []

    async def fails(run: Run, _inputs: Seconds) -> Nothing:
        tried.append(run.run_id)
        await trio.sleep(1)
        raise ValueError("not yet")

    flaky = kind("flaky", fails, portable=True)
    async with open_two_boxes(flaky) as (a, b):
        await a.submitter.submit(request("flaky", run_id="r", retries=3, backoff=30.0))
        await until(lambda: "r" in b.table.views, b)
        await until(lambda: not b.table.views, b)
        facts = [f.type for f in await whole_log(a.store) if f.run_id == "r"]
        assert tried == ["r"] * 4
        assert facts.count("run.requeued") == facts.count("run.resumed") == 3
        assert facts.count("run.failed") == 1


async def test_slots_are_given_to_the_box_that_is_asked(autojump_clock: Clock) -> None:
    """SC-05: those of a group are everybody's, and both are kept over restarts of either."""
    async with open_shared_log() as log, open_box(log, "b", max_concurrent=4) as (b, _):
        async with open_box(log, "a", max_concurrent=2) as (a, _):
            await a.queue.set_slots(None, 1)
            await a.queue.set_slots("gpu", 3)
            await until(lambda: "gpu" in b.table.group_slots, b)
            assert (a.table.slots, b.table.slots) == (1, 4)
            assert a.table.group_slots == b.table.group_slots == {"gpu": 3}
            await b.queue.set_slots(None, 7)
            await b.queue.set_slots("gpu", 2)
            await until(lambda: a.table.group_slots == {"gpu": 2}, a)
            assert (a.table.slots, b.table.slots) == (1, 7)
        async with open_box(log, "a", life="a-2", max_concurrent=2) as (a, _):
            assert (a.table.slots, a.table.group_slots) == (1, {"gpu": 2})
            told = {box.box: box.slots for box in await a.boxes.told()}
            assert told["a"] == 1
            await a.queue.set_slots(None, None)
            assert (a.table.slots, b.table.slots) == (2, 7)
        changes = [f.event for f in await whole_log(log.store) if f.type == "slots.changed"]  # fmt: skip
        assert [e.box for e in changes if isinstance(e, SlotsChanged)] == ["a", "", "b", "", "a"]  # fmt: skip


async def test_how_full_a_box_is_counts_its_own_slots(autojump_clock: Clock) -> None:
    """SC-11: what another executes has no slot here; the line is everybody's."""
    async with (
        open_shared_log() as log,
        open_box(log, "a", PORTABLE, max_concurrent=1) as (a, _),
        open_box(log, "b", PORTABLE, max_concurrent=2) as (b, _),
    ):
        for number in range(5):
            await a.submitter.submit(
                request("portable", run_id=f"r{number}", seconds=1000)
            )
        await until(lambda: b.table.queue.running == 3, b)
        for core, running in ((a, 1), (b, 2)):
            await until(lambda core=core: core.table.queue.running == 3, core)  # type: ignore[misc]
            told = core.statistics()
            assert (told.running, told.slots) == (running, running)
        boxes = {box.box: (box.running, box.standing) for box in await a.boxes.told()}
        assert boxes == {"a": (1, "ok"), "b": (2, "ok")}


@pytest.mark.parametrize("lost", [3, 5])
async def test_a_schedule_is_made_once_though_answers_are_lost(
    autojump_clock: Clock, lost: int
) -> None:
    """MB-09 DU-04"""
    async with (
        open_shared_log() as log,
        open_box(log, "a") as (a, a_store),
        open_box(log, "b") as (_b, b_store),
    ):
        await a.schedules.set(hourly(), None)
        a_store.lose_every = b_store.lose_every = lost
        await trio.sleep(5.5 * 60)
        a_store.lose_every = b_store.lose_every = 0
        assert a_store.lost_answers + b_store.lost_answers > 5
        made = [f.run_id for f in await whole_log(log.store) if f.type == "run.queued"]
        # One that fell into an outage is made up for by the next.
        assert 3 <= len(made) == len(set(made)) <= 6
