"""`doctor --prove-cancel`: what it finds, on a real box and of what it is told."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from fakes.real_daemon import RealDaemon
from penstock.cli.proof import finding_of, marked

PROVE = [
    sys.executable,
    "-m",
    "penstock.cli.main",
    "doctor",
    "--prove-cancel",
    "--json",
]


def prove() -> dict[str, str]:
    done = subprocess.run(
        PROVE, capture_output=True, text=True, timeout=120, check=False
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    [cancel] = [finding for finding in found if finding["check"] == "cancel"]
    assert isinstance(cancel, dict)
    return cancel


@pytest.mark.slow
def test_a_stubborn_turn_is_gone_with_its_loop_and_the_box_says_so() -> None:
    """CN-01 SY-03: on a daemon made for the purpose, as there is none."""
    found = prove()
    assert found["state"] == "ok", found
    assert "nothing is left" in found["found"]


@pytest.mark.slow
def test_the_daemon_that_runs_is_put_to_the_proof(real_daemon: RealDaemon) -> None:
    """CN-01: its containment counts, and the runs of the proof are among its own."""
    assert prove()["state"] == "ok"
    argv = [sys.executable, "-m", "penstock.cli.main", "list", "--json"]
    done = subprocess.run(
        argv,
        env=real_daemon.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["kind"]: row["state"] for row in rows} == {
        "loop": "cancelled",
        "command": "cancelled",
    }


def test_a_process_that_is_left_is_a_failure_whatever_the_receipt_says() -> None:
    """CN-01"""
    receipt = {"gone_at": "2026-01-01T00:00:00Z", "method": "cgroup"}
    assert finding_of(receipt, []).state == "ok"
    found = finding_of(receipt, [41, 42])
    assert (found.state, found.fix) == ("failure", "`kill -9 41 42`")


def test_a_receipt_without_a_time_is_no_proof() -> None:
    """CN-01"""
    assert finding_of({"gone_at": None, "method": "session"}, []).state == "warning"


@pytest.mark.processes
def test_a_process_is_found_by_its_mark() -> None:
    mark = "penstock-proof-of-this-test"
    with subprocess.Popen(
        ["/bin/sh", "-c", "echo on; read line", mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"on\n"
        assert process.pid in list(marked(mark))
        process.communicate(b"\n")
    assert list(marked(mark)) == []
