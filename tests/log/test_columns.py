"""Facts that go to PostgreSQL many at once, as columns (MB-15)."""

from __future__ import annotations

import pytest

from fakes.contract import check_log
from fakes.postgres import PostgresServer
from fakes.stores import append, enqueue, fact
from fakes.stores_elsewhere import postgres_store
from penstock.log.postgresql.columns import MANY, BinaryColumn, NumberColumn, TextColumn
from penstock.log.results import Appended
from penstock.log.writes import Append
from penstock.words.events import Log
from penstock.words.values import new_event_id

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("count", [MANY - 1, MANY, 300])
async def test_many_facts_of_one_commit_are_read_as_they_were_recorded(
    postgres: PostgresServer, count: int
) -> None:
    """ST-05: with a cause and without one, in any alphabet, whatever way they went out."""
    async with postgres_store(postgres) as store:
        await store.commit([enqueue("r1")])
        cause = new_event_id()
        facts = tuple(
            fact(
                "r1",
                Log(text=f"{n} ž \0 {'x' * n}"),
                causation_id=cause if n % 3 else None,
                clock={"elsewhere": n + 1},
            )
            for n in range(count)
        )
        (result,) = await store.commit([Append(facts)])
        assert isinstance(result, Appended)
        assert await store.read_all(1) == list(result.recorded)
        # By ids that it knows, and by ids that it asks the tables for.
        for _ in range(2):
            (again,) = await store.commit([Append(facts)])
            assert isinstance(again, Appended)
            assert again.duplicate
            store._transaction.forget()
        await store.commit([append("r1", Log(text="more"))])
        await check_log(store)


async def test_columns_are_what_the_server_takes_them_for(
    postgres: PostgresServer,
) -> None:
    """A text never has a NUL, and what is missing is missing."""
    async with postgres_store(postgres) as store:
        columns = (
            NumberColumn((-1, 2**62)),
            BinaryColumn((None, b"\0b")),
            TextColumn(("", "a\0ž")),
        )
        sql = "SELECT * FROM unnest(?::int8[], ?::bytea[], ?::text[])"
        assert store._db.execute(sql, columns).fetchall() == [
            (-1, None, ""),
            (2**62, b"\0b", "a\ufffdž"),
        ]
