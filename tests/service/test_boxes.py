"""Several real daemons whose log is one schema of a real PostgreSQL."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.to_thread import run_sync as in_thread

from fakes.postgres import PostgresServer
from fakes.real_daemon import PENSTOCK, RealDaemon, penstock
from fakes.terminal_reading import read_terminal
from penstock_drills.relay import open_relay

#: Seconds that anything may take here but a lease.
PATIENCE = 60.0
#: A lease that a test can wait for, and a loaded box still renews in time.
SHORT_LEASE = {"PENSTOCK_LEASE_SECONDS": "10"}
#: Seconds by which a clock is off.
HOUR = 3600

pytestmark = [pytest.mark.processes, pytest.mark.sockets]

StartDaemon = Callable[..., RealDaemon]


def told(daemon: RealDaemon, *words: str) -> list[dict[str, Any]]:
    """What a verb prints as JSON, a line each."""
    done = penstock(daemon, *words, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def start_box(
    postgres: PostgresServer, start_daemon: StartDaemon, tmp_path: Path
) -> Callable[..., RealDaemon]:
    """Starts a daemon as a box of this name, on a log that all of a test share."""
    schema = postgres.new_schema()

    def start(
        box: str,
        *,
        folder: str = "",
        program: Sequence[str] = PENSTOCK[1:],
        **settings: str,
    ) -> RealDaemon:
        place = tmp_path / (folder or box)
        given = {
            "PENSTOCK_STORE": postgres.url,
            "PENSTOCK_STORE_SCHEMA": schema,
            "PENSTOCK_BOX": box,
            "PENSTOCK_LEASE_SECONDS": "60",
            "PENSTOCK_ACCEPT": "team",
            "PENSTOCK_STATE_DIR": str(place / "state"),
            "PENSTOCK_RUNTIME_DIR": str(place / "run"),
        }
        return start_daemon(program=program, **given | settings)

    return start


def until(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_who_runs_something_elsewhere_reads_all_that_it_prints(
    start_box: Callable[..., RealDaemon],
) -> None:
    """PT-04: no output is read here of what another box executes; and nothing is said of an import."""
    first = start_box("first")
    start_box("second")
    script = ("--", "sh", "-c", "echo out; echo err >&2; exit 3")
    for where in (("--on", "box=second"), ("--anywhere",), ("--cwd", "/")):
        done = penstock(first, "run", *where, *script)
        told = (done.returncode, done.stdout, done.stderr.partition("penstock:")[0])
        assert told == (3, "out\n", "err\n"), where


def test_what_is_piped_in_reaches_its_run_or_ends_it(
    start_box: Callable[..., RealDaemon],
) -> None:
    """PT-02: a run whose input can never come does not wait for it."""
    first = start_box("first")
    start_box("second")

    def piped(*where: str) -> subprocess.CompletedProcess[str]:
        words = [*PENSTOCK, "run", *where, "--", "cat"]
        return subprocess.run(
            words, input="word\n", cwd="/", env=first.environ, capture_output=True, text=True,
            timeout=PATIENCE,
        )  # fmt: skip

    here = piped()
    assert (here.returncode, here.stdout) == (0, "word\n")
    there = piped("--on", "box=second")
    assert there.returncode == 143
    assert "executes on the box second" in there.stderr


def test_a_run_whose_terminal_cannot_be_had_is_not_left_behind(
    start_box: Callable[..., RealDaemon],
) -> None:
    """PT-05: nobody would be at the terminal of what was sent to another box."""
    first = start_box("first")
    start_box("second")
    words = [
        *PENSTOCK,
        "run",
        "--tty",
        "--id",
        "far",
        "--on",
        "box=second",
        "--anywhere",
    ]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*words, "--", "sleep", "600"],
        stdin=theirs, stdout=theirs, stderr=theirs, env=first.environ,
    ) as process:  # fmt: skip
        os.close(theirs)
        said = read_terminal(ours, process).decode()
    assert process.returncode != 0
    assert "executes on the box second" in said
    assert "nothing of it is left" in said
    (there,) = told(first, "show", "far")
    assert there["state"] == "cancelled"


@pytest.mark.parametrize(
    "terminal",
    [{"stdin": "tty"}, {"tty": {"rows": 24, "cols": 80}}],
    ids=["stdin", "size"],
)
def test_a_terminal_of_another_box_can_be_looked_on_from_any(
    start_box: Callable[..., RealDaemon], terminal: dict[str, Any]
) -> None:
    """PT-05 MB-03: it was refused, with the advice to do what had just been done."""
    first = start_box("first")
    start_box("second")
    inputs = {"argv": ["sh", "-c", "echo begun; read word; echo $word"], **terminal}
    asked = ["command", "--id", "far", "--on", "box=second", "--inputs", json.dumps(inputs)]  # fmt: skip
    assert penstock(first, "submit", *asked).returncode == 0
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*PENSTOCK, "attach", "--watch", "far"],
        stdin=theirs, stdout=theirs, stderr=theirs, env=first.environ,
    ) as process:  # fmt: skip
        os.close(theirs)
        seen = b""
        while b"begun" not in seen:
            seen += os.read(ours, 4096)
            assert b"executes on the box" not in seen
        assert penstock(first, "cancel", "far", "--wait").returncode == 0
        read_terminal(ours, process)
    assert process.returncode == 143


def test_two_boxes_share_a_queue_and_a_log(
    start_box: Callable[..., RealDaemon],
) -> None:
    """MB-01: each runs what it claims, both see all, and either cancels what the other runs, with proof."""
    first = start_box("first", PENSTOCK_MAX_CONCURRENT="1")
    second = start_box("second", PENSTOCK_MAX_CONCURRENT="1")
    for name in ("a", "b"):
        done = penstock(
            first, "submit", "--anywhere", "--id", name, "--", "sleep", "600"
        )
        assert done.returncode == 0, done.stderr

    def boxes(daemon: RealDaemon) -> dict[str, str]:
        runs = told(daemon, "list")
        return {r["run_id"]: r["box"] for r in runs if r["state"] == "running"}

    until(lambda: boxes(first) == {"a": "first", "b": "second"})
    until(lambda: boxes(second) == {"a": "first", "b": "second"})
    boxes_told = {b["box"]: (b["standing"], b["running"]) for b in told(first, "boxes")}
    assert boxes_told == {"first": ("ok", 1), "second": ("ok", 1)}
    for daemon, run_id, box in ((first, "b", "second"), (second, "a", "first")):
        [receipt] = told(daemon, "cancel", run_id, "--wait")
        assert receipt["box"] == box
        assert receipt["gone_at"] is not None
        assert receipt["method"] in {"cgroup", "subreaper", "session"}
        assert receipt["pids"]


def state_of(daemon: RealDaemon, run_id: str) -> tuple[str, str]:
    """A run's state and box, as this daemon tells them."""
    found = [r for r in told(daemon, "list") if r["run_id"] == run_id]
    return (found[0]["state"], found[0]["box"]) if found else ("", "")


