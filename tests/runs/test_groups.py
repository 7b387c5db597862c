"""Groups with slots of their own; pause, resume and drain of the queue and of groups."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import trio
import trio.testing

from fakes.cores import (
    Nothing,
    Seconds,
    kind,
    open_fake_core,
    request,
    types_of,
    wait_ended,
    whole_log,
)
from fakes.stores import inline_store
from penstock.pipeline import Run
from penstock.runs.core import Core
from penstock.words.config import Group
from penstock.words.errors import Conflict, NotAvailable, Refused

Clock = trio.testing.MockClock
GROUPS = {"gpu": Group(slots=1), "net": Group(slots=2)}


async def submit(core: Core, run_id: str, **others: Any) -> None:
    await core.submitter.submit(request(run_id=run_id, **others))


async def states(core: Core, *run_ids: str) -> list[str | None]:
    return [(await core.reader.view(run_id)).state for run_id in run_ids]


async def test_a_group_never_has_more_than_its_slots(autojump_clock: Clock) -> None:
    """SC-04: and other runs use what its own runs may not."""
    running: Counter[str | None] = Counter()
    peaks: Counter[str | None] = Counter()

    async def count(run: Run, _inputs: Seconds) -> Nothing:
        group = run.view.group
        running[group] += 1
        peaks[group] = max(peaks[group], running[group])
        await trio.sleep(10)
        running[group] -= 1
        return Nothing()

    async with open_fake_core(kind("count", count), groups=GROUPS) as core:
        ids = []
        for number in range(12):
            group = (None, "gpu", "net")[number % 3]
            ids.append(f"r{number}")
            await submit(core, ids[-1], kind="count", group=group)
        await trio.sleep(1)
        assert running == {None: 2, "gpu": 1, "net": 2}
        groups = core.statistics().groups
        assert groups["gpu"] == {"slots": 1, "running": 1, "queued": 3}
        assert groups["net"] == {"slots": 2, "running": 2, "queued": 2}
        await wait_ended(core, *ids)
    assert (peaks["gpu"], peaks["net"]) == (1, 2)


async def test_a_full_group_does_not_hold_up_those_behind_it(
    autojump_clock: Clock,
) -> None:
    """SC-04: never a less important *startable* run first; its group's runs could not start."""
    async with open_fake_core(groups=GROUPS, max_concurrent=2) as core:
        for name in ("g1", "g2", "g3"):
            await submit(core, name, seconds=10, group="gpu", priority="CRITICAL")
        await submit(core, "free", seconds=10, priority="BACKGROUND")
        await trio.sleep(1)
        assert await states(core, "g1", "g2", "free") == [
            "running",
            "queued",
            "running",
        ]


async def test_an_unknown_group_is_refused_everywhere(autojump_clock: Clock) -> None:
    async with open_fake_core(groups=GROUPS) as core:
        for refused in (
            core.submitter.submit(request(group="gone")),
            core.queue.pause("gone"),
            core.queue.resume("gone"),
            core.queue.drain("gone"),
        ):
            with pytest.raises(Refused, match="gone"):
                await refused


async def test_while_paused_nothing_starts_and_what_executes_goes_on(
    autojump_clock: Clock,
) -> None:
    """SC-04"""
    async with open_fake_core() as core:
        await submit(core, "before", seconds=5)
        await core.queue.pause(reason="the disk is swapped")
        await core.queue.pause(reason="again")
        await submit(core, "after", seconds=1)
        await wait_ended(core, "before")
        await trio.sleep(100)
        assert await states(core, "before", "after") == ["completed", "queued"]
        paused = core.statistics().paused
        assert paused == ({"group": None, "reason": "the disk is swapped"},)
        await core.queue.resume()
        await wait_ended(core, "after")
        assert core.statistics().paused == ()
        told = [f.type for f in await whole_log(core.store) if f.run_id == "daemon"]
        assert told.count("queue.paused") == told.count("queue.resumed") == 1


async def test_a_paused_group_holds_up_its_own_runs_only(
    autojump_clock: Clock,
) -> None:
    async with open_fake_core(groups=GROUPS) as core:
        await core.queue.pause("gpu", "driver update")
        await submit(core, "gpu", seconds=1, group="gpu")
        await submit(core, "net", seconds=1, group="net")
        await submit(core, "none", seconds=1)
        await wait_ended(core, "net", "none")
        await trio.sleep(100)
        assert await states(core, "gpu") == ["queued"]
        await core.queue.resume("gpu")
        await wait_ended(core, "gpu")


async def test_a_group_called_none_is_not_the_group_of_those_without_one(
    autojump_clock: Clock,
) -> None:
    async with open_fake_core(groups={"None": Group(slots=1)}) as core:
        await core.queue.pause("None")
        await submit(core, "r", seconds=1)
        await wait_ended(core, "r")


