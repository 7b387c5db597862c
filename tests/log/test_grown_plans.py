"""PF-07, MB-15: what a server planned while a log was small is not kept once it is long.

A server keeps the plan of a prepared statement until it has looked at its tables again, which is after a
minute, or never. In a log that had three runs then, to read all of it was best.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack

import pytest

from fakes.contract import check_log, completed
from fakes.postgres import PostgresServer
from fakes.stores import claim, enqueue
from fakes.stores_elsewhere import postgres_store
from penstock.log.kept import RunRow
from penstock.log.postgresql.store import PostgresStore
from penstock.log.results import Claimed

pytestmark = pytest.mark.processes

#: Turns of each box in which the server settles for its plans, and the runs of each.
FEW, SIZE = 8, 2
#: Runs, of a kind that nobody executes, that make the log a long one.
LARGE = 800


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


def rows_read_whole(server: PostgresServer, stores: Iterable[PostgresStore]) -> int:
    """Rows that were read so far because somebody went through a whole table of these."""
    for store in stores:
        # Told by a session within a second, if nobody asks.
        store._db.execute("SELECT pg_stat_force_next_flush()")
    ((count,),) = server.ask(
        "SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname IN ('events', 'runs', 'specs')"
    )
    return int(count)


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
            for life in ("one", "two", "third")
        }
        third = stores.pop("third")
        boxes = Boxes(stores)
        await boxes.turns(1, SIZE)
        if looked_at:
            tables = ", ".join(
                f"{schema}.{name}" for name in ("events", "runs", "specs")
            )
            postgres.ask(f"VACUUM ANALYZE {tables}")  # fmt: skip
        await boxes.turns(FEW, SIZE)
        line = [enqueue(f"q{n}", capacity=None, kind="other") for n in range(LARGE)]
        await third.commit(line)
        # Who has not seen most of a log reads most of it.
        await boxes.turns(1, SIZE)
        before = rows_read_whole(postgres, stores.values())
        await boxes.turns(FEW, SIZE)
        assert rows_read_whole(postgres, stores.values()) == before
        await check_log(stores["one"])