def facts_of(server: PostgresServer, daemon: RealDaemon, type_: str) -> list[str]:
    """The bodies of all facts of a type."""
    schema = daemon.environ["PENSTOCK_STORE_SCHEMA"]
    sql = f"SELECT convert_from(body, 'utf8') FROM {schema}.events WHERE type = %s ORDER BY position"
    return [body for (body,) in server.ask(sql, type_)]


def test_what_a_killed_box_executed_is_taken_over_once_its_lease_is_over(
    start_box: Callable[..., RealDaemon], postgres: PostgresServer
) -> None:
    """MB-01 MB-03: and not before; the receipt says that the lease is the proof."""
    first = start_box("first", PENSTOCK_MAX_CONCURRENT="1", **SHORT_LEASE)
    second = start_box("second", PENSTOCK_MAX_CONCURRENT="2", **SHORT_LEASE)
    assert penstock(first, "pause").returncode == 0
    for name, on_restart in (("again", "requeue"), ("fails", "fail")):
        penstock(
            second, "submit", "--anywhere", "--id", name, "--on-restart", on_restart, "--", "sleep", "600"
        )  # fmt: skip
    penstock(first, "submit", "--anywhere", "--id", "own", "--", "sleep", "600")
    assert penstock(first, "resume").returncode == 0
    until(lambda: state_of(first, "fails")[0] == "running")
    until(lambda: state_of(first, "again")[0] == "running")
    boxes = {name: state_of(first, name)[1] for name in ("again", "fails")}
    lost = [name for name, box in boxes.items() if box == "second"]
    assert lost
    penstock(second, "cancel", "own", "--wait")
    second.stop(signal.SIGKILL)
    assert facts_of(postgres, first, "box.lost") == []
    until(lambda: len(facts_of(postgres, first, "box.lost")) == 1)
    for name in lost:
        if name == "again":
            until(lambda: state_of(first, "again") == ("running", "first"))
        else:
            until(lambda: state_of(first, "fails")[0] == "failed")
            [failed] = facts_of(postgres, first, "run.failed")
            assert json.loads(failed)["details"]["receipt"]["method"] == "lease"
    assert len(facts_of(postgres, first, "box.lost")) == 1


def test_a_box_that_is_started_again_repairs_its_own_runs_without_waiting(
    start_box: Callable[..., RealDaemon], postgres: PostgresServer
) -> None:
    """MB-02: the folder's lock proves that the daemon before it is gone; nobody else takes its runs."""
    first = start_box("first")
    second = start_box("second")
    penstock(
        first,
        "submit",
        "--anywhere",
        "--id",
        "cut",
        "--on-restart",
        "requeue",
        "--",
        "sleep",
        "600",
    )
    until(lambda: state_of(second, "cut") == ("running", "first"))
    first.stop(signal.SIGKILL)
    again = start_box("first")
    until(lambda: state_of(second, "cut")[0] == "running")
    assert len(facts_of(postgres, second, "run.requeued")) == 1
    assert facts_of(postgres, second, "box.lost") == []
    assert again.process.poll() is None


