"""Retention: what is forgotten, and what then stands where."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from fakes.cores import (
    Nothing,
    Seconds,
    fake_environment,
    kind,
    open_fake_core,
    request,
    virtual_now,
    wait_ended,
    whole_log,
)
from fakes.stores import inline_store
from penstock.log.filters import RunFilter
from penstock.log.writes import Prune
from penstock.pipeline import Run
from penstock.runs.core import Core
from penstock.words.errors import NotAvailable, RunNotFound

Clock = trio.testing.MockClock


async def run_to_the_end(core: Core, *run_ids: str) -> None:
    for run_id in run_ids:
        await core.submitter.submit(request(seconds=0.1, run_id=run_id))
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
            await core.reader.view("a")
        await run_to_the_end(core, "d")
        assert core.bus.head > head


async def test_open_runs_are_never_forgotten(autojump_clock: Clock) -> None:
    """RS-05"""
    async with open_fake_core() as core:
        await core.submitter.submit(request(seconds=1000, run_id="open"))
        await run_to_the_end(core, "ended")
        await trio.sleep(100)
        assert await core.retention.prune(older_than=1, keep=1) == ["ended"]
        assert (await core.reader.view("open")).state == "running"


async def test_runs_older_than_the_limit_are_forgotten_by_themselves(
    autojump_clock: Clock,
) -> None:
    """RS-05"""
    async with open_fake_core(retention_seconds=3600.0) as core:
        await run_to_the_end(core, "a")
        await trio.sleep(1800)
        assert (await core.reader.view("a")).state == "completed"
        await trio.sleep(1900)
        rows, _ = await core.reader.list(RunFilter())
        assert rows == []


async def test_a_tombstone_lives_for_a_day(autojump_clock: Clock) -> None:
    """CN-02 RS-05"""
    async with open_fake_core() as core:
        await core.control.cancel("soon", "x")
        await core.control.cancel("late", "x")
        soon = await core.submitter.submit(request(seconds=0.1, run_id="soon"))
        assert soon.view.state == "cancelled"
        await trio.sleep(25 * 3600)
        late = await core.submitter.submit(request(seconds=0.1, run_id="late"))
        assert late.view.state == "queued"


async def test_running_runs_go_on_when_the_disk_runs_low(autojump_clock: Clock) -> None:
    """RS-05: submits are refused, and accepted again once there is room."""
    free = 2**40

    async def free_bytes() -> int:
        await trio.lowlevel.checkpoint()
        return free

    environment = replace(fake_environment(), free_bytes=free_bytes)
    async with open_fake_core(environment=environment) as core:
        await core.submitter.submit(request(seconds=30, run_id="a"))
        free = 1
        await trio.sleep(10)
        with pytest.raises(NotAvailable, match="0 MiB"):
            await core.submitter.submit(request(seconds=1, run_id="b"))
        await wait_ended(core, "a")
        free = 2**40
        await trio.sleep(10)
        assert (await core.submitter.submit(request(seconds=1, run_id="b"))).created


class StuckFolders:
    """Folders that nobody can remove for now, each for a reason of its own."""

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error
        self.tried: list[str] = []

    async def remove(self, folder: Path) -> None:
        await trio.lowlevel.checkpoint()
        self.tried.append(folder.name)
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize(
    "error",
    [
        OSError("Cannot call rmtree on a symbolic link"),
        RuntimeError("can't start new thread"),
        ValueError("a fault of our own"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_folder_that_cannot_be_removed_ends_nothing(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """RS-05 RS-01: it is told once, tried again each round, and the others are forgotten."""
    folders = StuckFolders(error)
    environment = replace(fake_environment(), remove_folder=folders.remove)
    async with open_fake_core(environment=environment, retention_runs=1) as core:
        await run_to_the_end(core, "a", "b", "c")
        await core.submitter.submit(request(seconds=1000, run_id="open"))
        await trio.sleep(200)
        rows, _ = await core.reader.list(RunFilter())
        assert sorted(row["run_id"] for row in rows) == ["c", "open"]
        told = [r for r in caplog.records if "is left" in r.getMessage()]
        assert len(told) == 2
        folders.error = None
        folders.tried.clear()
        await trio.sleep(200)
        assert sorted(folders.tried) == ["a", "b"]
        assert (await core.reader.view("open")).state == "running"


async def test_a_folder_that_was_left_is_tried_again_by_the_next_life(
    autojump_clock: Clock,
) -> None:
    """RS-05: the log remembers it, until it is gone, and then it is not asked for again."""
    folders = StuckFolders(OSError("Device or resource busy"))
    environment = replace(fake_environment(), remove_folder=folders.remove)
    async with inline_store(life="life-1") as store:
        async with open_fake_core(store=store, environment=environment) as core:
            await run_to_the_end(core, "a", "b")
            assert await core.retention.prune(keep=1) == ["a"]
        folders.tried.clear()
        async with open_fake_core(store=store, environment=environment) as core:
            await trio.sleep(100)
            assert folders.tried == ["a"]
            folders.error = None
            await trio.sleep(100)
            folders.tried.clear()
            await trio.sleep(200)
            assert folders.tried == []


async def test_a_folder_is_removed_though_the_daemon_died_before_it_could(
    autojump_clock: Clock,
) -> None:
    """RS-05: between the commit that forgets a run and the end of its folder."""
    folders = StuckFolders(OSError("never called"))
    folders.error = None
    environment = replace(fake_environment(), remove_folder=folders.remove)
    async with inline_store(life="life-1") as store:
        async with open_fake_core(store=store, environment=environment) as core:
            await run_to_the_end(core, "a")
            await core.recorder.record(forget_all(core))
        async with open_fake_core(store=store, environment=environment):
            folders.tried.clear()
            await trio.sleep(100)
            assert folders.tried == ["a"]


async def test_a_folder_that_was_left_belongs_to_a_new_run_of_the_same_id(
    autojump_clock: Clock,
) -> None:
    """RS-05: what a run works in is not taken from under it."""
    folders = StuckFolders(OSError("Device or resource busy"))
    environment = replace(fake_environment(), remove_folder=folders.remove)
    async with open_fake_core(environment=environment) as core:
        await run_to_the_end(core, "a")
        assert await core.retention.prune(keep=0) == ["a"]
        await core.submitter.submit(request(seconds=1000, run_id="a"))
        folders.tried.clear()
        await trio.sleep(200)
        assert folders.tried == []


def forget_all(core: Core) -> Prune:
    """The commit of a round, without what follows it."""
    return Prune(
        before=core.now(),
        keep=0,
        max_bytes=2**40,
        tombstones_before=core.now() - timedelta(days=1),
        max_tombstones=100,
    )


async def test_a_watch_that_fails_ends_nothing(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """RS-01: no thread can be had to look at the disk; it is looked at again later."""
    threads = 0

    async def free_bytes() -> int:
        await trio.lowlevel.checkpoint()
        if not threads:
            raise RuntimeError("can't start new thread")
        return 1

    environment = replace(fake_environment(), free_bytes=free_bytes)
    async with open_fake_core(environment=environment) as core:
        await trio.sleep(100)
        await run_to_the_end(core, "a")
        threads = 1
        await trio.sleep(100)
        with pytest.raises(NotAvailable, match="0 MiB"):
            await core.submitter.submit(request(seconds=1, run_id="b"))
    told = [r for r in caplog.records if "watching the disk" in r.getMessage()]
    assert len(told) == 1


async def test_a_workspace_that_cannot_be_tidied_ends_nothing(
    autojump_clock: Clock,
) -> None:
    """RS-01: the clean-up after a run's end may fail in any way."""
    folders = StuckFolders(RuntimeError("can't start new thread"))
    environment = replace(fake_environment(), remove_folder=folders.remove)

    async def make(run: Run, _inputs: Seconds) -> Nothing:
        await run.workspace()
        return Nothing()

    async with open_fake_core(kind("make", make), environment=environment) as core:
        await core.submitter.submit(request("make", run_id="a"))
        await wait_ended(core, "a")
        await trio.sleep(1)
        assert folders.tried == ["a"]
        await core.submitter.submit(request("make", run_id="b"))
        await wait_ended(core, "b")


