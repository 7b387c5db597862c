"""Retention: what is forgotten, and what then stands where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from fakes.cores import fake_environment, open_fake_core, request, wait_ended, whole_log
from penstock.log.writes import RunFilter
from penstock.runs.core import Core
from penstock.words.errors import NotAvailable, RunNotFound

Clock = trio.testing.MockClock


async def run_to_the_end(core: Core, *run_ids: str) -> None:
    for run_id in run_ids:
        await core.scheduler.submit(request(seconds=0.1, run_id=run_id))
        await wait_ended(core, run_id)


async def test_the_oldest_ended_runs_beyond_the_number_are_forgotten(
    autojump_clock: Clock,
) -> None:
    """RS-05: the floor is 1 + the highest position pruned; positions are never used again."""
    removed: list[Path] = []

    async def remove(folder: Path) -> None:
        await trio.lowlevel.checkpoint()
        removed.append(folder)

    environment = replace(fake_environment(), remove_folder=remove)
    async with open_fake_core(environment=environment) as core:
        await run_to_the_end(core, "a", "b", "c")
        head = core.bus.head
        removed.clear()
        highest = max(f.position for f in await core.store.read("b"))
        assert await core.retention.prune(keep=1) == ["a", "b"]
        assert [folder.name for folder in removed] == ["a", "b"]
        bounds = await core.store.bounds()
        assert (bounds.floor, bounds.head) == (highest + 1, head)
        assert core.bus.floor == highest + 1
        positions = [
            f.position for f in await whole_log(core.store) if f.position > highest
        ]
        assert positions == list(range(highest + 1, head + 1))
        with pytest.raises(RunNotFound):
            await core.scheduler.view("a")
        await run_to_the_end(core, "d")
        assert core.bus.head > head


async def test_open_runs_are_never_forgotten(autojump_clock: Clock) -> None:
    """RS-05"""
    async with open_fake_core() as core:
        await core.scheduler.submit(request(seconds=1000, run_id="open"))
        await run_to_the_end(core, "ended")
        await trio.sleep(100)
        assert await core.retention.prune(older_than=1, keep=1) == ["ended"]
        assert (await core.scheduler.view("open")).state == "running"


async def test_runs_older_than_the_limit_are_forgotten_by_themselves(
    autojump_clock: Clock,
) -> None:
    """RS-05"""
    async with open_fake_core(retention_seconds=3600.0) as core:
        await run_to_the_end(core, "a")
        await trio.sleep(1800)
        assert (await core.scheduler.view("a")).state == "completed"
        await trio.sleep(1900)
        rows, _ = await core.scheduler.list(RunFilter())
        assert rows == []


async def test_a_tombstone_lives_for_a_day(autojump_clock: Clock) -> None:
    """CN-02 RS-05"""
    async with open_fake_core() as core:
        await core.scheduler.cancel("soon", "x")
        await core.scheduler.cancel("late", "x")
        soon = await core.scheduler.submit(request(seconds=0.1, run_id="soon"))
        assert soon.view.state == "cancelled"
        await trio.sleep(25 * 3600)
        late = await core.scheduler.submit(request(seconds=0.1, run_id="late"))
        assert late.view.state == "queued"


async def test_running_runs_go_on_when_the_disk_runs_low(autojump_clock: Clock) -> None:
    """RS-05: submits are refused, and accepted again once there is room."""
    free = 2**40

    async def free_bytes() -> int:
        await trio.lowlevel.checkpoint()
        return free

    environment = replace(fake_environment(), free_bytes=free_bytes)
    async with open_fake_core(environment=environment) as core:
        await core.scheduler.submit(request(seconds=30, run_id="a"))
        free = 1
        await trio.sleep(10)
        with pytest.raises(NotAvailable, match="0 MiB"):
            await core.scheduler.submit(request(seconds=1, run_id="b"))
        await wait_ended(core, "a")
        free = 2**40
        await trio.sleep(10)
        assert (await core.scheduler.submit(request(seconds=1, run_id="b"))).created