async def test_a_pause_outlives_the_daemon(autojump_clock: Clock) -> None:
    """A group that is gone from the configuration can still be resumed."""
    async with inline_store() as store:
        async with open_fake_core(store=store, groups=GROUPS) as core:
            await core.queue.pause(reason="for the night")
            await core.queue.pause("gpu")
            await submit(core, "r", seconds=1)
        async with open_fake_core(store=store, life="life-2") as core:
            await trio.sleep(100)
            assert await states(core, "r") == ["queued"]
            paused = {p["group"]: p["reason"] for p in core.statistics().paused}
            assert paused == {None: "for the night", "gpu": ""}
            await core.queue.resume("gpu")
            await core.queue.resume()
            await wait_ended(core, "r")
        assert await store.paused() == {}


async def test_a_paused_important_run_interrupts_nobody(autojump_clock: Clock) -> None:
    """SC-13"""

    async def give_way(_run: Run, _inputs: Seconds) -> Nothing:
        await trio.sleep(10)
        return Nothing()

    async with open_fake_core(
        kind("give", give_way, preemptible=True), max_concurrent=1
    ) as core:
        await submit(core, "low", kind="give", priority="LOW")
        await trio.sleep(1)
        await core.queue.pause()
        await submit(core, "now", seconds=1, priority="CRITICAL")
        await trio.sleep(1)
        assert await states(core, "low", "now") == ["running", "queued"]
        await core.queue.resume()
        await trio.testing.wait_all_tasks_blocked()
        assert await states(core, "low", "now") == ["preempted", "running"]


async def test_a_drain_takes_nothing_in_and_waits_for_the_rest(
    autojump_clock: Clock,
) -> None:
    async def parent(run: Run, _inputs: Seconds) -> Nothing:
        await trio.sleep(1)
        await run.spawn_run("child", "sleep", {"seconds": 3})
        return Nothing()

    async with open_fake_core(kind("parent", parent), max_concurrent=1) as core:
        await submit(core, "p", kind="parent")
        await submit(core, "queued", seconds=5)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(core.queue.drain)
            await trio.testing.wait_all_tasks_blocked()
            assert core.statistics().draining == (None,)
            with pytest.raises(NotAvailable, match="drained"):
                await submit(core, "new", seconds=1)
            # What was accepted before may be asked for again.
            await submit(core, "queued", seconds=5)
        assert await states(core, "p", "p.child", "queued") == ["completed"] * 3
        assert trio.current_time() == pytest.approx(9)
        await core.queue.resume()
        await submit(core, "new", seconds=1)
        await wait_ended(core, "new")


async def test_who_stands_in_line_when_a_drain_begins_is_refused(
    autojump_clock: Clock,
) -> None:
    """SC-02: the queue had no room for it, so nothing of it is recorded."""
    refused: list[str] = []

    async with (
        open_fake_core(max_concurrent=1, queue_capacity=1) as core,
        trio.open_nursery() as nursery,
    ):
        await submit(core, "a", seconds=2)
        await submit(core, "b", seconds=2)

        async def stand_in_line() -> None:
            try:
                await core.submitter.submit(request(run_id="late"), wait=True)
            except NotAvailable as error:
                refused.append(str(error))

        nursery.start_soon(stand_in_line)
        await trio.testing.wait_all_tasks_blocked()
        await core.queue.drain()
        await trio.testing.wait_all_tasks_blocked()
        assert refused == ["the queue is drained and takes no new runs until `resume`"]
        assert await core.store.run("late") is None


async def test_a_drained_group_leaves_the_others_alone(autojump_clock: Clock) -> None:
    async with open_fake_core(groups=GROUPS) as core:
        await submit(core, "g", seconds=2, group="gpu")
        await submit(core, "other", seconds=50)
        await core.queue.drain("gpu")
        assert trio.current_time() == pytest.approx(2)
        with pytest.raises(NotAvailable, match="gpu"):
            await submit(core, "g2", group="gpu")
        await submit(core, "n", group="net")
        await wait_ended(core, "n")
        assert await types_of(core, "other") == ["run.queued", "run.started"]


async def test_a_paused_queue_is_not_drained(autojump_clock: Clock) -> None:
    """It would wait for ever for runs that may not start."""
    async with open_fake_core(groups=GROUPS) as core:
        await core.queue.pause()
        await core.queue.drain()
        await core.queue.resume()
        await core.queue.pause()
        await submit(core, "g", group="gpu")
        for group in (None, "gpu"):
            with pytest.raises(Conflict, match="resume"):
                await core.queue.drain(group)
        await core.queue.drain("net")


async def test_resume_ends_a_drain_that_somebody_waits_for(
    autojump_clock: Clock,
) -> None:
    async with open_fake_core() as core, trio.open_nursery() as nursery:
        await submit(core, "long", seconds=1000)
        nursery.start_soon(core.queue.drain)
        await trio.testing.wait_all_tasks_blocked()
        await core.queue.resume()
        await trio.testing.wait_all_tasks_blocked()
        assert not nursery.child_tasks
        assert core.statistics().draining == ()
