"""What is special about PostgreSQL: connections that are lost, other daemons, and what a start refuses."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import psycopg
import pytest
import trio
from pydantic import ValidationError

from fakes.contract import check_log, completed, get, one, types
from fakes.cores import open_fake_core, request, wait_ended
from fakes.postgres import PostgresServer, open_postgres
from fakes.stores import append, at, claim, enqueue, start
from fakes.stores_elsewhere import postgres_store
from penstock.log.filters import RunFilter
from penstock.log.kept import Forsaken
from penstock.log.postgresql import engine, ownership
from penstock.log.postgresql import store as far_store
from penstock.log.postgresql.dialect import translate
from penstock.log.postgresql.schema import VERSION, make_tables, prepare
from penstock.log.postgresql.store import PostgresStore
from penstock.log.results import Accepted, Claimed
from penstock.log.tables.db import Statements
from penstock.log.writes import Prune, RequestCancel
from penstock.words.config import Config
from penstock.words.errors import (
    LeaseLost,
    LogInUse,
    StartRefused,
    StoreAway,
    StoreBroken,
    StoreUnavailable,
)
from penstock.words.events import Log

pytestmark = pytest.mark.processes

T = TypeVar("T")


# -- the text of statements


@pytest.mark.parametrize(
    ("common", "its"),
    [
        ("SELECT a FROM t WHERE b = ? AND c > ?", "SELECT a FROM t WHERE b = $1 AND c > $2"),
        ("SELECT a FROM runs INDEXED BY runs_state WHERE b", "SELECT a FROM runs WHERE b"),
        ("FROM runs CROSS JOIN specs ON specs.key = runs.key", "FROM runs JOIN specs ON specs.key = runs.key"),
        ("a IN (SELECT value FROM json_each(?))", "a IN (SELECT value FROM json_array_elements_text($1::json))"),
        (
            "FROM told LEFT JOIN runs ON runs.key = told.run /* one by one */",
            "FROM told LEFT JOIN LATERAL (SELECT * FROM runs WHERE runs.key = told.run LIMIT 1) AS runs ON TRUE",
        ),
        ("FROM json_each(labels) AS one", "FROM json_each_text(labels::json) AS one"),
    ],
)  # fmt: skip
def test_the_common_text_is_spelled_as_the_server_wants_it(
    common: str, its: str
) -> None:
    """MB-15"""
    assert translate(common).decode() == its


def test_no_table_has_a_type_that_the_server_has_not() -> None:
    text = " ".join(make_tables())
    assert "WITHOUT ROWID" not in text
    assert not {" BLOB", " REAL", " INTEGER"} & {f" {word}" for word in text.split()}
    assert "CREATE TABLE log" in text


async def test_a_commit_of_many_runs_has_the_statements_of_one(
    postgres: PostgresServer,
) -> None:
    """MB-15: what changes rows goes out at once, before the row of the log."""
    async with postgres_store(postgres) as store:
        asked: list[str] = []
        ways: list[str] = []
        running: list[Any] = []
        with counted(store._db, asked, ways):
            for number in range(4):
                asked.clear()
                ways.clear()
                names = [f"r{number}-{n}" for n in range(25)]
                writes = [enqueue(name, capacity=None, minted=True) for name in names]
                results = await store.commit(
                    [*writes, *[completed(row) for row in running], claim(25)]
                )
                assert isinstance(results[-1], Claimed)
                running = list(results[-1].started)
                assert len(running) == 25
        assert len(asked) <= 10, asked
        assert len(ways) == 4, ways
        await check_log(store)


@contextmanager
def counted(db: engine.PostgresDb, asked: list[str], ways: list[str]) -> Iterator[None]:
    """What goes out, an `executemany` as one; and what of it is waited for."""
    send, many = db._send, db.executemany

    def send_counted(sql: str, values: Sequence[Any]) -> Any:
        asked.append(sql)
        ways.append(sql)
        return send(sql, values)

    def many_counted(sql: str, rows: Iterable[Sequence[Any]], /) -> None:
        asked.append(sql)
        many(sql, rows)
        if not db._later:
            ways.append(sql)

    db._send, db.executemany = send_counted, many_counted  # type: ignore[method-assign]
    yield
    db._send, db.executemany = send, many  # type: ignore[method-assign]


async def test_a_turn_in_which_nothing_was_written_is_no_commit(
    postgres: PostgresServer,
) -> None:
    """ST-05: a claim that finds nothing costs the server no disk."""
    async with postgres_store(postgres) as store:
        await store.commit([enqueue()])
        before = store._db.changes
        await store.commit([claim(0)])
        assert store._db.changes == before


# -- connections


async def test_a_server_that_was_restarted_is_met_again(
    postgres: PostgresServer,
) -> None:
    """MB-08: what was acknowledged is there, and nothing is lost but the time."""
    async with postgres_store(postgres) as store:
        row = await start(store)
        for number in (signal.SIGINT, signal.SIGQUIT):
            postgres.stop(number)
            with pytest.raises(StoreAway):
                await store.commit([append("r1", Log(text="x"), fence=row.fence)])
            with pytest.raises(StoreUnavailable):
                await store.read_all()
            postgres.start()
            assert await store.recall(0) is None
            # No reader tells of a connection that the restart took.
            for _ in range(5):
                await store.read_all()
            await store.commit([append("r1", Log(text=number.name), fence=row.fence)])
        assert (await types(store, "r1"))[-2:] == ["log", "log"]
        await check_log(store)


@contextmanager
def lost_commits(
    db: engine.PostgresDb,
    lost: Literal["statement", "request", "answer"],
    every: int = 1,
) -> Iterator[list[int]]:
    """Every so many commits the connection breaks: after it did it, before the server hears of it, or of its last write."""
    send, seen = db._send, [0]

    def broken(sql: str, values: Sequence[Any]) -> Any:
        ends = "renewed AS" in sql if lost == "statement" else sql == "COMMIT"
        if not ends:
            return send(sql, values)
        seen[0] += 1
        if seen[0] % every:
            return send(sql, values)
        if lost == "answer":
            send(sql, values)
        db.connection.close()
        raise psycopg.OperationalError("the connection was reset")

    db._send = broken  # type: ignore[method-assign]
    yield seen
    db._send = send  # type: ignore[method-assign]


@pytest.mark.parametrize("lost", ["statement", "request", "answer"])
async def test_a_commit_whose_answer_was_lost_is_known_to_be_done_or_not(
    postgres: PostgresServer, lost: Literal["statement", "request", "answer"]
) -> None:
    """MB-09: and if it is, it renewed the lease as well."""
    renewed: list[int] = []
    async with postgres_store(postgres, on_renewed=renewed.append) as store:
        await store.commit([enqueue("before")])
        batch, before = [enqueue("r1"), claim(5)], len(renewed)
        with lost_commits(store._db, lost), pytest.raises(StoreUnavailable) as error:
            await store.commit(batch)
        assert not isinstance(error.value, StoreAway)
        told = await store.recall(0)
        assert len(renewed) - before == (lost == "answer")
        assert await store.recall(0) is None
        if lost != "answer":
            assert told is None
            assert await store.run("r1") is None
        else:
            assert told is not None
            accepted, claimed = told
            assert isinstance(accepted, Accepted)
            assert isinstance(claimed, Claimed)
            assert [row.run_id for row in claimed.started] == ["before", "r1"]
            row = await get(store, "r1")
            await one(store, completed(row))
        await check_log(store)


async def test_who_asks_whether_a_commit_was_done_is_refused_nothing(
    postgres: PostgresServer,
) -> None:
    """MB-09: nobody gave what that says, and it is asked for until it is known."""
    async with postgres_store(postgres) as store:
        await store.commit([enqueue("before")])
        with lost_commits(store._db, "answer"), pytest.raises(StoreUnavailable):
            await store.commit([enqueue("r1")])
        schema = store._db.schema
        postgres.ask(f"ALTER TABLE {schema}.boxes RENAME TO kept")
        columns = (
            "box, life, state, until, era, commits / (commits - commits) AS commits"
        )
        postgres.ask(
            f"CREATE VIEW {schema}.boxes AS SELECT {columns} FROM {schema}.kept"
        )
        with pytest.raises(StoreAway, match="division by zero"):
            await store.recall(0)
        postgres.ask(f"DROP VIEW {schema}.boxes")
        postgres.ask(f"ALTER TABLE {schema}.kept RENAME TO boxes")
        told = await store.recall(0)
        assert told is not None
        assert [type(result) for result in told] == [Accepted]


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_connection_that_is_lost_at_any_statement_of_a_commit_leaves_no_doubt(
    postgres: PostgresServer, lost: Literal["request", "answer"]
) -> None:
    """MB-09: what is told as done is in the log, and what is not is not."""
    async with postgres_store(postgres) as store:
        given_up = 0
        for place in range(1, 30):
            run_id = f"r{place}"
            with lost_statement(store._db, lost, place) as seen:
                try:
                    await store.commit([enqueue(run_id)])
                except StoreUnavailable:
                    given_up += 1
                    told = await store.recall(0)
                    assert (told is not None) == (await store.run(run_id) is not None)
                else:
                    # What was lost while the turn was asked for is asked for again at once.
                    assert await store.run(run_id) is not None
            if seen[0] < place:
                break
        else:
            raise AssertionError("a commit has no end")
        assert given_up > 2
        await check_log(store)


@contextmanager
def lost_statement(
    db: engine.PostgresDb, lost: Literal["request", "answer"], place: int
) -> Iterator[list[int]]:
    """The connection breaks at one statement: before the server hears of it, or after it did it."""
    send, seen = db._send, [0]

    def broken(sql: str, values: Sequence[Any]) -> Any:
        seen[0] += 1
        if seen[0] != place:
            return send(sql, values)
        if lost == "answer":
            send(sql, values)
        db.connection.close()
        raise psycopg.OperationalError("the connection was reset")

    db._send = broken  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        db._send = send  # type: ignore[method-assign]


@pytest.mark.parametrize("lost", ["statement", "request", "answer"])
async def test_every_decision_is_made_once_however_many_answers_are_lost(
    postgres: PostgresServer, lost: Literal["statement", "request", "answer"]
) -> None:
    """MB-09: no run fails, none is executed twice, and each has one end."""
    async with postgres_store(postgres) as store:
        with lost_commits(store._db, lost, every=3) as seen:
            async with open_fake_core(store=store) as core:
                ids = [f"r-{n}" for n in range(40)]
                async with trio.open_nursery() as nursery:
                    for run_id in ids:
                        nursery.start_soon(_submit, core, run_id)
                for run_id in ids:
                    await wait_ended(core, run_id)
            assert seen[0] > 10
        rows = [await get(store, run_id) for run_id in ids]
        assert [(row.state, row.attempt) for row in rows] == [("completed", 1)] * 40
        await check_log(store)


async def _submit(core: Any, run_id: str) -> None:
    """As a client does: who is told that the log is away comes again under the same id."""
    while True:
        try:
            await core.submitter.submit(request(run_id=run_id))
        except StoreUnavailable:
            await trio.sleep(0.05)
        else:
            return


async def test_a_turn_that_somebody_else_holds_is_waited_for_within_bounds(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MB-08: a session that stands still within a transaction does not hold the log for ever."""
    monkeypatch.setattr(engine, "TURN_SECONDS", 1)
    async with postgres_store(postgres) as store:
        await store.commit([enqueue()])
        held = psycopg.connect(postgres.url)
        held.execute(f"SELECT head FROM {store._db.schema}.log FOR UPDATE".encode())
        with pytest.raises(StoreAway, match="lock timeout"):
            await store.commit([enqueue("r2")])
        held.close()
        await store.commit([enqueue("r2")])
        await check_log(store)


