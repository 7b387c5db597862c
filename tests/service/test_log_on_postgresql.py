"""A real daemon whose log is in a real PostgreSQL."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.postgres import PostgresServer
from fakes.real_daemon import RealDaemon, penstock
from penstock.words.address import find_paths

pytestmark = [pytest.mark.processes, pytest.mark.sockets]


def test_a_daemon_that_is_killed_goes_on_with_its_log(
    postgres: PostgresServer, start_daemon: Callable[..., RealDaemon], home: Path
) -> None:
    """MB-02: its processes end with it, and its next life repeats what was cut off; audited elsewhere."""
    settings = {
        "PENSTOCK_STORE": postgres.url,
        "PENSTOCK_STORE_SCHEMA": postgres.new_schema(),
    }
    first = start_daemon(**settings)
    done = penstock(first, "run", "--id", "before", "--", "echo", "hello")
    assert (done.returncode, done.stdout) == (0, "hello\n")
    again = "test -e second && echo again || { touch second; exec sleep 600; }"
    submitted = penstock(
        first, "submit", "--id", "cut", "--on-restart", "requeue", "--shell", again
    )
    assert submitted.returncode == 0, submitted.stderr
    while not (home / "second").exists():
        assert first.process.poll() is None
        time.sleep(0.02)
    first.stop(signal.SIGKILL)
    second = start_daemon(**settings)
    assert penstock(second, "wait", "cut").returncode == 0
    schema = settings["PENSTOCK_STORE_SCHEMA"]
    sql = f"SELECT run_id, state, attempt FROM {schema}.runs WHERE key > 0 ORDER BY key"
    assert postgres.ask(sql) == [("before", "completed", 1), ("cut", "completed", 2)]


def test_verbs_for_a_whole_log_read_the_one_that_a_daemon_writes(
    postgres: PostgresServer, start_daemon: Callable[..., RealDaemon]
) -> None:
    """ST-12: while it runs they read; what would write waits until it is gone."""
    daemon = start_daemon(
        PENSTOCK_STORE=postgres.url, PENSTOCK_STORE_SCHEMA=postgres.new_schema()
    )
    assert penstock(daemon, "run", "--id", "a", "true").returncode == 0
    exported = penstock(daemon, "export")
    assert '"type":"run.completed"' in exported.stdout, exported.stderr
    assert penstock(daemon, "audit").returncode == 0
    pruned = penstock(daemon, "prune", "--keep", "0")
    assert pruned.returncode != 0
    assert "it forgets old runs by itself" in pruned.stderr
    assert daemon.stop() == 0
    pruned = penstock(daemon, "prune", "--keep", "0", "--json")
    assert '"runs": ["a"]' in pruned.stdout, pruned.stderr
    assert "PostgreSQL" in daemon.log.read_text()


def test_a_second_daemon_is_refused_wherever_its_state_folder_is(
    postgres: PostgresServer, start_daemon: Callable[..., RealDaemon], tmp_path: Path
) -> None:
    """MB-12"""
    settings = {
        "PENSTOCK_STORE": postgres.url,
        "PENSTOCK_STORE_SCHEMA": postgres.new_schema(),
    }
    first = start_daemon(**settings)
    with pytest.raises(AssertionError, match="give this one another name"):
        start_daemon(
            **settings,
            PENSTOCK_STATE_DIR=str(tmp_path / "state"),
            PENSTOCK_RUNTIME_DIR=str(tmp_path / "run"),
        )
    assert penstock(first, "run", "true").returncode == 0


def test_a_server_that_holds_another_log_than_it_did_is_refused(
    postgres: PostgresServer, start_daemon: Callable[..., RealDaemon]
) -> None:
    """ST-12: an address that leads elsewhere by now must not begin an empty log, nor go on with another's."""
    schema = postgres.new_schema()
    settings = {"PENSTOCK_STORE": postgres.url, "PENSTOCK_STORE_SCHEMA": schema}
    daemon = start_daemon(**settings)
    assert penstock(daemon, "run", "--id", "a", "true").returncode == 0
    state = find_paths(daemon.environ).mark
    mark = state.with_name(f"{state.name}-{schema}")
    while not mark.exists():
        assert daemon.process.poll() is None
        time.sleep(0.02)
    assert daemon.stop() == 0
    postgres.ask(f"ALTER SCHEMA {schema} RENAME TO {schema}_away")
    with pytest.raises(AssertionError, match=f"If it does, remove {mark}"):
        start_daemon(**settings)
    postgres.ask(f"DROP SCHEMA {schema} CASCADE")
    postgres.ask(f"ALTER SCHEMA {schema}_away RENAME TO {schema}")
    again = start_daemon(**settings)
    assert penstock(again, "wait", "a").returncode == 0


def test_a_log_that_was_moved_goes_on_with_its_runs(
    postgres: PostgresServer, start_daemon: Callable[..., RealDaemon], home: Path
) -> None:
    """ST-12: from a file by `penstock migrate`: what waits runs, and a start on the file says where it is."""
    first = start_daemon()
    assert penstock(first, "run", "--id", "before", "true").returncode == 0
    assert penstock(first, "pause").returncode == 0
    waits = penstock(first, "submit", "--id", "waits", "--", "sh", "-c", "echo $HELLO")
    assert waits.returncode == 0, waits.stderr
    to = ["--to", postgres.url, "--schema", postgres.new_schema()]
    refused = penstock(first, "migrate", *to)
    assert refused.returncode == 1
    assert "holds the lock" in refused.stderr
    assert first.stop() == 0
    moved = penstock(first, "migrate", *to)
    assert moved.returncode == 0, moved.stderr
    assert "is kept, and marked as moved" in moved.stderr
    with pytest.raises(AssertionError, match="was moved to the schema"):
        start_daemon()
    settings = {"PENSTOCK_STORE": postgres.url, "PENSTOCK_STORE_SCHEMA": to[-1]}
    second = start_daemon(**settings)
    assert penstock(second, "show", "before").returncode == 0
    assert penstock(second, "resume").returncode == 0
    done = penstock(second, "wait", "waits")
    assert done.returncode == 0, done.stderr
    assert penstock(second, "audit").returncode == 0
