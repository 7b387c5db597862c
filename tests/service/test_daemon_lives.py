"""RS-01: what a hostile box does to a daemon, and that it lives. Real daemons, real limits."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from fakes.real_daemon import STOP_SECONDS, RealDaemon
from penstock.log.sqlite.schema import create_file
from penstock.service.signals import CUT_SHORT
from penstock_drills.enclosure import open_enclosure, why_not_enclosed

pytestmark = pytest.mark.slow

#: Seconds for anything here; a loaded box may take its time.
PATIENCE = 60
PENSTOCK = [sys.executable, "-m", "penstock.cli.main"]


def call(daemon: RealDaemon, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PENSTOCK, *args], capture_output=True, text=True, timeout=PATIENCE,
        env=dict(daemon.environ), stdin=subprocess.DEVNULL,
    )  # fmt: skip


def show(daemon: RealDaemon, run_id: str) -> dict[str, object]:
    shown: dict[str, object] = json.loads(call(daemon, "show", run_id, "--json").stdout)
    return shown


@pytest.fixture
def pids() -> Iterator[Path]:
    """A cgroup that can limit the tasks in it."""
    if why := why_not_enclosed():
        pytest.skip(why)
    with open_enclosure() as enclosure:
        yield enclosure.limited


def test_a_daemon_that_gets_no_process_goes_on(
    start_daemon: Callable[..., RealDaemon], pids: Path
) -> None:
    """RS-01: a run that cannot be started fails in a sentence; later ones are run again."""
    daemon = start_daemon()
    try:
        (pids / "cgroup.procs").write_text(str(daemon.process.pid))
        # Below what there is: nothing is ended by it, and nothing more is made.
        (pids / "pids.max").write_text("1")
        call(daemon, "submit", "command", "--id", "starved", "--", "true")
        assert call(daemon, "wait", "starved").returncode == 125, daemon.log.read_text()
        failed = show(daemon, "starved")
        assert failed["state"] == "failed"
        assert "no process could be made for 'true'" in json.dumps(failed)
        assert "Resource temporarily unavailable" in json.dumps(failed)
        (pids / "pids.max").write_text("max")
        call(daemon, "submit", "command", "--id", "fed", "--", "true")
        assert call(daemon, "wait", "fed").returncode == 0
        assert daemon.process.poll() is None
        assert daemon.stop() == 0
    finally:
        if daemon.process.poll() is None:
            (pids.parent / "cgroup.procs").write_text(str(daemon.process.pid))
    assert "Traceback" not in daemon.log.read_text()


@pytest.fixture
def started(home: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts `penstock serve` as it is told to; none outlives its test, nor does a pipe."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*before: str, **options: Any) -> subprocess.Popen[bytes]:
        argv = [*before, *PENSTOCK, "serve", "--port", "0"]
        processes.append(
            subprocess.Popen(argv, cwd=home, stdin=subprocess.DEVNULL, **options)
        )
        return processes[-1]

    yield start
    for process in processes:
        if process.stderr is not None:
            process.stderr.close()
        process.kill()
        process.wait(PATIENCE)


def wait_ready(log: IO[bytes]) -> str:
    """Read the daemon's log until it says that it is ready; what it said."""
    told = b""
    while b"ready at" not in told:
        line = log.readline()
        assert line, told.decode()
        told += line
    return told.decode()


def ask(home: Path, path: str) -> dict[str, Any]:
    """The answer of the daemon of this home, by its Unix socket."""
    transport = httpx.HTTPTransport(uds=str(home / "run" / "penstock" / "daemon.sock"))
    with httpx.Client(transport=transport, timeout=PATIENCE) as client:
        found = client.get(f"http://localhost{path}")
        return {"status": found.status_code, "text": found.text}