# -- other daemons


async def test_a_box_with_a_name_that_another_has_is_refused_and_touches_nothing(
    postgres: PostgresServer,
) -> None:
    """MB-12: neither another machine, nor another state folder of this one; until the lease is over."""
    async with postgres_store(postgres, lease_seconds=6) as store:
        await start(store)
        schema = store._db.schema
        with pytest.raises(LogInUse, match=r"has a box here already.*\(life-1\)"):
            async with postgres_store(
                postgres, schema=schema, life="life-2", machine="elsewhere"
            ):
                pass
        await store.commit([append("r1", Log(text="x"))])
        postgres.ask(f"UPDATE {schema}.boxes SET until = 0")
        async with postgres_store(
            postgres, schema=schema, life="life-2", machine="elsewhere"
        ) as second:
            with pytest.raises(LeaseLost, match="another one is there by now, life-2"):
                await store.commit([append("r1", Log(text="late"))])
            assert (await second.sharing.forsaken()).boxes == ()
            await check_log(second)


async def test_a_daemon_that_ends_with_runs_of_its_own_has_not_left(
    postgres: PostgresServer,
) -> None:
    """MB-05: its lease is over by its own count, and its processes may still be ending: others wait."""
    schema = postgres.new_schema()
    async with postgres_store(
        postgres, schema=schema, life="life-2", box="there"
    ) as second:
        async with postgres_store(postgres, schema=schema) as store:
            await start(store)
            postgres.ask(f"UPDATE {schema}.runs SET host = 'here' WHERE run_id = 'r1'")
        assert (await second.sharing.forsaken()).runs == frozenset()
        sql = f"UPDATE {schema}.runs SET life = NULL, state = 'queued'"
        postgres.ask(f"{sql} WHERE run_id = 'r1'")
        async with postgres_store(postgres, schema=schema, life="life-3"):
            pass
        [(state,)] = postgres.ask(
            f"SELECT state FROM {schema}.boxes WHERE box <> 'there'"
        )
        assert state == "left"


