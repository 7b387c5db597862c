"""PF-07: what is asked often reads no more of a large log than it shows.

SQLite chooses a plan by what it knows of the tables, and a harmless word more in a statement may make
it read all runs there ever were. So the plans themselves are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import Connection

import pytest

from fakes.contract import completed, one
from fakes.stores import append, at, enqueue, inline_store, start
from penstock.log.filters import RunFilter
from penstock.log.sqlite.database import open_database
from penstock.log.tables.rows import (
    _SELECT_TREE,
    NUMBERS,
    SELECT_OPEN_KEYS,
    SELECT_RUNS,
    select_runs,
)
from penstock.log.writes import RequestCancel
from penstock.words.events import Log
from penstock.words.lifecycle import OPEN_STATES, QUEUED_STATES, TERMINAL_STATES


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Connection]:
    (db,) = open_database(tmp_path / "p.db", 0)
    with closing(db):
        yield db


def plan(db: Connection, sql: str, values: object = ()) -> list[str]:
    """What SQLite would do, a step a line."""
    rows = db.execute(f"EXPLAIN QUERY PLAN {sql}", values)  # type: ignore[arg-type]
    return [row[3] for row in rows]


def reads_all(steps: list[str]) -> list[str]:
    """Steps that go through a whole table of runs."""
    return [s for s in steps if s in ("SCAN runs", "SCAN specs", "SCAN events")]


@pytest.mark.parametrize("states", [OPEN_STATES, QUEUED_STATES, ("running",)])
def test_open_runs_are_found_by_their_index(
    db: Connection, states: tuple[str, ...]
) -> None:
    steps = plan(db, *select_runs(RunFilter(states=frozenset(states))))
    assert any("runs_state" in step for step in steps)
    assert reads_all(steps) == []


def test_labels_are_looked_for_in_an_index_that_holds_them_whole(
    db: Connection,
) -> None:
    wanted = RunFilter(labels={"branch": "main"})
    steps = plan(db, *select_runs(wanted, by_labels=True))
    assert any("COVERING INDEX specs_labels" in step for step in steps)
    assert reads_all(steps) == []


@pytest.mark.parametrize(
    "wanted",
    [
        RunFilter(),
        RunFilter(before=100),
        RunFilter(words=("word",), above=5),
        RunFilter(states=frozenset(TERMINAL_STATES)),
    ],
)
def test_a_page_goes_along_the_line(db: Connection, wanted: RunFilter) -> None:
    """So that it ends with what it shows, or where the search ends."""
    steps = plan(db, *select_runs(wanted))
    assert any("runs_place" in step for step in steps)
    assert reads_all(steps) == []


def test_open_runs_are_read_at_a_start_by_their_index(db: Connection) -> None:
    steps = plan(db, SELECT_OPEN_KEYS)
    assert any("runs_state" in step for step in steps)
    assert reads_all(steps) == []


@pytest.mark.parametrize(
    "sql",
    [f"{SELECT_RUNS} WHERE runs.key IN {NUMBERS}", _SELECT_TREE],
    ids=["keys", "tree"],
)
def test_what_is_named_is_looked_up(db: Connection, sql: str) -> None:
    """MB-15: written for every engine, and read here by the indexes all the same."""
    steps = plan(db, sql, ("[1, 2]",) * sql.count("?"))
    assert any("USING INTEGER PRIMARY KEY" in step for step in steps)
    assert reads_all(steps) == []


async def test_no_write_of_a_run_reads_all_runs() -> None:
    """SC-02: whatever a run's life asks of the tables, from its submit to its end."""
    asked: list[str] = []
    async with inline_store() as store:
        store._db.set_trace_callback(asked.append)
        await store.commit([enqueue("first"), enqueue("second", after=("first",))])
        started = await start(store, "third")
        await store.commit([append("third", Log(text="x"), fence=started.fence)])
        await store.commit([enqueue("child", parent_id="third")])
        await store.commit([completed(started)])
        await one(store, RequestCancel("second", "no more", at()))
        await one(store, RequestCancel("", "no more", at(), all_open=True))
        store._db.set_trace_callback(None)
        statements = [s for s in asked if s.split()[0] not in ("BEGIN", "COMMIT")]
        for sql in statements:
            assert reads_all(plan(store._db, sql)) == [], sql
    assert len(statements) > 20
