"""ST-08: a log on a server that an older release made is brought to this version, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
import pytest

from fakes.contract import check_log, completed
from fakes.first_schema import BOX, make_first_schema
from fakes.first_schema import VERSION as FIRST
from fakes.postgres import PostgresServer
from fakes.stores import append, at, enqueue
from fakes.stores_elsewhere import postgres_store
from penstock.log.audit import audit_whole
from penstock.log.postgresql import schema as versions
from penstock.log.postgresql.schema import VERSION, Step, needed_version
from penstock.log.postgresql.whole_schema import read_whole_schema
from penstock.log.tables.db import Statements
from penstock.words.errors import StartRefused
from penstock.words.events import Log

pytestmark = pytest.mark.processes

_COLUMNS = (
    "SELECT table_name, column_name, udt_name, is_nullable, collation_name,"
    " coalesce(column_default, '') FROM information_schema.columns WHERE table_schema = %s"
)
_INDEXES = "SELECT tablename, replace(indexdef, %s || '.', '') FROM pg_indexes WHERE schemaname = %s"


def shape(server: PostgresServer, schema: str) -> set[tuple[Any, ...]]:
    """Its columns and indexes, in whatever order."""
    columns = server.ask(_COLUMNS, schema)
    return {*columns, *server.ask(_INDEXES, schema, schema)}


async def test_a_log_of_the_first_release_is_opened_and_goes_on(
    postgres: PostgresServer,
) -> None:
    """The box that had it has it at once, with what it executed, and what waits."""
    schema = make_first_schema(postgres)
    facts = postgres.ask(
        f"SELECT position, event_id, type FROM {schema}.events ORDER BY position"
    )
    async with postgres_store(postgres, schema=schema, box=BOX, life="life-2") as store:
        sql = f"SELECT version, tables FROM {schema}.log"
        assert postgres.ask(sql) == [(needed_version(), VERSION)]
        told = await store.read_all(0, 1000)
        assert [(f.position, f.event_id.bytes, f.type) for f in told] == facts
        rows = {row.run_id: row for row in await store.open_runs()}
        assert rows.keys() == {"open", "line", "later"}
        [ask] = await store.asks()
        assert (ask.run_id, ask.name) == ("open", "q")
        [schedule] = await store.schedules()
        assert (schedule.name, schedule.skipped, schedule.due) == ("n", 3, at(60))
        assert await store.surroundings("open") is not None
        said = append("open", Log(text="x"), fence=rows["open"].fence)
        await store.commit([said, enqueue("next"), completed(rows["open"])])
        await check_log(store)
    with read_whole_schema(postgres.url, schema) as log:
        assert audit_whole(log).findings == []


async def test_a_schema_that_was_migrated_is_one_that_was_made_now(
    postgres: PostgresServer,
) -> None:
    """No step forgets a column, an index, a type or a default."""
    old = make_first_schema(postgres)
    async with (
        postgres_store(postgres, schema=old, box=BOX, life="life-2"),
        postgres_store(postgres) as new,
    ):
        assert shape(postgres, old) == shape(postgres, new._db.schema)


async def test_a_step_that_fails_changes_nothing(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older release can go on with it."""
    schema = make_first_schema(postgres)
    before, known = shape(postgres, schema), dict(versions.MIGRATIONS)

    def break_off(db: Statements) -> None:
        known[max(known)].make(db)
        db.execute("SELECT 1 / 0")

    steps: Mapping[int, Any] = {**known, max(known): Step(break_off)}
    monkeypatch.setattr(versions, "MIGRATIONS", steps)
    with pytest.raises(StartRefused, match="cannot be opened: division by zero"):
        async with postgres_store(postgres, schema=schema, box=BOX):
            pass
    assert shape(postgres, schema) == before
    assert postgres.ask(f"SELECT version FROM {schema}.log") == [(FIRST,)]


async def test_an_older_log_is_not_read_as_todays(postgres: PostgresServer) -> None:
    schema = make_first_schema(postgres)
    with pytest.raises(StartRefused, match="has version 1, of an older penstock"):
        with read_whole_schema(postgres.url, schema):
            pass


async def test_nobody_migrates_a_log_that_another_session_is_in(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that somebody reads within a transaction is waited for within bounds, and then left."""
    from penstock.log.postgresql import engine

    monkeypatch.setattr(engine, "TURN_SECONDS", 1)
    schema = make_first_schema(postgres)
    held = psycopg.connect(postgres.url)
    held.execute(f"SELECT count(*) FROM {schema}.runs".encode())
    with pytest.raises(StartRefused, match="lock timeout"):
        async with postgres_store(postgres, schema=schema, box=BOX):
            pass
    held.close()
    assert postgres.ask(f"SELECT version FROM {schema}.log") == [(FIRST,)]