async def test_the_next_life_on_a_box_has_it_at_once(
    postgres: PostgresServer,
) -> None:
    """MB-02: whether the one before it ended in order or not."""
    schema = postgres.new_schema()
    async with postgres_store(postgres, schema=schema) as store:
        await start(store)
        epoch, log_id = store.epoch, store.log_id
        # As after kill -9: the lease goes on, and says nothing against the same folder.
        store._db.close()
        async with postgres_store(postgres, schema=schema, life="life-2") as second:
            assert (second.epoch, second.log_id) == (epoch, log_id)
            assert [row.run_id for row in await second.open_runs()] == ["r1"]
            await second.commit([append("r1", Log(text="x"))])
            # The first comes back, and finds that it is not its box any more.
            with pytest.raises(LeaseLost, match="another one is there by now, life-2"):
                await store.commit([append("r1", Log(text="late"))])
            with pytest.raises(StoreBroken):
                await store.check_files()
            assert await types(second, "r1") == ["run.queued", "run.started", "log"]
            await check_log(second)


async def test_a_box_that_left_in_order_is_anybodys(postgres: PostgresServer) -> None:
    """MB-13: its lease is given back with it."""
    schema = postgres.new_schema()
    async with postgres_store(postgres, schema=schema) as store:
        await one(store, completed(await start(store)))
        sql = f"SELECT state FROM {schema}.boxes"
        assert postgres.ask(sql) == [("here",)]
    assert postgres.ask(sql) == [("left",)]
    async with postgres_store(
        postgres, schema=schema, life="life-2", machine="elsewhere"
    ) as store:
        await check_log(store)