@dataclass
class JumpingClock:
    """A time of day that somebody sets; seconds go on as Trio's."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return virtual_now() + self.ahead


async def test_a_clock_ahead_for_a_while_makes_nothing_old(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """RS-05: not while it is ahead, not by hand, and not though facts were recorded meanwhile."""
    clock = JumpingClock()
    environment = replace(fake_environment(), now=clock.now)
    async with open_fake_core(environment=environment) as core:
        await run_to_the_end(core, "a", "b")
        clock.ahead = timedelta(days=400)
        await run_to_the_end(core, "c")
        await trio.sleep(300)
        assert await core.retention.prune() == []
        clock.ahead = timedelta()
        await trio.sleep(300)
        rows, _ = await core.reader.list(RunFilter())
        assert sorted(row["run_id"] for row in rows) == ["a", "b", "c"]
    told = [r.getMessage() for r in caplog.records if "time of day" in r.getMessage()]
    assert len(told) == 1


async def test_a_round_is_bounded_and_told(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """RS-05: what is more waits for the next round."""
    caplog.set_level("INFO", "penstock.retention")
    async with open_fake_core(prune_runs=2) as core:
        await run_to_the_end(core, *"abcde")
        assert await core.retention.prune(keep=1) == ["a", "b"]
        assert await core.retention.prune(keep=1) == ["c", "d"]
        assert await core.retention.prune(keep=1) == []
    told = [r.getMessage() for r in caplog.records if "forgotten" in r.getMessage()]
    assert told == [
        "2 ended runs were forgotten, and more are to follow",
        "2 ended runs were forgotten",
    ]


class SlowFolders:
    """Folders that are there or not; a removal takes until it is let go."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.removing: list[str] = []
        self.may_remove = trio.Event()

    async def make(self, folder: Path) -> None:
        await trio.lowlevel.checkpoint()
        self.there.add(folder.name)

    async def remove(self, folder: Path) -> None:
        self.removing.append(folder.name)
        await self.may_remove.wait()
        self.there.discard(folder.name)


async def work_in_folder(run: Run, inputs: Seconds) -> Nothing:
    """A run that stays in its folder for as long as it is told."""
    await run.workspace()
    await trio.sleep(inputs.seconds)
    return Nothing()


async def test_a_folder_of_an_id_that_was_taken_anew_is_not_removed_with_the_old_one(
    autojump_clock: Clock,
) -> None:
    """RS-05: neither while the removal is under way, nor when its turn comes."""
    folders = SlowFolders()
    environment = replace(
        fake_environment(), make_folder=folders.make, remove_folder=folders.remove
    )
    stays = kind("stays", work_in_folder)
    async with open_fake_core(stays, environment=environment) as core:
        for run_id in ("a", "b"):
            await core.submitter.submit(request(kind="sleep", run_id=run_id))
            await wait_ended(core, run_id)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(core.retention.prune, keep=0))
            await trio.sleep(1)
            assert folders.removing == ["a"]
            for run_id in ("a", "b"):
                await core.submitter.submit(
                    request(kind="stays", run_id=run_id, seconds=1000)
                )
            await trio.sleep(1)
            assert folders.there == {"b"}
            folders.may_remove.set()
        await trio.sleep(1)
        assert folders.removing == ["a"]
        assert folders.there == {"a", "b"}
