"""MB-14: releases of several versions on one log in PostgreSQL, as a team brings its boxes up to date."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from cli.test_server_checks import GOOD
from fakes.contract import check_log
from fakes.postgres import PostgresServer
from fakes.stores import append, enqueue, start
from fakes.stores_elsewhere import postgres_store
from penstock.cli.server_checks import judge_tables
from penstock.log.audit import audit_whole
from penstock.log.postgresql import schema as versions
from penstock.log.postgresql.schema import VERSION, Step, needed_version
from penstock.log.postgresql.whole_schema import read_whole_schema
from penstock.log.tables.db import Statements
from penstock.words.errors import LogInUse, StartRefused
from penstock.words.events import Log

pytestmark = pytest.mark.processes

Release = Callable[..., None]


def add_columns(db: Statements) -> None:
    for table in ("runs", "boxes", "log", "events"):
        db.execute(f"ALTER TABLE {table} ADD COLUMN colour TEXT NOT NULL DEFAULT ''")


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Release:
    """From here on this is another release: one that takes a step more, or the older one again."""
    known = versions.MIGRATIONS

    def change(step: Step | None = None) -> None:
        steps = known if step is None else {**known, VERSION: step}
        monkeypatch.setattr(versions, "MIGRATIONS", steps)
        monkeypatch.setattr(versions, "VERSION", max(steps) + 1)

    return change


async def test_columns_are_added_under_the_daemons_of_older_releases(
    postgres: PostgresServer, become: Release
) -> None:
    """They go on, start again, and read the log as a whole; nobody has to stop for it."""
    schema = postgres.new_schema()
    async with postgres_store(postgres, schema=schema, box="old") as old:
        row = await start(old)
        become(Step(add_columns))
        async with postgres_store(
            postgres, schema=schema, box="new", life="life-2"
        ) as new:
            assert postgres.ask(f"SELECT version, tables FROM {schema}.log") == [
                (needed_version(), VERSION + 1)
            ]
            await new.commit([enqueue("theirs")])
            become()
            said = append("r1", Log(text="x"), fence=row.fence)
            await old.commit([said, enqueue("ours")])
            assert {r.run_id for r in await new.open_runs()} >= {"r1", "theirs", "ours"}
    async with postgres_store(postgres, schema=schema, box="old", life="life-3") as old:
        await old.commit([enqueue("again")])
        await check_log(old)
    sql = f"SELECT tables FROM {schema}.log"
    assert postgres.ask(sql) == [(VERSION + 1,)]
    with read_whole_schema(postgres.url, schema) as log:
        assert audit_whole(log).findings == []


async def test_a_breaking_step_waits_until_no_older_box_has_a_lease(
    postgres: PostgresServer, become: Release
) -> None:
    """Which boxes are in its way is told; one whose daemon is proven to be gone is in nobody's."""
    schema = postgres.new_schema()

    def drop_a_column(db: Statements) -> None:
        db.execute("ALTER TABLE runs DROP COLUMN preemptible")

    step = Step(drop_a_column, breaks=True)
    async with (
        postgres_store(postgres, schema=schema, box="old"),
        postgres_store(postgres, schema=schema, box="other", life="life-2"),
    ):
        become(step)
        told = r"version 4, .*: old \(penstock .*, its lease is over in \d+ s\), other \(.*`penstock shutdown`"
        with pytest.raises(LogInUse, match=told):
            async with postgres_store(postgres, schema=schema, box="new", life="n"):
                pass
        sql = f"SELECT version, tables FROM {schema}.log"
        assert postgres.ask(sql) == [(2, VERSION)]
        become()
    # As after a kill -9: it has a lease, and is the one that starts again.
    postgres.ask(f"UPDATE {schema}.boxes SET state = 'here' WHERE box = 'old'")
    become(step)
    async with postgres_store(postgres, schema=schema, box="old", life="life-3"):
        assert postgres.ask(sql) == [(VERSION + 1, VERSION + 1)]
    become()
    with pytest.raises(StartRefused, match="made by a newer penstock"):
        async with postgres_store(postgres, schema=schema, box="other", life="life-4"):
            pass
    with pytest.raises(StartRefused, match="newer penstock"):
        with read_whole_schema(postgres.url, schema):
            pass


@pytest.mark.parametrize(
    ("needed", "tables", "state", "found"),
    [
        (2, VERSION, "ok", f"version {VERSION} (PostgreSQL 15.1)"),
        (2, VERSION + 1, "ok", f"; this one knows {VERSION}, and goes on with it"),
        (2, 2, "ok", f"; {VERSION} when a daemon has started"),
        (VERSION + 1, VERSION + 1, "failure", f"; this one knows {VERSION}"),
    ],
)
def test_the_doctor_tells_newer_tables_from_those_that_end_it(
    needed: int, tables: int, state: str, found: str
) -> None:
    settings = {**GOOD.settings, "server_version": "15.1"}
    told = judge_tables(replace(GOOD, needed=needed, tables=tables, settings=settings))
    assert told.state == state
    assert told.found.endswith(found)