async def test_a_box_whose_runs_were_not_let_go_is_not_left(
    postgres: PostgresServer,
) -> None:
    """RS-03: one that would not unwind may go on for a while; its lease says how long."""
    async with postgres_store(postgres) as store:
        await start(store)
    sql = f"SELECT state FROM {store._db.schema}.boxes"
    assert postgres.ask(sql) == [("here",)]


async def test_every_commit_renews_the_lease_and_nothing_is_written_without_one(
    postgres: PostgresServer,
) -> None:
    """RS-03: judged by the server's clock; a commit of nothing renews it as well."""
    asked: list[int] = []
    async with postgres_store(
        postgres, lease_seconds=30, on_renewed=asked.append
    ) as store:
        schema = store._db.schema
        sql = f"SELECT until - seen, seen FROM {schema}.boxes"
        seen = [postgres.ask(sql)[0]]
        for batch in ([enqueue()], []):
            before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            await store.commit(batch)
            assert before <= asked[-1] <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            seen.append(postgres.ask(sql)[0])
        assert [round(length / 1e6) for length, _ in seen] == [30] * 3
        renewed = [at for _, at in seen]
        assert renewed == sorted(set(renewed))
        # A turn in which nothing was written is no commit, and renews nothing.
        await store.commit([claim(0)])
        assert postgres.ask(sql) == [seen[-1]]
        # The first one was the start's.
        assert len(asked) == 3
        postgres.ask(f"UPDATE {schema}.boxes SET until = seen")
        with pytest.raises(LeaseLost, match="its lease is over"):
            await store.commit([enqueue("late")])
        with pytest.raises(StoreBroken):
            await store.commit([enqueue("later")])
        assert [row.run_id for row in await store.runs(RunFilter())] == ["r1"]


async def test_a_daemon_of_an_older_release_must_be_gone_before_boxes_are_made(
    postgres: PostgresServer,
) -> None:
    """MB-14: it had the log alone, and holds the server's lock for that."""
    schema = postgres.new_schema()
    async with postgres_store(postgres, schema=schema) as store:
        await start(store)
    make_first_version(postgres, schema, owner="life-1", box="here", machine="here")
    with closing(psycopg.connect(postgres.url, autocommit=True)) as before:
        before.execute(
            "SELECT pg_advisory_lock(hashtext('penstock'), hashtext(%s))", (schema,)
        )
        with pytest.raises(StartRefused, match="whose daemon on the box here still"):
            async with postgres_store(postgres, schema=schema, life="life-2"):
                pass
    # Another box waits for as long as if it had a lease; its own goes on at once.
    async with postgres_store(
        postgres, schema=schema, life="life-2", box="there"
    ) as other:
        assert await other.sharing.forsaken() == Forsaken((), frozenset())
    async with postgres_store(postgres, schema=schema, life="life-3") as store:
        [row] = await store.open_runs()
        # It was submitted there, and stays.
        assert (row.host, row.origin, row.needs) == ("here", "here", {"box": "here"})
        await check_log(store)


def make_first_version(server: PostgresServer, schema: str, **owner: str) -> None:
    """Turn a log into one as the first release of this store left it."""
    server.ask(f"DROP TABLE {schema}.boxes")
    newer = (("runs", "needs"), ("runs", "origin"), ("runs", "dismissed"), ("schedules", "origin"))  # fmt: skip
    for table, name in newer:
        server.ask(f"ALTER TABLE {schema}.{table} DROP COLUMN {name}")
    for name in ("past", "timeline", "settling", "untold", "tables"):
        server.ask(f"ALTER TABLE {schema}.log DROP COLUMN {name}")
    for name in ("owner", "box", "machine"):
        server.ask(f"ALTER TABLE {schema}.log ADD {name} TEXT NOT NULL DEFAULT ''")
        server.ask(f"UPDATE {schema}.log SET {name} = %s", owner[name])
    server.ask(f"UPDATE {schema}.log SET version = 1")
    server.ask(f"UPDATE {schema}.runs SET host = 'node' WHERE life IS NOT NULL")


