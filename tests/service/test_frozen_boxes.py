"""Real daemons that are stopped, asleep or cut off from the server of their log: nothing runs twice."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from fakes.postgres import PostgresServer
from fakes.real_boxes import PATIENCE, RealBoxes, until
from fakes.real_daemon import RealDaemon
from penstock.processes.containment import descendants
from penstock.words.exit_codes import Exit

pytestmark = [pytest.mark.processes, pytest.mark.sockets]


@pytest.fixture
def boxes(
    postgres: PostgresServer, start_daemon: Callable[..., RealDaemon], tmp_path: Path
) -> RealBoxes:
    return RealBoxes(postgres, postgres.new_schema(), tmp_path, start_daemon)


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """These processes do nothing meanwhile."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def submit_stubborn(boxes: RealBoxes, daemon: RealDaemon) -> dict[int, int]:
    """Have `moved` run on the one box there is; the start times of its processes."""
    line = boxes.stubborn("moved")
    done = boxes.penstock(
        daemon,
        "submit",
        "--id",
        "moved",
        "--anywhere",
        "--on-restart",
        "requeue",
        "--shell",
        line,
    )
    assert done.returncode == 0, done.stderr
    until(lambda: len(boxes.began("moved")) == 2)
    return boxes.began("moved")


def left_of(before: dict[int, int], boxes: RealBoxes) -> list[int]:
    now = boxes.began("moved")
    return [pid for pid in before if now[pid] == before[pid]]


def check_moved(boxes: RealBoxes, second: RealDaemon, before: dict[int, int]) -> None:
    """The run is the second's alone, executed twice, and cancelled with proof."""
    until(lambda: boxes.state(second, "moved") == ("running", "second"))
    assert left_of(before, boxes) == []
    begun = [*boxes.facts("run.started"), *boxes.facts("run.resumed")]
    assert [fact["box"] for fact in begun if "box" in fact] == ["first", "second"]
    assert len(boxes.facts("run.requeued")) == len(boxes.facts("box.lost")) == 1
    [receipt] = boxes.told(second, "cancel", "moved", "--wait")
    assert (receipt["box"], receipt["survivors"]) == ("second", [])
    assert not any(boxes.began("moved").values())
    assert boxes.penstock(second, "run", "true").returncode == 0


def stop_session(boxes: RealBoxes, box: str) -> int:
    """Stop the server's process that takes what this box writes, while it holds nothing; its pid."""
    sql = (
        f"SELECT pid FROM pg_stat_activity JOIN {boxes.schema}.boxes"
        " ON application_name = left('penstock ' || life, 63) WHERE box = %s"
    )
    [(pid,)] = boxes.server.ask(sql, box)
    while True:
        os.kill(pid, signal.SIGSTOP)
        if not boxes.server.ask("SELECT 1 FROM pg_locks WHERE pid = %s", pid):
            return int(pid)
        os.kill(pid, signal.SIGCONT)


#: What may be said first: by the daemon's own count, by who looks after the log, by who writes.
OVER = (
    "the lease was not renewed in time",
    "the lease of the box first is over",
    "this daemon is not that of the box first any more: its lease is over",
)


def check_fenced(daemon: RealDaemon, *why: str) -> None:
    """It has ended by itself, and says why."""
    assert daemon.process.wait(PATIENCE) == Exit.LOG_LOST
    said = daemon.log.read_text()
    assert any(words in said for words in why), said


def test_what_a_frozen_daemon_runs_is_gone_before_it_is_taken_over(
    boxes: RealBoxes,
) -> None:
    """MB-04: and when it wakes it writes nothing more, and ends."""
    first = boxes.start("first")
    before = submit_stubborn(boxes, first)
    second = boxes.start("second")
    with stopped([first.process.pid]):
        until(lambda: len(boxes.began("moved")) > len(before))
        assert left_of(before, boxes) == []
        assert first.process.poll() is None
    check_fenced(first, *OVER)
    check_moved(boxes, second, before)


def test_what_sleeps_beyond_its_lease_ends_when_it_wakes(boxes: RealBoxes) -> None:
    """MB-07: the daemon and all it runs; another had taken the run by then."""
    first = boxes.start("first")
    before = submit_stubborn(boxes, first)
    second = boxes.start("second")
    with stopped([first.process.pid, *descendants(first.process.pid)]):
        until(lambda: len(boxes.began("moved")) > len(before))
        assert len(left_of(before, boxes)) == 2
    until(lambda: left_of(before, boxes) == [])
    check_fenced(first, *OVER)
    check_moved(boxes, second, before)


def test_a_daemon_that_sleeps_for_less_than_its_lease_goes_on(
    boxes: RealBoxes,
) -> None:
    """MB-06: nothing of it ends, though it was not heard of for a while."""
    first = boxes.start("first", PENSTOCK_LEASE_SECONDS="120")
    before = submit_stubborn(boxes, first)
    second = boxes.start("second", PENSTOCK_LEASE_SECONDS="120")
    with stopped([first.process.pid, *descendants(first.process.pid)]):
        assert boxes.penstock(second, "run", "true").returncode == 0
    assert boxes.penstock(first, "run", "true").returncode == 0
    assert len(left_of(before, boxes)) == 2
    assert boxes.state(second, "moved") == ("running", "first")


def test_a_daemon_whose_server_does_not_answer_ends_before_it_is_taken_over(
    boxes: RealBoxes,
) -> None:
    """MB-05: with a thread in the middle of a call that has longer than the lease."""
    first = boxes.start("first")
    before = submit_stubborn(boxes, first)
    second = boxes.start("second")
    with stopped([stop_session(boxes, "first")]):
        until(lambda: len(boxes.began("moved")) > len(before))
        assert left_of(before, boxes) == []
        assert first.process.poll() == Exit.LOG_LOST
    check_fenced(first, "the lease was not renewed in time")
    check_moved(boxes, second, before)


def test_a_daemon_that_is_stopped_within_its_turn_keeps_nobody_from_theirs(
    boxes: RealBoxes,
) -> None:
    """MB-04: the server takes the turn from it before the others' leases are over."""
    first = boxes.start("first")
    before = submit_stubborn(boxes, first)
    second = boxes.start("second")
    with closing(psycopg.connect(boxes.server.url)) as other:
        # It has its turn, and waits for this table.
        other.execute(f"LOCK TABLE {boxes.schema}.runs IN EXCLUSIVE MODE")
        submits = threading.Thread(
            target=boxes.penstock, args=(first, "submit", "--id", "torn", "--", "true")
        )
        submits.start()
        waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = %s::regclass"
        until(lambda: boxes.server.ask(waits, f"{boxes.schema}.runs"))
        os.kill(first.process.pid, signal.SIGSTOP)
    with stopped([first.process.pid]):
        until(lambda: len(boxes.began("moved")) > len(before))
        assert left_of(before, boxes) == []
        assert boxes.standing() == {"first": "lost", "second": "here"}
    check_fenced(first, *OVER)
    submits.join(PATIENCE)
    # Nobody was told that it was taken, and it was not.
    assert boxes.state(second, "torn") == ("", "")
    check_moved(boxes, second, before)
