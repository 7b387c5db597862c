"""The queue's verbs against a real daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from fakes.real_daemon import RealDaemon

pytestmark = pytest.mark.slow

#: Seconds for anything here; a loaded box may take its time.
PATIENCE = 60
PENSTOCK = [sys.executable, "-m", "penstock.cli.main"]
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def call(*args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*PENSTOCK, *args], capture_output=True, text=True, timeout=PATIENCE,
        env=os.environ, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def submit(run_id: str, *flags: str) -> None:
    call("submit", "command", "--id", run_id, *flags, "--", *SLEEP)


def test_pause_why_resume(real_daemon: RealDaemon) -> None:
    """SC-14"""
    told = call("pause", "--reason", "a new disk")
    assert (told.stdout, "the queue is paused: a new disk" in told.stderr) == ("", True)
    submit("r")
    said = call("why", "r").stdout.splitlines()
    assert said[0].startswith("1 r is queued: ")
    assert said[1:] == ["The queue is paused (a new disk)."]
    told = call("queue")
    assert "queued       1 of 100" in told.stdout
    assert "the queue is paused: a new disk" in told.stderr
    call("resume")
    assert json.loads(call("queue", "--json").stdout)["paused"] == []
    assert json.loads(call("why", "r", "--json").stdout)["reasons"][0]["code"] in (
        "next",
        "running",
    )
    assert "nobody" in call("why", "nobody", code=3).stderr
    assert "no group 'gpu'" in call("pause", "--group", "gpu", code=2).stderr


def test_a_drain_that_nobody_waits_for_any_more_goes_on(
    real_daemon: RealDaemon,
) -> None:
    submit("r")
    waiting = subprocess.Popen(
        [*PENSTOCK, "drain"], env=os.environ, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        while not json.loads(call("queue", "--json").stdout)["draining"]:
            assert waiting.poll() is None
        waiting.send_signal(signal.SIGINT)
        _, told = waiting.communicate(timeout=PATIENCE)
    finally:
        if waiting.poll() is None:
            waiting.kill()
            waiting.communicate(timeout=PATIENCE)
    assert waiting.returncode == 130
    assert "the drain goes on" in told
    assert "drained" in call("submit", "command", "--", "true", code=69).stderr
    call("cancel", "r", "--wait")
    call("drain")