def test_a_second_daemon_of_a_box_is_refused_until_the_lease_is_over(
    start_box: Callable[..., RealDaemon],
) -> None:
    """MB-12"""
    first = start_box("first")
    with pytest.raises(AssertionError, match="has a box first already, whose daemon"):
        start_box("first", folder="elsewhere")
    assert penstock(first, "run", "true").returncode == 0


def test_a_box_that_stops_in_order_gives_its_runs_to_the_others_at_once(
    start_box: Callable[..., RealDaemon], postgres: PostgresServer
) -> None:
    """MB-13: by no lease, but by its own word."""
    first = start_box("first", PENSTOCK_LEASE_SECONDS="600")
    penstock(
        first,
        "submit",
        "--anywhere",
        "--id",
        "moved",
        "--on-restart",
        "requeue",
        "--",
        "sleep",
        "600",
    )
    second = start_box("second", PENSTOCK_LEASE_SECONDS="600")
    until(lambda: state_of(second, "moved") == ("running", "first"))
    assert first.stop() == 0
    until(lambda: state_of(second, "moved") == ("running", "second"))
    schema = second.environ["PENSTOCK_STORE_SCHEMA"]
    sql = f"SELECT box, state FROM {schema}.boxes ORDER BY box"
    assert postgres.ask(sql) == [("first", "left"), ("second", "here")]
    assert facts_of(postgres, second, "box.lost") == []


async def test_a_box_that_is_cut_off_has_ended_all_before_others_take_over(
    start_box: Callable[..., RealDaemon], postgres: PostgresServer, tmp_path: Path
) -> None:
    """MB-05: its processes first, then itself; a cut that is shorter than the lease ends nothing (MB-06)."""
    pids = tmp_path / "pids"
    script = f"echo $$ >> {pids}; exec sleep 600"

    def run() -> None:
        submitted = penstock(
            first, "submit", "--anywhere", "--id", "r1", "--on-restart", "requeue", "--shell", script
        )  # fmt: skip
        assert submitted.returncode == 0, submitted.stderr
        until(lambda: pids.exists() and bool(pids.read_text()))

    async with open_relay(postgres.folder / ".s.PGSQL.5432") as relay:
        url = f"postgresql://penstock@127.0.0.1:{relay.port}/penstock"
        first = await in_thread(
            partial(start_box, "first", PENSTOCK_STORE=url, **SHORT_LEASE)
        )
        await in_thread(run)
        second = await in_thread(partial(start_box, "second", **SHORT_LEASE))
        relay.mode = "hole"
        await trio.sleep(2)
        relay.mode = "up"
        await in_thread(until, lambda: state_of(second, "r1") == ("running", "first"))
        assert (await in_thread(penstock, first, "list")).returncode == 0
        relay.mode = "hole"
        await in_thread(until, lambda: len(pids.read_text().split()) == 2)
        before = int(pids.read_text().split()[0])
        with pytest.raises(ProcessLookupError):
            os.kill(before, 0)
        assert await in_thread(first.process.wait, 30) != 0
        assert "lease" in first.log.read_text()
        first.stopped.append(first.process.returncode)
        assert await in_thread(state_of, second, "r1") == ("running", "second")


def test_a_box_whose_clock_is_an_hour_off_is_a_box_as_any_other(
    start_box: Callable[..., RealDaemon],
) -> None:
    """MB-11: leases and the order of things are the server's; both take runs, and neither is lost."""
    right = start_box("right", **SHORT_LEASE)
    for number, clock in enumerate((HOUR, -HOUR)):
        box = f"off{number}"
        off = ("-m", "penstock_drills.made_up_clock", str(clock))
        wrong = start_box(box, **SHORT_LEASE, program=off)
        done = penstock(right, "run", "--on", f"box={box}", "--", "date", "+%s")
        assert done.returncode == 0, done.stderr
        # What it executes has the right time, and what it records has not.
        assert abs(int(done.stdout) - time.time()) < HOUR / 2
        starts = told(right, "events", "--type", "daemon.started")
        [start] = [fact for fact in starts if fact["event"].get("box") == box]
        recorded = datetime.fromisoformat(start["at"]).timestamp()
        assert abs(recorded - time.time() - clock) < HOUR / 2
        done = penstock(wrong, "run", "--on", "box=right", "--", "echo", "back")
        assert (done.returncode, done.stdout) == (0, "back\n"), done.stderr
    # Longer than a lease: who judged by their own clocks would take each other for lost by now.
    time.sleep(float(SHORT_LEASE["PENSTOCK_LEASE_SECONDS"]) + 2)
    standing = {row["box"]: row["standing"] for row in told(right, "boxes")}
    assert standing == {"right": "ok", "off0": "ok", "off1": "ok"}
    assert penstock(right, "audit").returncode == 0
