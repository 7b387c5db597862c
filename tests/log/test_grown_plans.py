"""PF-07, MB-15: what a server planned while a log was small is not kept once it is long.

A server keeps the plan of a prepared statement until it has looked at its tables again, which is after a
minute, or never. In a log that had three runs then, to read all of it was best.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from fakes.contract import check_log, completed
from fakes.postgres import PostgresServer
from fakes.stores import claim, enqueue
from fakes.stores_elsewhere import postgres_store
from penstock.log.postgresql.store import PostgresStore
from penstock.log.writes import Claimed, RunRow

pytestmark = pytest.mark.processes

#: Turns of each box in which the server settles for its plans, and then those in which the log becomes long.
FEW, MANY = 12, 3
#: Runs of such a turn.
SIZE, LARGE = 2, 200


async def turn(
    store: PostgresStore, names: Sequence[str], running: Sequence[RunRow], life: str
) -> list[RunRow]:
    """New runs, ends of those that were, and a claim; those that start."""
    new = [enqueue(name, capacity=None) for name in names]
    ended = [completed(row) for row in running]
    results = await store.commit([*new, *ended, claim(len(names), life=life)])
    assert isinstance(results[-1], Claimed), results
    return list(results[-1].started)


class Boxes:
    """Two that have their turns one after the other, so that each catches up with the other's."""

    def __init__(self, stores: dict[str, PostgresStore]) -> None:
        self.stores = stores
        self.running: dict[str, list[RunRow]] = {life: [] for life in stores}
        self.number = 0

    async def turns(self, count: int, size: int) -> None:
        for _ in range(count):
            for life, store in self.stores.items():
                self.number += 1
                names = [f"r{self.number}-{n}" for n in range(size)]
                self.running[life] = await turn(store, names, self.running[life], life)


def read_whole(store: PostgresStore) -> dict[str, list[str]]:
    """Statements that the server, by the plans that it kept, would answer by reading a whole large table."""
    db = store._db
    found: dict[str, list[str]] = {}
    db.execute("SELECT set_config('plan_cache_mode', 'force_generic_plan', false)")
    prepared: list[tuple[Any, ...]] = db.execute(
        "SELECT name, statement, cardinality(parameter_types) FROM pg_prepared_statements"
    ).fetchall()
    for name, statement, count in prepared:
        if not statement.lstrip().startswith(("SELECT", "WITH", "UPDATE runs")):
            continue
        values = f"({', '.join(['NULL'] * count)})" if count else ""
        steps = [row[0] for row in db.execute(f'EXPLAIN EXECUTE "{name}"{values}')]
        if whole := [
            step.strip()
            for step in steps
            if any(f"Seq Scan on {name}" in step for name in ("events", "runs", "specs"))
        ]:  # fmt: skip
            found[statement] = whole
    return found


@pytest.mark.parametrize("looked_at", [False, True])
async def test_a_turn_reads_no_more_of_a_long_log_than_it_needs(
    postgres: PostgresServer, looked_at: bool
) -> None:
    """Whether or not the server has looked at the tables when they had next to nothing."""
    schema = postgres.new_schema()
    async with AsyncExitStack() as stack:
        stores = {
            life: await stack.enter_async_context(
                postgres_store(postgres, schema=schema, life=life, box=life)
            )
            for life in ("one", "two")
        }
        boxes = Boxes(stores)
        await boxes.turns(1, SIZE)
        if looked_at:
            tables = ", ".join(f"{schema}.{name}" for name in ("events", "runs", "specs"))
            postgres.ask(f"VACUUM ANALYZE {tables}")  # fmt: skip
        await boxes.turns(FEW, SIZE)
        await boxes.turns(MANY, LARGE)
        await boxes.turns(1, SIZE)
        for store in stores.values():
            assert read_whole(store) == {}
            await check_log(store)
