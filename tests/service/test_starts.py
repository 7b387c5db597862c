"""MB-06, MB-12: the start of a daemon whose log is on a server, while the box or the log is busy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from fakes.postgres import PostgresServer
from fakes.real_daemon import RealDaemon, penstock
from fakes.stores import LIFE
from penstock.log.postgresql.engine import TURN_SECONDS, PostgresDb
from penstock.log.postgresql.ownership import Owner, StartPatience, open_log
from penstock.words.errors import StartRefused

#: The command line, which notes what it imports while it has a lease.
NOTED = Path(__file__).parents[1] / "fakes" / "noted_imports.py"
#: Seconds that anything may take here.
PATIENCE = 60.0

pytestmark = [pytest.mark.processes, pytest.mark.sockets]


@contextmanager
def turn_held(server: PostgresServer, schema: str) -> Iterator[psycopg.Connection]:
    """Somebody's open transaction has the turn of this log, which is made here."""
    db = PostgresDb(server.url, schema, "there", LIFE)
    open_log(db, Owner(LIFE, "there", "there"), "log")
    db.close()
    with psycopg.connect(server.url) as holder:
        holder.execute(f'SELECT FROM "{schema}".log FOR UPDATE')
        yield holder


def test_a_start_waits_for_its_turn_longer_than_any_commit_does(
    postgres: PostgresServer, start_daemon: Callable[..., RealDaemon]
) -> None:
    """MB-06: and says so; others wrote as fast as they could, or somebody looked at the tables."""
    schema = postgres.new_schema()
    with turn_held(postgres, schema) as holder:
        giving_back = threading.Thread(target=give_back, args=(postgres, holder))
        giving_back.start()
        daemon = start_daemon(
            PENSTOCK_STORE=postgres.url,
            PENSTOCK_STORE_SCHEMA=schema,
            PENSTOCK_BOX="new",
        )
        giving_back.join(PATIENCE)
    assert "waiting for the log's turn" in daemon.log.read_text()
    assert penstock(daemon, "run", "true").returncode == 0


def give_back(server: PostgresServer, holder: psycopg.Connection) -> None:
    """Two seconds after whoever waits for the turn had given up, if it did so when a commit does."""
    waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    give_up = time.monotonic() + PATIENCE
    while not server.ask(waits) and time.monotonic() < give_up:
        time.sleep(0.1)
    time.sleep(TURN_SECONDS + 2)
    holder.rollback()


@pytest.mark.parametrize("given_up", ["too long", "stopped"])
def test_a_start_does_not_wait_for_ever(
    postgres: PostgresServer, given_up: str
) -> None:
    """MB-06: no longer than a service manager does, and not where it is to stop."""
    schema = postgres.new_schema()
    told: list[str] = []
    stopped = given_up == "stopped"
    patience = StartPatience(told.append, lambda: stopped, 8.0 if stopped else 0.0)
    with turn_held(postgres, schema):
        db = PostgresDb(postgres.url, schema)
        with pytest.raises(StartRefused, match="another session is in it"):
            open_log(db, Owner(LIFE, "new", "new"), "log", patience)
    assert told == []


def test_a_loop_that_has_a_lease_imports_nothing_of_size(
    postgres: PostgresServer,
    start_daemon: Callable[..., RealDaemon],
    tmp_path: Path,
) -> None:
    """MB-06: on a loaded box the frameworks take longer than a short lease, and no renewal goes out meanwhile."""
    noted = tmp_path / "noted"
    daemon = start_daemon(
        program=(str(NOTED), str(noted)),
        PENSTOCK_STORE=postgres.url,
        PENSTOCK_STORE_SCHEMA=postgres.new_schema(),
        PENSTOCK_BOX="new",
    )
    assert penstock(daemon, "run", "true").returncode == 0
    assert daemon.stop() == 0
    give_up = time.monotonic() + PATIENCE
    while not noted.exists():
        assert time.monotonic() < give_up
        time.sleep(0.02)
    rooms = {name.partition(".")[0] for name in noted.read_text().split()}
    assert not {"quart", "h11", "psycopg", "trio_websocket", "werkzeug"} & rooms
    assert "penstock" not in rooms
