"""ST-07: sessions that a server ends, or would; what is turned off beneath a daemon; and a server that is another's release."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from fakes.contract import check_log, get, types
from fakes.postgres import PostgresServer, open_postgres
from fakes.shared_log import open_box, open_shared_log
from fakes.stores import enqueue
from fakes.stores_elsewhere import postgres_store
from penstock.log.postgresql.engine import NEWER_BOUNDS, PostgresDb
from penstock.server.health import make_health
from penstock.words.errors import StartRefused
from penstock_drills.relay import open_relay

pytestmark = [pytest.mark.processes, pytest.mark.sockets]

#: Seconds that a server may take for what it was asked.
PATIENCE = 60.0


def end_session(server: PostgresServer, db: PostgresDb) -> None:
    """And wait until it is gone."""
    pid = db.connection.info.backend_pid
    server.ask("SELECT pg_terminate_backend(%s)", pid)
    give_up = time.monotonic() + PATIENCE
    while pid in server.sessions():
        assert time.monotonic() < give_up
        time.sleep(0.01)


async def test_a_session_that_was_ended_meanwhile_refuses_nobody(
    postgres: PostgresServer,
) -> None:
    """ST-07: its end says nothing of the server as it is now, so that no new run is told to come again."""
    async with postgres_store(postgres) as store:
        await store.commit([enqueue("r1")])
        end_session(postgres, store._db)
        await store.commit([enqueue("r2")])
        for db in store._all:
            end_session(postgres, db)
        assert (await get(store, "r2")).run_id == "r2"
        await store.commit([enqueue("r3")])
        assert await types(store, "r3") == ["run.queued"]
        await check_log(store)


async def test_a_session_whose_statements_were_forgotten_is_made_anew(
    postgres: PostgresServer,
) -> None:
    """ST-07: as somebody's pooler does between two who use it."""
    async with postgres_store(postgres) as store:
        await store.commit([enqueue("r1")])
        await get(store, "r1")
        for db in store._all:
            # Behind the back of the library, which would hear of it.
            db.connection.pgconn.exec_(b"DEALLOCATE ALL")
        await store.commit([enqueue("r2")])
        assert (await get(store, "r2")).run_id == "r2"
        await check_log(store)


async def test_bounds_of_all_sessions_do_not_bind_those_of_a_daemon(
    postgres: PostgresServer,
) -> None:
    """ST-07: whatever of them the server knows."""
    (version,) = postgres.ask("SELECT current_setting('server_version_num')::int")[0]
    known = [name for name, since in NEWER_BOUNDS.items() if version >= since]
    for name in known:
        postgres.ask(f"ALTER ROLE penstock SET {name} = '200ms'")
    try:
        async with postgres_store(postgres) as store:
            for db in store._all:
                for name in known:
                    sql = "SELECT current_setting(?)"
                    assert db.execute(sql, (name,)).fetchone() == ("0",)
    finally:
        postgres.ask("ALTER ROLE penstock RESET ALL")


async def test_a_server_that_says_it_is_older_is_refused_by_its_version(
    postgres: PostgresServer,
) -> None:
    """ST-12: before it is asked for anything that it may not know."""
    [(version,)] = postgres.ask("SELECT current_setting('server_version_num')::int")
    told = f"server_version\0{version // 10000}.".encode()
    async with open_relay(postgres.socket) as relay:
        relay.edit = lambda data: data.replace(told, b"server_version\x0011.")
        url = f"postgresql://penstock@127.0.0.1:{relay.port}/penstock"
        with pytest.raises(StartRefused, match="PostgreSQL 11; this needs 12"):
            async with postgres_store(postgres, url=url, schema="older"):
                pass
    assert postgres.ask("SELECT to_regnamespace('older')") == [(None,)]


@pytest.fixture
def own(keeper: None, tmp_path: Path) -> Iterator[PostgresServer]:
    """A server that is spoiled."""
    with open_postgres(tmp_path) as server:
        yield server


async def test_writes_that_are_not_brought_to_the_disk_any_more_are_told(
    own: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    """ST-03: a start is refused then; a daemon that runs goes on, and says so until that is over."""
    async with postgres_store(own) as store:
        await store.sharing.forsaken()
        assert store.sharing.amiss is None
        for change, amiss in (("SET fsync = off", True), ("RESET fsync", False)):
            own.ask(f"ALTER SYSTEM {change}")
            own.ask("SELECT pg_reload_conf()")
            with trio.fail_after(PATIENCE):
                while (store.sharing.amiss is not None) != amiss:
                    await store.sharing.forsaken()
            await store.commit([enqueue()])
        assert caplog.text.count("`fsync") == 2


async def test_what_is_amiss_with_the_server_is_told_by_health(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-03"""
    async with open_shared_log() as log, open_box(log, "ann") as (core, store):
        assert (await make_health(core)()).reasons == ()
        store.amiss = "the disk is a ramdisk"
        assert (await make_health(core)()).reasons == ("the disk is a ramdisk",)