def test_a_log_that_nobody_reads_stops_nothing(
    home: Path, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """Law 8: the daemon answers, tells of the loss, and goes on to tell once it is read again."""
    environ = {**os.environ, "PENSTOCK_LOG_LINES": "50"}
    daemon = started(stderr=subprocess.PIPE, env=environ)
    assert daemon.stderr is not None
    wait_ready(daemon.stderr)
    # Far more than a pipe of 64 KiB and the queue hold.
    for _ in range(1500):
        daemon.send_signal(signal.SIGUSR1)
        time.sleep(0.002)
    health = ask(home, "/health")
    assert "nobody takes the lines of the log" in health["text"]
    lost = re.search(r"log_lost_lines_total (\d+)", ask(home, "/metrics")["text"])
    assert lost is not None
    assert int(lost[1]) > 0
    told = ""
    while "lines of the log were lost" not in told:
        told = daemon.stderr.readline().decode()
        assert told
    daemon.send_signal(signal.SIGTERM)
    assert b"stopped" in daemon.stderr.read()
    assert daemon.wait(PATIENCE) == 0


def test_a_stop_with_a_log_that_nobody_reads_ends_in_time(
    home: Path, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """SY-04 Law 8"""
    daemon = started(stderr=subprocess.PIPE)
    assert daemon.stderr is not None
    wait_ready(daemon.stderr)
    for _ in range(1500):
        daemon.send_signal(signal.SIGUSR1)
        time.sleep(0.002)
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(STOP_SECONDS) == 0


def test_a_stop_with_a_dead_stderr_is_a_stop(
    home: Path, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """SY-04: its terminal was closed."""
    daemon = started(stderr=subprocess.PIPE)
    assert daemon.stderr is not None
    wait_ready(daemon.stderr)
    daemon.stderr.close()
    daemon.send_signal(signal.SIGUSR2)
    assert ask(home, "/runs")["status"] == 200
    assert "nobody takes the lines" in ask(home, "/health")["text"]
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(STOP_SECONDS) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_each_word_to_stop_is_an_orderly_stop(
    real_daemon: RealDaemon, number: signal.Signals
) -> None:
    """SY-04: a run ends as its `on_restart` says, and the log tells who stopped it."""
    call(real_daemon, "submit", "command", "--id", "a", "--", "sleep", "600")
    assert real_daemon.stop(number) == 0
    log = real_daemon.log.read_text()
    assert f"stopping: {number.name}" in log
    assert log.rstrip().endswith("stopped")


def test_signals_that_mean_nothing_end_nothing(real_daemon: RealDaemon) -> None:
    """SY-04"""
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        real_daemon.process.send_signal(number)
    assert call(real_daemon, "list").returncode == 0
    assert "SIGUSR1 means nothing" in real_daemon.log.read_text()
    assert real_daemon.stop() == 0


def test_a_hang_up_is_ignored_where_it_was_ignored_before(
    home: Path, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """SY-04: `nohup penstock serve`."""
    shell = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh")
    daemon = started(*shell, stderr=subprocess.PIPE)
    assert daemon.stderr is not None
    wait_ready(daemon.stderr)
    daemon.send_signal(signal.SIGHUP)
    assert ask(home, "/health")["status"] == 200
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(STOP_SECONDS) == 0


def test_a_second_word_to_stop_changes_nothing(real_daemon: RealDaemon) -> None:
    """SY-04: nor a tenth, while it stops and after."""
    call(
        real_daemon,
        "submit",
        "command",
        "--id",
        "a",
        "--shell",
        "trap '' TERM; sleep 60",
    )
    give_up = time.monotonic() + STOP_SECONDS
    while real_daemon.process.poll() is None:
        assert time.monotonic() < give_up, real_daemon.log.read_text()
        real_daemon.process.send_signal(signal.SIGTERM)
        real_daemon.process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    assert real_daemon.process.returncode == 0
    log = real_daemon.log.read_text()
    assert "stopping already" in log
    assert log.rstrip().splitlines()[-1].endswith("stopped")


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Nobody else can write into the log inside, as on a disk that takes no writes."""
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE" if not database.exists() else "BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


def test_a_stop_while_the_store_takes_no_writes_ends_in_time(
    home: Path, real_daemon: RealDaemon
) -> None:
    """SY-04: with a run at work, whose end cannot be recorded."""
    call(real_daemon, "submit", "command", "--id", "a", "--", "sleep", "600")
    with locked(home / "state" / "penstock" / "penstock.db"):
        code = real_daemon.stop()
    last = {0: "stopped", CUT_SHORT: "is cut short"}
    assert code in last, real_daemon.log.read_text()
    assert real_daemon.log.read_text().rstrip().endswith(last[code])


def test_a_stop_of_a_start_that_waits_for_the_disk_is_a_stop(
    home: Path, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """SY-04: the database is locked, so that the start waits."""
    state = home / "state" / "penstock"
    state.mkdir(parents=True)
    create_file(state / "penstock.db")
    with locked(state / "penstock.db"):
        daemon = started(stderr=subprocess.PIPE)
        assert daemon.stderr is not None
        # Said just before the database is opened.
        while b"processes are contained" not in daemon.stderr.readline():
            assert daemon.poll() is None
        daemon.send_signal(signal.SIGTERM)
        told = daemon.stderr.read().decode()
        assert daemon.wait(STOP_SECONDS) == 0, told
    assert "stopping: SIGTERM" in told
    assert told.rstrip().endswith("stopped")


def test_a_daemon_that_gets_no_file_for_its_late_code_goes_on() -> None:
    """RS-07: strangers may hold all descriptors at that moment; it said so and lived before as well."""
    code = (
        "import os, resource\nfrom penstock.carried import keep_late_code\n"
        "free = os.dup(0)\nos.close(free)\n"
        "_, most = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (free, most))\n"
        "print(keep_late_code())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "None\n"
    assert "must be restarted: [Errno 24]" in done.stderr
