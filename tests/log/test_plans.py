"""How runs wait in line, as the log keeps it: moments, places, what is put aside, and other inputs."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random

import pytest

from fakes.contract import get, one, types
from fakes.stores import LIFE, at, claim, enqueue, fact, inline_store
from penstock.log.export import export_file, import_file
from penstock.log.kept import ScheduleRow
from penstock.log.results import Result
from penstock.log.sqlite.store import SqliteStore, open_sqlite, threads
from penstock.log.writes import (
    Edit,
    Rearrange,
    Release,
    RequestCancel,
    SetSchedule,
    Write,
)
from penstock.words.errors import Conflict, RunNotFound, Terminal, TooLarge
from penstock.words.events import LARGEST_EVENT_BYTES, RunRequeued


@asynccontextmanager
async def file_store(log: Path) -> AsyncIterator[SqliteStore]:
    """The log of a daemon, which may have been another one's."""
    async with open_sqlite(log, life=LIFE, run_blocking=threads(1)) as store:
        yield store


async def started(
    store: SqliteStore, seconds: float = 0.0, slots: int = 5
) -> list[str]:
    """Whom a claim at that time of the story starts, in order."""
    claimed = await one(store, claim(slots, seconds=seconds))
    return [row.run_id for row in claimed.started]


async def test_a_plan_is_in_the_log(tmp_path: Path) -> None:
    """DU-04: a daemon that comes later finds the moment, and what is put aside."""
    log = tmp_path / "log.db"
    async with file_store(log) as store:
        await one(store, enqueue("later", not_before=at(60)))
        await one(store, enqueue("aside", stashed=True))
    async with file_store(log) as store:
        assert await started(store, 59.9) == []
        assert await started(store, 60) == ["later"]
        await one(store, Rearrange("aside", at(61), stashed=False, not_before=at(99)))
    async with file_store(log) as store:
        assert await started(store, 98) == []
        assert await started(store, 99) == ["aside"]


async def test_a_retry_keeps_its_moment_in_the_log(tmp_path: Path) -> None:
    """DU-04"""
    log = tmp_path / "log.db"
    async with file_store(log) as store:
        await one(store, enqueue("r", retries=1))
        [row] = (await one(store, claim())).started
        again = RunRequeued(reason="retry", not_before=at(100), error="x")
        await one(store, Release(row.fence, fact("r", again)))
        assert await started(store, 99) == []
    async with file_store(log) as store:
        assert await started(store, 99) == []
        assert await started(store, 100) == ["r"]


async def test_an_ended_run_leaves_no_plan(tmp_path: Path) -> None:
    """DU-04, RS-04"""
    log = tmp_path / "log.db"
    async with file_store(log) as store:
        await one(store, enqueue("aside", stashed=True))
        await one(store, RequestCancel("aside", "no", at()))
    with closing(sqlite3.connect(log)) as db:
        assert db.execute("SELECT count(*) FROM plans").fetchone() == (0,)


async def test_no_fact_is_larger_than_one_may_be() -> None:
    """DU-04: other inputs, and those of a schedule, are refused as those of a submit are."""
    long = {"argv": ["x" * LARGEST_EVENT_BYTES]}
    row = ScheduleRow("n", "1h", "UTC", "{}", long, at(), at(3600))
    async with inline_store() as store:
        await one(store, enqueue("r", stashed=True))
        writes: list[Write[Result]] = [
            enqueue("s", inputs=long),
            Edit("r", at(), b"{}", b"", long),
            SetSchedule(row, at(), "command", 9),
        ]
        for write in writes:
            with pytest.raises(TooLarge, match="inputs"):
                await one(store, write)


async def test_an_export_has_the_plans(tmp_path: Path) -> None:
    """DU-04: and an import waits as long as the log it came from."""
    log, copy = tmp_path / "log.db", tmp_path / "copy.db"
    async with file_store(log) as store:
        await one(store, enqueue("later", not_before=at(60)))
    out = io.BytesIO()
    export_file(log, out)
    out.seek(0)
    import_file(copy, out)
    async with file_store(copy) as store:
        assert await started(store, 59) == []
        assert await started(store, 60) == ["later"]


async def test_places_are_those_of_a_list_that_is_rearranged(
    store: SqliteStore,
) -> None:
    """DU-05: after many moves at random the claims are in the order of a plain list."""
    random, names = Random(7), [f"r{n}" for n in range(12)]
    for name in names:
        await one(store, enqueue(name))
    line = list(names)
    for _ in range(60):
        name, to_first = random.choice(names), random.random() < 0.5
        line.remove(name)
        line.insert(0 if to_first else len(line), name)
        move = Rearrange(name, at(), move="first" if to_first else "last")
        await one(store, move)
    assert await started(store, slots=12) == line


async def test_a_move_that_changes_nothing_is_no_fact(store: SqliteStore) -> None:
    """DU-05"""
    await one(store, enqueue("a"))
    await one(store, enqueue("b"))
    for write in (
        Rearrange("a", at(), move="first"),
        Rearrange("b", at(), move="last"),
        Rearrange("b", at(), priority=20),
        Rearrange("b", at(), stashed=False),
        Rearrange("b", at()),
    ):
        assert (await one(store, write)).recorded == ()


async def test_a_more_important_run_goes_first_and_keeps_its_place(
    store: SqliteStore,
) -> None:
    """DU-05: its new priority is that of its row, of its claim and of the next daemon."""
    for name in ("a", "b", "c"):
        await one(store, enqueue(name))
    await one(store, Rearrange("c", at(), priority=10))
    assert (await get(store, "c")).priority == 10
    [row] = (await one(store, claim(1))).started
    assert (row.run_id, row.priority) == ("c", 10)


@pytest.mark.parametrize("state", ["running", "ended", "unknown"])
async def test_what_is_not_in_line_is_not_rearranged(
    store: SqliteStore, state: str
) -> None:
    """DU-05"""
    if state != "unknown":
        await one(store, enqueue("r"))
    if state == "running":
        await started(store)
    elif state == "ended":
        await one(store, RequestCancel("r", "no", at()))
    error = {"running": Conflict, "ended": Terminal, "unknown": RunNotFound}[state]
    with pytest.raises(error):
        await one(store, Rearrange("r", at(), move="first"))
    with pytest.raises(error):
        await one(store, Edit("r", at(), b"{}", b"d", {}))


async def test_a_run_is_edited_until_it_begins(store: SqliteStore) -> None:
    """DU-05: the claim in the same commit gets what is new; the same id and inputs find it."""
    await one(store, enqueue("r"))
    new = b'{"argv": ["false"]}'
    edit = Edit("r", at(), new, b"digest", {"argv": ["false"]})
    _, claimed = await store.commit([edit, claim()])
    [row] = claimed.started  # type: ignore[union-attr]
    assert (row.inputs, row.digest, row.shown) == (new, b"digest", {"argv": ["false"]})
    assert await types(store, "r") == ["run.queued", "run.edited", "run.started"]
    back = RunRequeued(reason="shutdown")
    await one(store, Release(row.fence, fact("r", back)))
    with pytest.raises(Conflict, match="begun"):
        await one(store, edit)