async def test_commits_of_others_between_are_no_sign_that_a_lost_answer_was_one(
    postgres: PostgresServer,
) -> None:
    """MB-09: with several daemons only what each did itself tells."""
    schema = postgres.new_schema()
    async with (
        postgres_store(postgres, schema=schema) as store,
        postgres_store(postgres, schema=schema, life="life-2", box="there") as other,
    ):
        cuts: tuple[Literal["statement", "request", "answer"], ...] = (
            "statement",
            "request",
            "answer",
        )
        for lost in cuts:
            batch = [enqueue(lost)]
            with lost_commits(store._db, lost), pytest.raises(StoreUnavailable):
                await store.commit(batch)
            await other.commit([enqueue(f"other {lost}")])
            told = await store.recall(0)
            assert (told is None) == (lost != "answer")
            assert (await store.run(lost) is None) == (lost != "answer")
        await check_log(store)


async def test_a_server_that_lost_what_it_acknowledged_ends_the_daemon(
    postgres: PostgresServer,
) -> None:
    """MB-10: and the log has another epoch from then on, however little was lost."""
    async with postgres_store(postgres) as store:
        await start(store)
        schema, epoch = store._db.schema, store.epoch
        # As a standby has it that was promoted before it heard of the last commit.
        postgres.ask(f"UPDATE {schema}.log SET changes = changes - 1, head = head - 1")
        postgres.ask(
            f"DELETE FROM {schema}.events WHERE position > (SELECT head FROM {schema}.log)"
        )
        with pytest.raises(
            StoreBroken, match="lost 1 commits that it had acknowledged"
        ):
            await store.commit([enqueue("r2")])
        with pytest.raises(StoreBroken):
            await store.commit([enqueue("r2")])
    async with postgres_store(postgres, schema=schema, life="life-2") as second:
        assert second.epoch != epoch
        assert await second.run("r2") is None


@contextmanager
def open_pair(
    folder: Path,
) -> Iterator[tuple[PostgresServer, PostgresServer, str]]:
    """A primary, a standby that is off, and the address of whichever writes."""
    with (
        open_postgres(folder) as primary,
        open_postgres(folder, empty=True) as standby,
    ):
        primary.copy_to(standby)
        hosts = f"{primary.folder},{standby.folder}"
        yield primary, standby, f"postgresql://penstock@/penstock?host={hosts}"


async def _lose_a_commit(store: PostgresStore, standby: PostgresServer) -> None:
    """The standby has the run "kept", and is off while "lost" is recorded."""
    standby.start()
    await store.commit([enqueue("kept")])
    await _until(lambda: standby.ask("SELECT to_regclass('log.events')") != [(None,)])
    await _until(lambda: standby.ask("SELECT count(*) FROM log.events") == [(1,)])
    standby.stop()
    await store.commit([enqueue("lost")])


def _promote(standby: PostgresServer, primary: PostgresServer) -> None:
    """The primary breaks down, and the standby takes its place."""
    primary.stop(signal.SIGQUIT)
    standby.start()
    assert standby.ask("SELECT pg_promote()") == [(True,)]


async def test_a_standby_that_lagged_and_was_promoted_is_another_epoch(
    keeper: None, tmp_path: Path
) -> None:
    """MB-10: the daemon finds it by two addresses, and ends before it writes a word to it."""
    with open_pair(tmp_path) as (primary, standby, url):
        async with postgres_store(primary, schema="log", url=url) as store:
            await _lose_a_commit(store, standby)
            _promote(standby, primary)
            # By the next connection, which the same commit makes.
            with pytest.raises(StoreBroken, match="lost 1 commits"):
                await store.commit([enqueue("next")])
            epoch = store.epoch
        async with postgres_store(
            primary, schema="log", url=url, life="life-2"
        ) as second:
            assert second.epoch != epoch
            assert [r.run_id for r in await second.runs(RunFilter())] == ["kept"]
            await check_log(second)


