"""A real daemon whose log is in a real PostgreSQL."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.postgres import PostgresServer
from fakes.real_daemon import RealDaemon

#: The command line, in a process of its own.
PENSTOCK = [sys.executable, "-m", "penstock.cli.main"]

pytestmark = [pytest.mark.processes, pytest.mark.sockets]


def penstock(daemon: RealDaemon, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PENSTOCK, *words],
        cwd=daemon.environ["HOME"],
        env=daemon.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )


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
    with pytest.raises(AssertionError, match="has the log in the schema"):
        start_daemon(
            **settings,
            PENSTOCK_STATE_DIR=str(tmp_path / "state"),
            PENSTOCK_RUNTIME_DIR=str(tmp_path / "run"),
        )
    assert penstock(first, "run", "true").returncode == 0
