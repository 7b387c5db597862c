"""ST-03, ST-12: a log on a server is exported, imported and audited as one in a file."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path

import pytest
import trio

from fakes.contract import check_log
from fakes.postgres import PostgresServer
from fakes.stores import LIFE, append, claim, enqueue, start
from fakes.stores_elsewhere import postgres_store
from log.test_export import exported, tell_a_story
from penstock.log.audit import audit_whole
from penstock.log.export import export_log, import_file, import_lines
from penstock.log.filters import RunFilter
from penstock.log.postgresql.schema import VERSION
from penstock.log.postgresql.whole_schema import fill_whole_schema, read_whole_schema
from penstock.log.sqlite.store import open_sqlite, threads
from penstock.words.errors import (
    Conflict,
    LogInUse,
    NotFound,
    Refused,
    StartRefused,
)
from penstock.words.events import Log

pytestmark = pytest.mark.processes


def lines_of(server: PostgresServer, schema: str) -> bytes:
    out = io.BytesIO()
    with read_whole_schema(server.url, schema) as log:
        export_log(log, out)
    return out.getvalue()


def findings(server: PostgresServer, schema: str) -> set[str]:
    with read_whole_schema(server.url, schema) as log:
        return {finding.law for finding in audit_whole(log).findings}


def read_in(server: PostgresServer, schema: str, text: bytes) -> int:
    with fill_whole_schema(server.url, schema) as log:
        return import_lines(log, io.BytesIO(text))


async def test_an_export_of_a_file_is_a_log_on_a_server_and_back(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """ST-03: text for text, and the server's goes on where the file's stopped."""
    await tell_a_story(tmp_path / "old.db")
    text, schema = exported(tmp_path / "old.db"), postgres.new_schema()
    facts = read_in(postgres, schema, text)
    assert facts == text.count(b'{"position"')
    # A text of a column has no NUL there; the fact has.
    assert lines_of(postgres, schema) == text
    assert findings(postgres, schema) == set()
    import_file(tmp_path / "new.db", io.BytesIO(lines_of(postgres, schema)))
    assert exported(tmp_path / "new.db") == text
    async with postgres_store(postgres, schema=schema, life="life-2") as store:
        assert {row.run_id for row in await store.open_runs()} >= {"b"}
        await store.commit([enqueue("later-than-all"), claim()])
        await check_log(store)
    assert findings(postgres, schema) == set()


async def test_what_is_exported_is_one_moment_of_a_log_at_work(
    postgres: PostgresServer,
) -> None:
    async with postgres_store(postgres) as store:
        row = await start(store)
        with read_whole_schema(postgres.url, store._db.schema) as log:
            before = log.meta()["head"]
            await store.commit([append("r1", Log(text="x"), fence=row.fence)])
            out = io.BytesIO()
            assert export_log(log, out) == before
            assert audit_whole(log).findings == []
        assert (await store.bounds()).head == before + 1


@pytest.mark.parametrize(
    ("statement", "law"),
    [
        ("UPDATE events SET body = 'x' WHERE position = 1", "whole facts"),
        ("DELETE FROM events WHERE position = 2", "dense positions"),
        ("UPDATE runs SET state = 'completed' WHERE key = 1", "rows agree with facts"),
        ("UPDATE log SET head = head + 1", "dense positions"),
        ("DELETE FROM environments", "environments of runs"),
    ],
)
async def test_an_audit_finds_what_was_changed_on_the_server(
    postgres: PostgresServer, statement: str, law: str
) -> None:
    """ST-08"""
    from log.test_environments import MINE

    async with postgres_store(postgres) as store:
        await start(store, surroundings=MINE)
        schema = store._db.schema
    assert findings(postgres, schema) == set()
    postgres.ask(f"SET search_path TO {schema}; {statement}")
    assert law in findings(postgres, schema)


async def test_a_damaged_export_is_refused_whole(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """ST-08: as by a file; afterwards the schema takes the whole one."""
    await tell_a_story(tmp_path / "old.db")
    text, schema = exported(tmp_path / "old.db"), postgres.new_schema()
    lines = text.splitlines(keepends=True)
    for damaged in (
        b"",
        b"no json\n",
        b"".join(lines[:-1]),
        text[:-20],
        text.replace(b'"table":"runs"', b'"table":"other"', 1),
        b"".join([lines[0], *lines[2:]]),
        text + lines[-1],
        text.replace(b'"position":2,', b'"position":2.5,', 1),
        text.replace(b'"priority":20,', b'"priority":"x",', 1),
        text.replace(b'"priority":20,', b'"priority":99999999999999999999,', 1),
        text.replace(b'"priority":20,', b'"priority":null,', 1),
        text.replace(b'"state":"queued"', b'"state":"zorg"', 1),
        text.replace(b'"state":"queued"', b'"state":["queued"]', 1),
    ):
        assert damaged != text
        with pytest.raises(Refused):
            read_in(postgres, schema, damaged)
        with pytest.raises(NotFound, match="there is no log in the schema"):
            lines_of(postgres, schema)
    assert read_in(postgres, schema, text) > 0


async def test_only_an_empty_log_that_no_daemon_has_takes_an_import(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """Law 5"""
    await tell_a_story(tmp_path / "old.db")
    text = exported(tmp_path / "old.db")
    async with postgres_store(postgres) as store:
        with pytest.raises(LogInUse, match="the daemon of the box here has the log"):
            read_in(postgres, store._db.schema, text)
        await store.commit([enqueue()])
        await check_log(store)
        schema = store._db.schema
    before = lines_of(postgres, schema)
    with pytest.raises(Conflict, match="not empty"):
        read_in(postgres, schema, text)
    assert lines_of(postgres, schema) == before


async def test_an_import_that_is_cut_off_leaves_nothing(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """Law 3: a connection that is lost half-way never goes on by another one."""
    async with open_sqlite(
        tmp_path / "old.db", life=LIFE, run_blocking=threads(1)
    ) as store:
        with trio.fail_after(30):
            await store.commit([enqueue(f"r{n}", capacity=None) for n in range(1200)])
    lines = exported(tmp_path / "old.db").splitlines(keepends=True)
    schema = postgres.new_schema()

    def cut() -> bytes:
        for pid in postgres.sessions():
            os.kill(pid, signal.SIGTERM)
        return lines[2000]

    assert b'"table":"specs"' in lines[2000]
    cutting = (cut() if n == 2000 else line for n, line in enumerate(lines))
    with pytest.raises(StartRefused, match="cannot be filled"):
        with fill_whole_schema(postgres.url, schema) as log:
            import_lines(log, cutting)
    with pytest.raises(NotFound):
        lines_of(postgres, schema)


async def test_what_is_no_log_of_this_version_is_not_read(
    postgres: PostgresServer,
) -> None:
    schema = postgres.new_schema()
    with pytest.raises(NotFound, match=f"there is no log in the schema {schema}"):
        lines_of(postgres, schema)
    async with postgres_store(postgres, schema=schema):
        pass
    for needed, version, why in (
        (VERSION + 1, VERSION + 1, "newer penstock"),
        (1, VERSION - 1, "older"),
    ):
        sql = f"UPDATE {schema}.log SET version = {needed}, tables = {version}"
        postgres.ask(sql)
        with pytest.raises(StartRefused, match=why):
            lines_of(postgres, schema)


async def test_a_log_is_read_from_a_server_that_takes_no_writes(
    postgres: PostgresServer,
) -> None:
    """A standby will do for an audit, and for a copy."""
    async with postgres_store(postgres) as store:
        await start(store)
        schema = store._db.schema
    postgres.stop()
    postgres.start(default_transaction_read_only="on")
    try:
        assert findings(postgres, schema) == set()
        with pytest.raises(StartRefused, match="takes no writes"):
            read_in(postgres, schema, b"")
    finally:
        postgres.stop()
        postgres.start()


async def test_texts_and_runs_are_read_back_as_the_server_has_them(
    postgres: PostgresServer,
) -> None:
    """A NUL that stands in a fact is no finding, though its column cannot have it."""
    from fakes.contract import one
    from fakes.stores import at
    from penstock.log.writes import RequestCancel

    async with postgres_store(postgres) as store:
        await start(store)
        await one(store, RequestCancel("r1", "no\0more", at()))
        assert [row.run_id for row in await store.runs(RunFilter())] == ["r1"]
        schema = store._db.schema
    assert findings(postgres, schema) == set()
