"""MB-04: a daemon whose own count of its lease is over writes nothing more, and gives nobody's turn away."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio

from fakes.postgres import PostgresServer
from fakes.stores import LIFE, enqueue
from fakes.stores_elsewhere import BOX, postgres_store
from penstock.log.filters import RunFilter
from penstock.log.postgresql.ownership import Owner
from penstock.log.postgresql.store import open_postgresql
from penstock.log.sqlite.store import threads
from penstock.log.tables.queries import READERS
from penstock.words.errors import StoreBroken

pytestmark = [pytest.mark.processes, pytest.mark.sockets]


async def test_a_daemon_past_its_own_count_writes_nothing(
    postgres: PostgresServer,
) -> None:
    """MB-04: though the server would take it: what was ended by the lease is not recorded as a failure."""
    over: list[str] = []
    broken: list[str] = []
    schema = postgres.new_schema()
    with trio.fail_after(60):
        async with open_postgresql(
            postgres.url,
            schema=schema,
            owner=Owner(LIFE, BOX, BOX),
            on_broken=broken.append,
            why_over=lambda: over[0] if over else None,
            run_blocking=threads(1),
            run_reading=threads(READERS),
        ) as store:
            await store.commit([enqueue("before")])
            assert broken == []
            over.append("too late")
            for _ in range(2):
                with pytest.raises(StoreBroken, match="too late"):
                    await store.commit([enqueue("after")])
            assert set(broken) == {"too late"}
            assert [row.run_id for row in await store.runs(RunFilter())] == ["before"]
    # It did not end in order, so that nobody takes its runs before its lease is over.
    assert postgres.ask(f"SELECT state FROM {schema}.boxes") == [("here",)]


async def test_a_lease_that_is_lost_is_told_to_who_ends_the_daemon(
    postgres: PostgresServer,
) -> None:
    """MB-05: whoever asks first."""
    broken: list[str] = []
    schema = postgres.new_schema()
    with trio.fail_after(60):
        async with open_postgresql(
            postgres.url,
            schema=schema,
            owner=Owner(LIFE, BOX, BOX),
            on_broken=broken.append,
            run_blocking=threads(1),
            run_reading=threads(READERS),
        ) as store:
            postgres.ask(f"UPDATE {schema}.boxes SET until = seen")
            with pytest.raises(StoreBroken):
                await store.check_files()
            assert broken[0] == f"the lease of the box {BOX} is over"


#: The life of a daemon that has the turn.
HELD = "held/0123456789abcdef"


#: A daemon that stands still after its last statement, for which the server took its time.
HOLDER = """
import sys, time
from penstock.log.postgresql.engine import PostgresDb

url, schema, life = sys.argv[1:]
db = PostgresDb(url, schema, "held", life, lease_seconds=5.0)
db.begin()
db.execute("SELECT head FROM log FOR UPDATE").fetchone()
with db.connection.pipeline():
    db.connection.execute("SELECT pg_sleep(0.3)")
print("held", flush=True)
time.sleep(600)
"""


@contextmanager
def holding_turn(postgres: PostgresServer, schema: str) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, postgres.url, schema, HELD],
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            process.kill()


async def test_a_turn_that_its_holder_forgot_is_given_back(
    postgres: PostgresServer,
) -> None:
    """MB-04: the server forgets its own limit at the end of a pipeline, so whoever looks at leases minds it."""
    async with postgres_store(postgres) as store:
        schema = store._db.schema
        # A box of this log, whose limit is a second.
        columns = "machine, folder, state, until, seen, slots, labels, accept, version"
        postgres.ask(
            f"INSERT INTO {schema}.boxes (box, life, lease_seconds, {columns})"
            f" SELECT 'held', %s, 5, {columns} FROM {schema}.boxes",
            HELD,
        )
        name = f"penstock {HELD}"
        stuck = "SELECT 1 FROM pg_stat_activity WHERE state = 'idle in transaction' AND application_name = %s"
        with holding_turn(postgres, schema), trio.fail_after(30):
            assert postgres.ask(stuck, name)
            while postgres.ask(stuck, name):
                await store.sharing.forsaken()
                await trio.sleep(0.05)
            await store.commit([enqueue()])
