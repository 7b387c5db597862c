"""PF-02: a commit has as many statements for one write as for many, wherever its engine is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from fakes.contract import check_log, completed
from fakes.stores import append, at, claim, enqueue, inline_store
from penstock.log.kept import RunRow
from penstock.log.results import Claimed
from penstock.log.sqlite.engine import SqliteDb
from penstock.log.sqlite.store import SqliteStore
from penstock.log.writes import RequestCancel
from penstock.words.events import Log

#: Begin, new runs, their large columns, those that end, those that start, facts, head, commit.
MOST_STATEMENTS = 9


class CountedDb(SqliteDb):
    """Counts what it is asked: an `executemany` is one, as it is on the way to another box."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.asked: list[str] = []
        execute, executemany = connection.execute, connection.executemany

        def counted(sql: str, values: Any = (), /) -> sqlite3.Cursor:
            self.asked.append(sql)
            return execute(sql, values)

        def counted_many(sql: str, rows: Iterable[Sequence[Any]], /) -> sqlite3.Cursor:
            self.asked.append(sql)
            return executemany(sql, rows)

        self.execute, self.executemany = counted, counted_many  # type: ignore[assignment]

    def lock(self) -> bool:
        self.asked.append("lock")
        return super().lock()

    def save(self) -> None:
        self.asked.append("save")
        super().save()

    def set_meta(self, name: str, value: int) -> None:
        self.asked.append("set_meta")
        super().set_meta(name, value)


async def turn(
    store: SqliteStore, names: list[str], ended: list[RunRow]
) -> list[RunRow]:
    """What a busy daemon commits: new runs, ends of others, a claim; those that start."""
    writes = [
        *[enqueue(name, capacity=None, minted=True) for name in names],
        *[completed(row) for row in ended],
        claim(len(names)),
    ]
    results = await store.commit(writes)
    assert not [r for r in results if isinstance(r, Exception)]
    assert isinstance(results[-1], Claimed)
    return list(results[-1].started)


@pytest.mark.parametrize("size", [1, 5, 25, 100])
async def test_a_commit_of_many_runs_has_the_statements_of_one(size: int) -> None:
    """MB-15: submit, start and end of runs, with nothing looked up; at 25 less than one for each."""
    async with inline_store() as store:
        running = await turn(store, [f"r0-{n}" for n in range(size)], [])
        store._transaction.db = db = CountedDb(store._db)
        for number in range(1, 4):
            db.asked.clear()
            names = [f"r{number}-{n}" for n in range(size)]
            running = await turn(store, names, running)
            assert len(running) == size
            assert len(db.asked) <= MOST_STATEMENTS, db.asked
        await check_log(store)


@pytest.mark.parametrize("size", [1, 100])
async def test_facts_of_many_runs_are_written_by_the_statements_of_one(
    size: int,
) -> None:
    """PF-03"""
    async with inline_store() as store:
        running = await turn(store, [f"r-{n}" for n in range(size)], [])
        store._transaction.db = db = CountedDb(store._db)
        events = [append(r.run_id, Log(text="x"), fence=r.fence) for r in running]
        await store.commit(events)
        # Whether a run's output has outgrown what is kept is asked of each run once.
        db.asked.clear()
        events = [append(r.run_id, Log(text="y"), fence=r.fence) for r in running]
        await store.commit(events)
        assert len(db.asked) == 5, db.asked
        await check_log(store)


async def test_a_cancel_of_all_runs_asks_the_tables_nothing() -> None:
    """PF-04: neither for the cancel, nor for the ends that follow it."""
    async with inline_store() as store:
        running = await turn(store, [f"r-{n}" for n in range(50)], [])
        store._transaction.db = db = CountedDb(store._db)
        await store.commit([RequestCancel("", "enough", at(), all_open=True)])
        await store.commit([completed(row) for row in running])
        assert [sql for sql in db.asked if sql.startswith("SELECT")] == []
        assert len(db.asked) <= 2 * MOST_STATEMENTS
        await check_log(store)


async def test_what_a_commit_asks_of_the_tables_has_all_that_it_did() -> None:
    """ST-05: what is written late is there when it is asked for."""
    async with inline_store() as store:
        results = await store.commit(
            [
                enqueue("first"),
                enqueue("second", after=("first",)),
                enqueue("child", parent_id="first"),
                enqueue("first"),
                RequestCancel("first", "no more", at()),
            ]
        )
        assert [type(r).__name__ for r in results[:4]] == ["Accepted"] * 3 + [
            "Existing"
        ]
        assert results[4].ended == ("first", "second", "child")  # type: ignore[union-attr]
        await check_log(store)