async def test_of_several_daemons_each_finds_that_its_own_commits_were_lost(
    keeper: None, tmp_path: Path
) -> None:
    """MB-10: by what each has seen, one gives the log another epoch, and all of them end.

    What was lost is another's, and as many commits came after it.
    """
    with open_pair(tmp_path) as (primary, standby, url):
        async with (
            postgres_store(primary, schema="log", url=url) as store,
            postgres_store(
                primary, schema="log", url=url, life="life-2", box="there"
            ) as other,
        ):
            await _lose_a_commit(store, standby)
            # The other one has written nothing since, and has seen it.
            assert len(await other.read_all()) == 2
            _promote(standby, primary)
            with pytest.raises(
                StoreBroken, match="lost facts that it had acknowledged"
            ):
                await other.commit([enqueue("next")])
            for _ in range(2):
                with pytest.raises((StoreAway, StoreBroken)) as error:
                    await store.commit([enqueue("next")])
            assert "has another epoch" in str(error.value)
        async with postgres_store(
            primary, schema="log", url=url, life="life-3"
        ) as second:
            # Who comes back with a place of the epoch before gives it no third one.
            assert second.past_epochs == {store.epoch}
            assert second.epoch != store.epoch
            assert [r.run_id for r in await second.runs(RunFilter())] == ["kept"]
            await check_log(second)


async def test_on_another_server_nobody_claims_until_all_have_said_that_they_lack_nothing(
    postgres: PostgresServer,
) -> None:
    """MB-10: a claim that was lost would be executed by the box that made it, and by another."""
    schema = postgres.new_schema()
    async with (
        postgres_store(postgres, schema=schema) as store,
        postgres_store(postgres, schema=schema, life="life-2", box="there") as other,
    ):
        await store.commit([enqueue("r1"), enqueue("r2"), enqueue("r3")])
        assert (await one(other, claim(1, life="life-2"))).started

        async def started() -> int:
            return len((await one(other, claim(5, life="life-2"))).started)

        def fail_over() -> None:
            """As a server has it that took the place of the one they had."""
            postgres.ask(f"UPDATE {schema}.log SET timeline = '0'")
            postgres.ask(f"UPDATE {schema}.boxes SET era = 'before'")

        until_here = f"SELECT until FROM {schema}.boxes WHERE box = 'here'"
        postgres.ask(f"UPDATE {schema}.boxes SET until = seen WHERE box = 'here'")
        fail_over()
        assert await started() == 0
        # And what is known of the other one's lease may be old.
        assert (await other.sharing.forsaken()).boxes == ()
        assert await started() == 0
        await store.commit([append("r1", Log(text="x"))])
        assert await started() == 2
        # One that is gone is waited for as long as its lease may be.
        [(until,)] = postgres.ask(until_here)
        fail_over()
        assert await started() == 0
        await store.commit([enqueue("r4", capacity=None)])
        fail_over()
        assert await started() == 0
        assert postgres.ask(until_here)[0][0] > until
        postgres.ask(f"UPDATE {schema}.boxes SET until = 0 WHERE box = 'here'")
        assert await started() == 1


async def test_another_fact_in_the_place_of_one_that_was_seen_tells_of_a_loss(
    postgres: PostgresServer,
) -> None:
    """MB-10: the head and the number of commits may be what they were."""
    schema = postgres.new_schema()
    async with (
        postgres_store(postgres, schema=schema) as store,
        postgres_store(postgres, schema=schema, life="life-2", box="there") as other,
    ):
        await store.commit([enqueue("r1")])
        await other.read_all()
        sql = f"UPDATE {schema}.events SET event_id = %s WHERE position = 1"
        postgres.ask(sql, os.urandom(16))
        with pytest.raises(StoreBroken, match="lost facts"):
            await other.commit([enqueue("r2")])


async def test_who_listens_hears_of_facts_of_others_and_not_of_its_own(
    postgres: PostgresServer,
) -> None:
    """RS-03: and again after its connection was cut; what it misses it finds by looking."""
    schema = postgres.new_schema()
    async with (
        postgres_store(postgres, schema=schema) as store,
        postgres_store(postgres, schema=schema, life="life-2", box="there") as other,
    ):
        await store.commit([enqueue("r1")])
        # The first word comes with the first listening: what was before is not told.
        await store.sharing.wait_written(30)
        for _ in range(2):
            heard = trio.Event()

            async def listen(heard: trio.Event = heard) -> None:
                await store.sharing.wait_written(60)
                heard.set()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(listen)
                with trio.move_on_after(0.5):
                    await store.commit(
                        [append("r1", Log(text="own"))]
                        if await store.run("r1")
                        else [enqueue("r1")]
                    )
                    await heard.wait()
                assert not heard.is_set()
                with trio.fail_after(30):
                    await other.commit([append("r1", Log(text="other"))])
                    await heard.wait()
            for (pid,) in postgres.ask(
                "SELECT pid FROM pg_stat_activity WHERE starts_with(query, 'LISTEN')"
            ):
                postgres.ask("SELECT pg_terminate_backend(%s)", pid)
            with trio.fail_after(30):
                await store.sharing.wait_written(0.1)
                await store.sharing.wait_written(20)


