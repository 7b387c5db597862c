"""What a read of the log costs does not grow with the log: by the plan of each statement, not by a clock.

`bench/million.py` and `bench/lookups.py` have the seconds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from fakes.contract import one
from fakes.stores import LIFE, append, start
from penstock.log.sqlite.schema import create
from penstock.log.sqlite.store import SqliteStore
from penstock.log.tables.output_window import LIMITS
from penstock.testing.faulty_store import inline
from penstock.words.events import Progress
from penstock.words.values import new_event_id

#: What may be gone through from end to end: a list that came with the question, what was found so far,
#: and the index that holds nothing but open runs.
FEW = ("json_each", "SCAN tree", "runs_state")
#: A walk from a place on is all of it where the place is any run's or any fact's.
_FROM = "SEARCH {} USING INTEGER PRIMARY KEY (rowid>?)"
WHOLE = ("SCAN", _FROM.format("runs"), _FROM.format("events"))

Read = Callable[[SqliteStore], Awaitable[object]]


@pytest.fixture
async def db() -> AsyncIterator[sqlite3.Connection]:
    """A log in memory, with a run and some facts, whose statements can be looked at."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    create(connection)
    yield connection
    connection.close()


def walked(db: sqlite3.Connection, statements: list[str]) -> list[str]:
    """The steps of these statements in which SQLite would go through a table, or from a place on."""
    found = []
    for sql in statements:
        steps = db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
        found += [
            step[3]
            for step in steps
            if step[3].startswith(WHOLE) and not any(few in step[3] for few in FEW)
        ]
    return found


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda s: s.run("r1"), id="PF-07 a run by its id"),
        pytest.param(lambda s: s.read("r1"), id="PF-01 a run's facts"),
        pytest.param(
            lambda s: s.read("r1", 3, 10, types=frozenset({"run.progress"})),
            id="PF-01 some of a run's facts after a cursor",
        ),
        pytest.param(lambda s: s.open_runs(), id="PF-02 the open runs at a start"),
        pytest.param(lambda s: s.tree("r1"), id="PF-07 a run and what is below it"),
        pytest.param(lambda s: s.surroundings("r1"), id="PF-07 a run's surroundings"),
    ],
)
async def test_a_read_looks_at_no_more_rows_than_it_gives(
    db: sqlite3.Connection, read: Read
) -> None:
    """PF-01, PF-02 and PF-07: each by an index, so that a million facts of others cost nothing."""
    assert walked(db, await statements_of(db, read)) == []


async def test_a_page_of_the_log_begins_at_its_cursor(db: sqlite3.Connection) -> None:
    """PF-01: the walk begins at the place that was asked for, and ends with the page."""
    statements = await statements_of(db, lambda s: s.read_all(3, 10))
    assert walked(db, statements) == [_FROM.format("events")]
    assert all("LIMIT" in sql for sql in statements)


async def statements_of(db: sqlite3.Connection, read: Read) -> list[str]:
    """What SQLite is asked for a read, in a log that has a run."""
    store = SqliteStore(
        [db],
        life=LIFE,
        run_blocking=inline(),
        run_reading=None,
        new_id=new_event_id,
        limits=LIMITS,
    )
    row = await start(store)
    await one(store, append("r1", Progress(step="one"), fence=row.fence))
    statements: list[str] = []
    db.set_trace_callback(statements.append)
    await read(store)
    db.set_trace_callback(None)
    assert statements
    return statements
