"""Two real daemons on one real PostgreSQL: what is said to one of them holds at both, and over their restarts."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.real_daemon import RealDaemon, penstock
from penstock.client.sync import SyncClient
from penstock.words.address import socket_address
from service.test_boxes import start_box, state_of, until

__all__ = ["start_box"]

pytestmark = [pytest.mark.processes, pytest.mark.sockets]

StartBox = Callable[..., RealDaemon]


def at(folder: Path, box: str) -> SyncClient:
    return SyncClient(socket_address(folder / box / "run" / "daemon.sock"))


def fail(daemon: RealDaemon, run_id: str) -> None:
    done = penstock(daemon, "submit", "--anywhere", "--id", run_id, "--", "false")
    assert done.returncode == 0, done.stderr
    until(lambda: state_of(daemon, run_id)[0] == "failed")


def test_a_failure_that_was_seen_at_one_box_is_so_at_both(
    start_box: StartBox, tmp_path: Path
) -> None:
    """MB-15 DU-06: also once both have been killed and started again; a retry that fails is news."""
    first, second = start_box("first"), start_box("second")
    fail(first, "r")
    at(tmp_path, "first").dismiss(["r"])
    until(lambda: at(tmp_path, "second").get("dismissals")["runs"] == ["r"])
    for daemon in (first, second):
        daemon.stop(signal.SIGKILL)
    first, second = start_box("first"), start_box("second")
    for box in ("first", "second"):
        assert at(tmp_path, box).get("dismissals")["runs"] == ["r"]
    again = penstock(second, "retry", "r")
    assert again.returncode == 0, again.stderr
    until(lambda: state_of(first, again.stdout.strip())[0] == "failed")
    assert at(tmp_path, "first").get("dismissals")["runs"] == ["r"]


def test_a_drain_of_the_queue_holds_at_both_boxes(
    start_box: StartBox, tmp_path: Path
) -> None:
    """MB-15 SC-02: also once both have been started again, until either resumes."""
    first, second = start_box("first"), start_box("second")
    done = penstock(first, "drain")
    assert done.returncode == 0, done.stderr
    for _ in range(2):
        for daemon in (first, second):
            refused = penstock(daemon, "submit", "--", "true")
            assert refused.returncode == 69
            assert "the queue is drained" in refused.stderr
        first.stop()
        second.stop(signal.SIGKILL)
        first, second = start_box("first"), start_box("second")
    assert "drained" in penstock(first, "status").stderr
    assert penstock(second, "resume").returncode == 0
    until(lambda: penstock(first, "submit", "--", "true").returncode == 0)
