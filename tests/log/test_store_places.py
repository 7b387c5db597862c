"""MB-16: a run executes only where it fits and where it is accepted, as the log has it."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from fakes.contract import AnyStore, get, one
from fakes.stores import LIFE, at, claim, enqueue, fact
from penstock.log.audit import audit_file
from penstock.log.export import export_file, import_file
from penstock.log.kept import ScheduleRow
from penstock.log.results import Claimed
from penstock.log.sqlite.store import SqliteStore, open_sqlite, threads
from penstock.log.writes import Park, Release, SetBox, SetPause, SetSchedule, Unpark
from penstock.words.events import RunQueued, RunRequeued
from penstock.words.placement import Place, place_of
from penstock.words.wait_reason import Waiting

A = place_of("a", {"gpu": "1"}, team=False, shared=True)
B = place_of("b", {}, team=True, shared=True)


async def started(store: AnyStore, place: Place, **others: Any) -> list[str]:
    claimed = await one(store, claim(place=place, **others))
    return [row.run_id for row in claimed.started]


async def test_a_claim_leaves_what_does_not_fit_to_others(store: AnyStore) -> None:
    """MB-16"""
    needs: dict[str, Mapping[str, str]] = {
        "gpu": {"gpu": "1"},
        "two": {"gpu": "2"},
        "here": {"box": "a"},
        "there": {"box": "b"},
        "any": {},
    }
    for run_id, asked in needs.items():
        await one(store, enqueue(run_id, needs=asked, origin="a"))
    assert await started(store, A) == ["gpu", "here", "any"]
    assert await started(store, B) == ["there"]
    assert await started(
        store, place_of("c", {"gpu": "2"}, team=True, shared=True)
    ) == ["two"]


async def test_what_does_not_fit_takes_no_slot_from_what_does(store: AnyStore) -> None:
    """MB-16: however important it is, and though it was there first."""
    await one(store, enqueue("first", needs={"box": "b"}, origin="a", priority=0))
    await one(store, enqueue("next", origin="a", priority=40))
    assert await started(store, A, slots=1) == ["next"]


async def test_a_box_takes_its_own_runs_unless_it_takes_those_of_all(
    store: AnyStore,
) -> None:
    """MB-16"""
    for run_id, origin in (("mine", "a"), ("theirs", "b"), ("nobody's", "")):
        await one(store, enqueue(run_id, origin=origin))
    assert await started(store, A) == ["mine"]
    assert await started(store, B) == ["theirs", "nobody's"]


async def test_a_run_that_comes_back_needs_what_it_did(store: AnyStore) -> None:
    """MB-16: whoever executed it before."""
    await one(store, enqueue("r", needs={"gpu": "1"}, origin="a", retries=1))
    [row] = (await one(store, claim(place=A))).started
    assert (row.needs, row.origin) == ({"gpu": "1"}, "a")
    back = RunRequeued(reason="retry", not_before=at(1), error="x")
    await one(store, Release(row.fence, fact("r", back)))
    assert await started(store, B, seconds=2) == []
    assert await started(store, A, seconds=2) == ["r"]


async def test_the_queued_fact_tells_what_a_run_needs(store: AnyStore) -> None:
    """MB-16: and nothing where it needs nothing, which older readers know nothing of."""
    await one(store, enqueue("r", needs={"gpu": "1"}, origin="a"))
    await one(store, enqueue("plain"))
    [told] = await store.read("r")
    assert isinstance(told.event, RunQueued)
    assert (told.event.needs, told.event.origin) == ({"gpu": "1"}, "a")
    [plain] = await store.read("plain")
    assert b"needs" not in plain.body
    assert b"origin" not in plain.body
    row = await get(store, "r")
    assert (row.needs, row.origin) == ({"gpu": "1"}, "a")


async def test_a_drained_box_starts_nothing_and_others_do(store: AnyStore) -> None:
    """MB-16: the same twice is one fact."""
    await one(store, enqueue("r", origin="a"))
    drained = await one(store, SetBox("a", True, at()))
    again = await one(store, SetBox("a", True, at()))
    assert ([f.type for f in drained.recorded], again.recorded) == (["box.drained"], ())
    assert await store.drained() == {"a"}
    assert await store.paused() == {}
    assert await started(store, A) == []
    await one(store, SetPause(True, at(), "box"))
    assert await store.drained() == {"a"}
    assert await store.paused() == {"box": ""}
    resumed = await one(store, SetBox("a", False, at()))
    assert [f.type for f in resumed.recorded] == ["box.resumed"]
    assert await started(store, A) == ["r"]


async def test_what_a_drained_box_executes_goes_on(store: AnyStore) -> None:
    """MB-16: a run that waits there gets its slot again."""
    await one(store, enqueue("r", origin="a"))
    [row] = (await one(store, claim(place=A))).started
    await one(store, Park(row.fence, Waiting("other", "x"), at()))
    await one(store, SetBox("a", True, at()))
    await one(store, Unpark(row.fence))
    claimed = await one(store, claim(place=A))
    assert [again.run_id for again in claimed.unparked] == ["r"]


async def test_a_schedule_keeps_the_box_it_was_made_at(store: AnyStore) -> None:
    """MB-16"""
    row = ScheduleRow("n", "1h", "UTC", "{}", {}, at(), at(3600), origin="a")
    await one(store, SetSchedule(row, at(), "command", 9))
    assert [found.origin for found in await store.schedules()] == ["a"]


# -- files


@asynccontextmanager
async def file_store(log: Path) -> AsyncIterator[SqliteStore]:
    async with open_sqlite(log, life=LIFE, run_blocking=threads(1)) as store:
        yield store


async def test_the_next_daemon_finds_what_runs_need(tmp_path: Path) -> None:
    """MB-16: and which boxes are drained."""
    log = tmp_path / "log.db"
    async with file_store(log) as store:
        await one(store, enqueue("gpu", needs={"gpu": "1"}, origin="a"))
        await one(store, enqueue("any", origin="a"))
        await one(store, SetBox("b", True, at()))
    async with file_store(log) as store:
        assert await store.drained() == {"b"}
        assert await started(store, B) == []
        assert await started(store, A) == ["gpu", "any"]
    assert audit_file(log).findings == []


async def test_an_export_has_what_runs_need(tmp_path: Path) -> None:
    """MB-16: and an import of an older one has runs that need nothing."""
    log, copy, older = (tmp_path / name for name in ("log.db", "copy.db", "older.db"))
    async with file_store(log) as store:
        await one(store, enqueue("gpu", needs={"gpu": "1"}, origin="a"))
    out = io.BytesIO()
    export_file(log, out)
    out.seek(0)
    import_file(copy, out)
    async with file_store(copy) as store:
        assert (await get(store, "gpu")).needs == {"gpu": "1"}
    text = out.getvalue().replace(b'"schema":8', b'"schema":7')
    text = text.replace(
        b'"needs":"{\\"gpu\\":\\"1\\"}","origin":"a","dismissed":null', b""
    )
    text = text.replace(b',}}\n{"table":"specs"', b'}}\n{"table":"specs"')
    text = text.replace(b',"needs":null,"origin":"","dismissed":null', b"")
    assert b"origin" in text
    import_file(older, io.BytesIO(text))
    async with file_store(older) as store:
        assert ((await get(store, "gpu")).needs, await started(store, B)) == (
            {},
            ["gpu"],
        )


@pytest.mark.parametrize("needs", ["[1]", "gpu", '{"gpu":'])
async def test_a_run_whose_needs_are_damaged_is_lost_alone(
    tmp_path: Path, needs: str
) -> None:
    """MB-16 RS-04: nothing is taken for a run that asks for nothing."""
    log = tmp_path / "log.db"
    async with file_store(log) as store:
        await one(store, enqueue("bad", needs={"gpu": "1"}))
        await one(store, enqueue("good"))
    with closing(sqlite3.connect(log)) as db:
        db.execute("UPDATE runs SET needs = ? WHERE run_id = 'bad'", (needs,))
        db.commit()
    async with file_store(log) as store:
        [claimed] = await store.commit([claim(place=B)])
        assert isinstance(claimed, Claimed)
        assert [row.run_id for row in claimed.started] == ["good"]
    assert len(audit_file(log).findings) == 1