async def test_a_daemon_that_is_stopped_within_a_turn_takes_no_lease_of_others(
    postgres: PostgresServer,
) -> None:
    """MB-04: however short their leases are."""
    schema = postgres.new_schema()
    async with (
        postgres_store(postgres, schema=schema, lease_seconds=6) as store,
        postgres_store(
            postgres, schema=schema, life="life-2", box="there", lease_seconds=6
        ) as other,
    ):
        other._db.lock()
        other._db.execute("UPDATE log SET floor = floor")
        await _patiently(partial(store.commit, [enqueue("r1")]))
        assert (await store.sharing.forsaken()).boxes == ()
        other._db.rollback()


async def test_the_server_asks_whether_a_daemons_box_is_still_there(
    postgres: PostgresServer,
) -> None:
    """Law 5: else it kept the lock of a box that lost its power for two hours.

    By what the session was told: over the Unix socket of this test it means nothing.
    """
    async with postgres_store(postgres) as store:
        sql = "SELECT name, reset_val FROM pg_settings WHERE name LIKE 'tcp_%'"
        for db in store._all:
            told = dict(db.execute(sql).fetchall())
            assert told["tcp_keepalives_idle"] == "10"
            assert told["tcp_keepalives_interval"] == "10"
            # As much of what was sent and not acknowledged, for which no keepalive is sent.
            assert told["tcp_user_timeout"] == "15000"


async def _until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(30):
        while not holds():  # noqa: ASYNC110  (another process tells nothing)
            await trio.sleep(0.05)


async def test_a_server_that_takes_calls_and_answers_none_is_given_up(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MB-06: reads and commits have a deadline of the daemon's own; afterwards all goes on."""
    monkeypatch.setattr(far_store, "CALL_SECONDS", 1.0)
    async with postgres_store(postgres) as store:
        row = await start(store)
        await store.read_all()
        stopped = postgres.sessions()
        assert len(stopped) >= 2
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable):
                await store.commit([append("r1", Log(text="x"), fence=row.fence)])
            facts = await _patiently(store.read_all)
            assert [fact.type for fact in facts] == ["run.queued", "run.started"]
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        said = append("r1", Log(text="y"), fence=row.fence)
        await _patiently(partial(store.commit, [said]))
        await check_log(store)


@pytest.mark.parametrize("when", ["start", "end"])
async def test_a_start_and_an_end_that_get_no_answer_are_given_up(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """MB-06: in both no cancel is heard, so that nothing but the deadline ends them."""
    monkeypatch.setattr(far_store, "CALL_SECONDS", 1.0)
    stopped: list[int] = []
    answered = trio.CancelScope()

    async def answer_after_all() -> None:
        with answered:
            await trio.sleep(20)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)

    def stop_sessions() -> None:
        stopped[:] = postgres.sessions()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)

    def stop_and_prepare(db: Statements, *whose: str) -> None:
        stop_sessions()
        prepare(db, *whose)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer_after_all)
        if when == "start":
            monkeypatch.setattr(ownership, "prepare", stop_and_prepare)
            with pytest.raises(StartRefused, match="cannot be opened"):
                async with postgres_store(postgres):
                    pass
        else:
            with trio.CancelScope() as ending:
                async with postgres_store(postgres) as store:
                    await start(store)
                    stop_sessions()
                    ending.cancel()
                    await trio.sleep_forever()
        assert stopped
        assert nursery.child_tasks, "it came to an end because it was answered"
        answered.cancel()


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """What it gives, however often the server must be asked."""
    with trio.fail_after(60):
        while True:
            try:
                return await call()
            except StoreUnavailable:
                await trio.sleep(0.05)


