"""ST-12: whatever code a server answers with, it means one of few things; none ends a daemon that was not told to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import errors

from fakes.contract import check_log, completed, types
from fakes.postgres import PostgresServer
from fakes.stores import append, enqueue, start
from fakes.stores_elsewhere import postgres_store
from penstock.log.filters import RunFilter
from penstock.log.postgresql.server_words import meaning_of, tell
from penstock.log.postgresql.sqlstates import MEANINGS, Meaning, leaves_unsure, row_of
from penstock.log.postgresql.store import PostgresStore
from penstock.words.errors import (
    PenstockError,
    Refused,
    StoreAway,
    StoreBroken,
    StoreUnavailable,
)
from penstock.words.events import Log

#: Every error that the library has a name for, by its code.
NAMED = {
    cls.sqlstate: cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, psycopg.Error) and cls.sqlstate
}
#: What the library has no name for: of a newer server, of an extension, of somebody's own.
UNNAMED = ("ZZ999", "QX001", "57Z09", "22Z99", "HVZ99", "AB123")
#: Classes of which nobody can say more than that they are waited for; no server of today sends an error of them.
WAITED_FOR = {"02", "03", "0F", "0Z", "10", "XX"}
#: What a real server is made to say: one of each class, and all that have a line of their own.
SAID = sorted(
    {
        min(code for code in NAMED if code[:2] == class_)
        for class_ in {code[:2] for code in NAMED}
    }
    | (NAMED.keys() & MEANINGS.keys())
    | set(UNNAMED)
)


# -- the table


@pytest.mark.parametrize("code", sorted(NAMED))
def test_every_code_that_has_a_name_means_something(code: str) -> None:
    """ST-12"""
    known = row_of(code).meaning is not Meaning.UNKNOWN
    assert known != (code[:2] in WAITED_FOR and code not in MEANINGS)
    assert meaning_of(NAMED[code]("said")) is row_of(code).meaning


def test_a_code_that_is_listed_nowhere_means_what_its_class_does() -> None:
    """ST-12"""
    assert row_of("57Z09") == row_of("57000")
    assert row_of("22Z99").meaning is Meaning.REFUSED
    assert row_of("ZZ999").meaning is Meaning.UNKNOWN


def test_every_line_of_the_table_is_of_a_code_or_a_class_that_there_is() -> None:
    """ST-12"""
    classes = {code[:2] for code in NAMED}
    assert [line for line in MEANINGS if line not in classes | NAMED.keys()] == []


def test_what_a_code_says_of_a_commit_on_its_way() -> None:
    """ST-07: only who has said no has surely done nothing."""
    unsure = {code for code in NAMED if leaves_unsure(code)}
    assert unsure == {
        code for code in NAMED if code.startswith(("08", "57P")) or code == "40003"
    }
    assert leaves_unsure(None)


def test_an_error_of_the_library_means_something_too() -> None:
    """ST-12: such ones have no code."""
    assert meaning_of(psycopg.DataError("x")) is Meaning.REFUSED
    assert meaning_of(psycopg.InterfaceError("x")) is Meaning.SESSION
    assert meaning_of(errors.PipelineAborted("x")) is Meaning.SESSION
    assert meaning_of(psycopg.ProgrammingError("x")) is Meaning.UNKNOWN


@pytest.mark.parametrize("code", ["ZZ999", "P0001", "58030"])
def test_a_sentence_has_the_code(code: str) -> None:
    """ST-12"""
    error = NAMED.get(code, psycopg.DatabaseError)("it says so")
    error.sqlstate = code
    assert tell(error).startswith(f"it says so ({code}")


# -- a server that says it


@dataclass
class Contrary:
    """A store, and what has its server answer with a code whatever is written, or read."""

    store: PostgresStore
    connection: psycopg.Connection[Any]

    def say(self, what: str, code: str = "") -> None:
        """From now on; "": nothing any more."""
        sql = "UPDATE {}.says SET what = %s, code = nullif(%s, '')"
        schema = self.store._db.schema
        self.connection.execute(sql.format(schema).encode(), (what, code))


_MAKE_CONTRARY = """
CREATE TABLE {0}.says AS SELECT '' AS what, '' AS code;
CREATE FUNCTION {0}.say(asked text) RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE found text;
    BEGIN
        SELECT code INTO found FROM {0}.says WHERE what = asked;
        IF found IS NOT NULL THEN
            RAISE EXCEPTION 'the server says so' USING ERRCODE = found, DETAIL = 'a row with a secret';
        END IF;
        RETURN true;
    END $$;
