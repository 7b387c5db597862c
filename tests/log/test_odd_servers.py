"""Servers and addresses as others leave them: settings of the role, encodings, rights that come and go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from fakes.contract import check_log, get, types
from fakes.postgres import PostgresServer
from fakes.stores import enqueue, start
from fakes.stores_elsewhere import postgres_store
from penstock.log.postgresql.engine import PostgresDb
from penstock.log.postgresql.ownership import place_of
from penstock.log.postgresql.store import PostgresStore
from penstock.words.errors import StartRefused, StoreAway, StoreBroken

pytestmark = pytest.mark.processes

#: A user as `createuser` makes it; the tests' own may do everything.
PLAIN = "plain_user"


# -- addresses


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("postgresql://penstock@db.example/penstock?sslmod=require", 'parameter: "sslmod"'),
        ("postgresql://penstock@db.example/penstock?sslmode", "missing key/value separator"),
        ("postgresql://pen%zzstock@db.example/penstock", "invalid percent-encoded token"),
        (" postgresql://penstock@db.example/penstock", 'missing "="'),
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_told_in_a_sentence(address: str, why: str) -> None:
    """ST-12"""
    with pytest.raises(StartRefused, match=why) as error:
        PostgresDb(address, "penstock")
    assert "`store`" in str(error.value)


def test_a_server_that_a_service_names_is_told_by_it() -> None:
    """ST-12"""
    place = "schema log of the PostgreSQL of the service team"
    assert place_of("postgresql:///?service=team", "log") == place
    assert place_of("postgresql:///mine?service=team", "log") == f"{place}/mine"


# -- settings of the role, of the database, of the address


async def test_texts_are_what_they_are_whatever_encoding_a_session_would_have(
    postgres: PostgresServer,
) -> None:
    """ST-12: psycopg tells bytes for texts of SQL_ASCII, and has no words for a tick in LATIN1."""
    for encoding in ("LATIN1", "SQL_ASCII"):
        url = f"{postgres.url}&client_encoding={encoding}"
        async with postgres_store(postgres, url=url) as store:
            assert isinstance(store.epoch, str)
            await store.commit([enqueue("r1", labels={"done": "✓"})])
            assert (await get(store, "r1")).labels == {"done": "✓"}
            await check_log(store)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_cannot_hold_every_text_is_refused(
    postgres: PostgresServer, encoding: str
) -> None:
    """ST-12"""
    name = f"in_{encoding.lower()}"
    postgres.ask(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0")
    url = postgres.url.replace("/penstock?", f"/{name}?")
    with pytest.raises(StartRefused, match=f"{encoding}.*--encoding UTF8"):
        async with postgres_store(postgres, url=url):
            pass


async def test_a_turn_sees_what_was_there_when_it_was_had(
    postgres: PostgresServer,
) -> None:
    """MB-15: at another level each commit that met another's would fail."""
    level = "options=-c%20default_transaction_isolation%3Dserializable"
    async with postgres_store(postgres, url=f"{postgres.url}&{level}") as store:
        store._db.begin()
        sql = "SELECT current_setting('transaction_isolation')"
        assert store._db.execute(sql).fetchone() == ("read committed",)
        store._db.rollback()


async def test_a_commit_is_on_the_disk_although_somebody_has_turned_that_off_since(
    postgres: PostgresServer,
) -> None:
    """ST-03: the start is refused then; a session that is made later would not notice."""
    async with postgres_store(postgres) as store:
        store._db.execute("SET synchronous_commit = off")
        store._db.lock()
        sql = "SELECT current_setting('synchronous_commit')"
        assert store._db.execute(sql).fetchone() == ("on",)
        store._db.rollback()


async def test_a_server_that_took_no_writes_for_a_while_takes_them_again(
    postgres: PostgresServer,
) -> None:
    """ST-07: a session keeps the default that it began with, so that only a new one writes."""
    async with postgres_store(postgres) as store:
        await start(store)
        store._db.execute("SET default_transaction_read_only = on")
        with pytest.raises(StoreAway, match="read-only"):
            await store.commit([enqueue("r2")])
        await store.commit([enqueue("r2")])
        assert await types(store, "r2") == ["run.queued"]


# -- rights


@contextmanager
def plain_user(server: PostgresServer) -> Iterator[str]:
    """The address for a user without any power, who may make schemas."""
    server.ask(f"CREATE ROLE {PLAIN} LOGIN")
    server.ask(f"GRANT CREATE ON DATABASE penstock TO {PLAIN}")
    try:
        yield server.url.replace("penstock@", f"{PLAIN}@")
    finally:
        server.ask(f"DROP OWNED BY {PLAIN} CASCADE")
        server.ask(f"DROP ROLE {PLAIN}")


@asynccontextmanager
async def plain_store(server: PostgresServer) -> AsyncIterator[PostgresStore]:
    with plain_user(server) as url:
        async with postgres_store(server, url=url) as store:
            await start(store)
            yield store


@pytest.mark.parametrize("what", ["SCHEMA {}", "TABLE {}.specs", "TABLE {}.events"])
async def test_rights_that_are_taken_away_are_waited_for(
    postgres: PostgresServer, what: str
) -> None:
    """ST-07: nothing is lost, so nothing ends; a schema that one may not look into has no tables."""
    async with plain_store(postgres) as store:
        thing = what.format(store._db.schema)
        postgres.ask(f"ALTER {thing} OWNER TO penstock")
        with pytest.raises(StoreAway):
            await store.commit([enqueue("r2")])
        with pytest.raises(StoreAway):
            await get(store, "r1")
            await store.read_all()
        await store.check_files()
        postgres.ask(f"ALTER {thing} OWNER TO {PLAIN}")
        await store.commit([enqueue("r2")])
        assert await types(store, "r2") == ["run.queued"]
        await check_log(store)


async def test_a_schema_that_is_gone_is_not_waited_for(
    postgres: PostgresServer,
) -> None:
    """ST-07: nor by who asks whether its last commit was done, within the turn that failed."""
    async with plain_store(postgres) as store:
        postgres.ask(f"DROP SCHEMA {store._db.schema} CASCADE")
        store._unsure = ([], 1)
        with pytest.raises(StoreBroken, match="no longer what it was"):
            await store.recall(0)
        store._broken = None
        with pytest.raises(StoreBroken, match="no longer what it was"):
            await store.commit([enqueue("r2")])