async def test_a_daemon_that_is_stopped_within_a_turn_loses_it(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RS-03: the server ends its session, so the next life can have the log; what it began is undone."""
    monkeypatch.setattr(engine, "IDLE_SECONDS", 1)
    async with postgres_store(postgres) as store:
        await start(store)
        schema, seen = store._db.schema, len(await store.read_all())
        store._db.lock()
        store._db.execute("DELETE FROM events")
        with trio.fail_after(30):
            while True:
                try:
                    async with postgres_store(
                        postgres, schema=schema, life="life-2"
                    ) as second:
                        assert len(await second.read_all()) == seen
                        break
                except StartRefused:
                    await trio.sleep(0.1)
        with pytest.raises((psycopg.Error, StoreBroken)):
            store._db.save()
        store._db.rollback()


# -- what a start refuses, and what ends a daemon


async def test_a_schema_of_a_newer_release_is_left_as_it_is(
    postgres: PostgresServer,
) -> None:
    """ST-12"""
    async with postgres_store(postgres) as store:
        schema = store._db.schema
    postgres.ask(f"UPDATE {schema}.log SET version = {VERSION + 1}")
    with pytest.raises(StartRefused, match=f"version {VERSION + 1}, made by a newer"):
        async with postgres_store(postgres, schema=schema):
            pass


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("fsync", "off", "has `fsync = off`"),
        ("synchronous_commit", "off", "has `synchronous_commit = off`"),
        ("default_transaction_read_only", "on", "takes no writes"),
    ],
)
async def test_a_server_that_keeps_nothing_is_refused(
    postgres: PostgresServer, name: str, value: str, why: str
) -> None:
    postgres.stop()
    postgres.start(**{name: value})
    try:
        with pytest.raises(StartRefused, match=why):
            async with postgres_store(postgres):
                pass
    finally:
        postgres.stop()
        postgres.start()


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://penstock:word@db.example/penstock",
        "postgresql://penstock@db.example/penstock?password=word",
        "postgresql://penstock@db.example/penstock?sslkey=its.key&sslpassword=word",
    ],
)
def test_an_address_with_a_password_is_refused(address: str) -> None:
    """Whoever may read settings, or what is told of them, would have it."""
    with pytest.raises(ValidationError, match="must have no password"):
        Config(store=address)


async def test_a_server_that_cannot_be_had_is_told_in_a_sentence(
    postgres: PostgresServer,
) -> None:
    for url in (
        postgres.url.replace("/penstock?", "/nowhere?"),
        postgres.url.replace("penstock@", "nobody@"),
        postgres.url + "/elsewhere",
    ):
        with pytest.raises(StartRefused) as error:
            async with postgres_store(postgres, url=url):
                pass
        assert "cannot be opened" in str(error.value)
        assert "\n" not in str(error.value)


async def test_what_the_address_says_to_libpq_is_passed_on(
    postgres: PostgresServer,
) -> None:
    """Its own bounds and settings too; those that the log rests on are the log's."""
    options = "options=-c%20work_mem%3D5MB%20-c%20statement_timeout%3D0"
    url = f"{postgres.url}&application_name=mine&connect_timeout=3&{options}"
    async with postgres_store(postgres, url=url) as store:
        shown = [
            store._db.execute("SELECT current_setting(?)", (name,)).fetchone()[0]
            for name in ("application_name", "work_mem", "statement_timeout")
        ]
        assert shown == ["mine", "5MB", "10s"]


async def test_a_table_that_is_gone_ends_the_daemon(postgres: PostgresServer) -> None:
    async with postgres_store(postgres) as store:
        await start(store)
        postgres.ask(f"DROP TABLE {store._db.schema}.specs")
        with pytest.raises(StoreBroken, match="no longer what it was"):
            await store.commit([enqueue("r2")])
        with pytest.raises(StoreBroken):
            await store.commit([])


# -- values


async def test_a_text_with_a_nul_hurts_nobody(postgres: PostgresServer) -> None:
    """Facts are bytes and have it; a column of text cannot."""
    async with postgres_store(postgres) as store:
        await start(store)
        await one(store, RequestCancel("r1", "no\0more", at()))
        assert (await get(store, "r1")).cancel_requested == "no\ufffdmore"
        *_, asked = await store.read("r1")
        assert asked.event.reason == "no\0more"  # type: ignore[union-attr]


async def test_words_are_found_on_any_page(postgres: PostgresServer) -> None:
    async with postgres_store(postgres) as store:
        await store.commit(
            [
                enqueue(
                    f"r{n}", capacity=None, inputs={"argv": ["echo", f"Straße-{n}"]}
                )
                for n in range(250)
            ]
        )
        found = await store.runs(RunFilter(words=("STRASSE-3'",), limit=5))
        assert [row.run_id for row in found] == ["r3"]
        found = await store.runs(RunFilter(words=("echo",), without=("-24",), limit=3))
        assert [row.run_id for row in found] == ["r239", "r238", "r237"]


async def test_what_is_forgotten_is_taken_off_the_size(
    postgres: PostgresServer,
) -> None:
    """RS-05: within one turn, without counting all rows again for each run."""
    async with postgres_store(postgres) as store:
        for n in range(4):
            row = await start(store, f"r{n}")
            text = Log(text="x" * 50_000)
            await store.commit([append(f"r{n}", text, fence=row.fence), completed(row)])
        size, asked = await store.size(), list[str]()
        with counted(store._db, asked, []):
            pruned = await one(
                store,
                Prune(before=at(-1), keep=100, max_bytes=size - 90_000, limit=10,
                      tombstones_before=at(-1), max_tombstones=10),
            )  # fmt: skip
        assert pruned.runs == ("r0", "r1")
        assert sum("FROM events" in sql and "sum(octet" in sql for sql in asked) == 1
        assert await store.size() < size - 90_000


async def test_a_store_closes_while_the_server_is_away(
    postgres: PostgresServer,
) -> None:
    async with postgres_store(postgres) as store:
        await start(store)
        postgres.stop(signal.SIGQUIT)
    postgres.start()
    assert isinstance(store, PostgresStore)