CREATE FUNCTION {0}.say() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM {0}.say(TG_ARGV[0]); RETURN NEW; END $$;
CREATE TRIGGER said BEFORE INSERT ON {0}.events FOR EACH ROW EXECUTE FUNCTION {0}.say('write');
CREATE TRIGGER said BEFORE UPDATE ON {0}.boxes FOR EACH ROW EXECUTE FUNCTION {0}.say('renew');
ALTER TABLE {0}.runs RENAME TO kept;
CREATE VIEW {0}.runs AS SELECT * FROM {0}.kept WHERE {0}.say('read');
"""


@asynccontextmanager
async def contrary(server: PostgresServer) -> AsyncIterator[Contrary]:
    schema = server.new_schema()
    async with postgres_store(server, schema=schema) as store:
        with closing(psycopg.connect(server.url, autocommit=True)) as connection:
            connection.execute(_MAKE_CONTRARY.format(schema).encode())
            yield Contrary(store, connection)


def told_of(code: str, refused: type[PenstockError]) -> type[PenstockError]:
    """What the store says where the server answered with this code."""
    said: dict[Meaning, type[PenstockError]] = {
        Meaning.DAMAGED: StoreBroken,
        Meaning.MISSING: StoreBroken,
        Meaning.REFUSED: refused,
    }
    return said.get(row_of(code).meaning, StoreAway)


@pytest.mark.processes
async def test_no_code_is_unforeseen_where_a_fact_is_written(
    postgres: PostgresServer,
) -> None:
    """ST-12: nothing is written then, and what a server adds of the rows that it has is not told."""
    async with contrary(postgres) as server:
        store = server.store
        row = await start(store)
        for code in SAID:
            server.say("write", code)
            with pytest.raises(PenstockError) as error:
                await store.commit([append("r1", Log(text=code), fence=row.fence)])
            assert type(error.value) is told_of(code, Refused), code
            assert f"the server says so ({code}" in str(error.value)
            assert "secret" not in str(error.value)
            store._broken = None
        server.say("write")
        await store.commit([append("r1", Log(text="x"), fence=row.fence)])
        await store.commit([completed(row)])
        assert (await types(store, "r1")).count("log") == 1
        await check_log(store)


@pytest.mark.processes
async def test_no_code_is_unforeseen_where_a_lease_is_renewed(
    postgres: PostgresServer,
) -> None:
    """ST-12: that is no write's fault, so none is refused; and where a commit may be done it is asked for."""
    async with contrary(postgres) as server:
        store = server.store
        for code in SAID:
            server.say("renew", code)
            with pytest.raises(PenstockError) as error:
                await store.commit([enqueue("r1")])
            away = StoreUnavailable if leaves_unsure(code) else StoreAway
            kind = told_of(code, StoreAway)
            assert type(error.value) is (away if kind is StoreAway else kind), code
            store._broken = None
            server.say("renew")
            assert await store.recall(0) is None
        await store.commit([enqueue("r1")])
        await check_log(store)


@pytest.mark.processes
async def test_no_code_is_unforeseen_where_something_is_read(
    postgres: PostgresServer,
) -> None:
    """ST-12: who gave no value that could be refused is told to wait."""
    async with contrary(postgres) as server:
        store = server.store
        await store.commit([enqueue("r1")])
        for code in SAID:
            server.say("read", code)
            with pytest.raises(PenstockError) as error:
                await store.runs(RunFilter())
            given = Refused if code[:2] in ("22", "54") else StoreAway
            assert type(error.value) is told_of(code, given), code
            store._broken = None
            with pytest.raises(PenstockError) as error:
                await store.opening()
            assert type(error.value) is told_of(code, StoreAway), code
            store._broken = None
        server.say("read")
        assert [row.run_id for row in await store.runs(RunFilter())] == ["r1"]
