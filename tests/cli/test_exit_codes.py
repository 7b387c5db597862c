"""PT-01: `run`, `follow` and `wait` exit as the program did, with a running daemon and embedded."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.real_daemon import RealDaemon

pytestmark = [pytest.mark.slow, pytest.mark.processes]

#: Seconds for anything here; a loaded box may take its time.
PATIENCE = 60
PENSTOCK = [sys.executable, "-m", "penstock.cli.main"]

#: What follows `run command`; the exit code; whose it is.
ENDS = [
    ("-- sh -c 'exit 7'", 7, "program"),
    ("-- sh -c 'exit 125'", 125, "program"),
    ("-- sh -c 'kill -9 $$'", 137, "signal"),
    ("-- no-such-program", 127, "penstock"),
    ("-- /", 126, "penstock"),
    ("--timeout 0.2 -- sleep 60", 124, "penstock"),
    ("--inputs '{\"exit_codes_ok\":[0,1]}' -- false", 1, "program"),
    ("-- true", 0, "program"),
]


def call(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PENSTOCK, *args], capture_output=True, text=True, timeout=PATIENCE,
        env={**os.environ, **environ}, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def check_ends() -> None:
    """Every end as `run` tells it, and as it is told afterwards."""
    for number, (words, code, whose) in enumerate(ENDS):
        line = ["run", "command", "--id", f"r{number}", "--json", *shlex.split(words)]
        done = call(*line)
        last = json.loads(done.stdout.splitlines()[-1])
        assert (last["exit_code"], last["exit_from"]) == (code, whose), words
        assert done.returncode == code, words
    assert call("follow", "r2").returncode == 137
    waited = call("wait", *(f"r{n}" for n in range(len(ENDS))), "--json")
    told = {row["run_id"]: row for row in map(json.loads, waited.stdout.splitlines())}
    for number, (words, code, whose) in enumerate(ENDS):
        row = told[f"r{number}"]
        assert (row["exit_code"], row["exit_from"]) == (code, whose), words
    assert waited.returncode == 7


def test_a_run_ends_as_its_program_without_a_daemon() -> None:
    """PT-01"""
    check_ends()


def test_a_run_ends_as_its_program_with_a_daemon(real_daemon: RealDaemon) -> None:
    """PT-01: of several the first that is not 0 decides, in the order given."""
    check_ends()
    assert call("wait", "r7", "r2", "r0").returncode == 137


def test_what_is_penstocks_own_is_125_and_says_so(
    start_daemon: Callable[..., RealDaemon], home: Path
) -> None:
    """PT-01: a full queue, a wrong token, an id that is taken, a run that is not there."""
    daemon = start_daemon(PENSTOCK_QUEUE_CAPACITY="1", PENSTOCK_MAX_CONCURRENT="1")
    call("run", "command", "--id", "known", "--", "true")
    call("pause", "--reason", "lunch")
    assert call("submit", "command", "--", "true").returncode == 0
    wrong = {"PENSTOCK_URL": daemon.url, "PENSTOCK_TOKEN": "wrong"}
    own = [
        (call("run", "command", "--", "true"), "full"),
        (call("run", "command", "--id", "known", "--", "false"), "inputs.argv"),
        (call("run", "command", "--", "true", **wrong), "token"),
        (call("follow", "nobody"), "nobody"),
        (call("wait", "nobody"), "nobody"),
        (call("follow", "known", PENSTOCK_URL="http://127.0.0.1:1"), "no daemon"),
    ]
    for done, why in own:
        assert (done.returncode, done.stdout) == (125, ""), why
        assert done.stderr.startswith("penstock: "), why
        assert why in done.stderr, done.stderr


def test_a_daemon_that_stops_ends_what_waits_for_its_run_with_125(
    start_daemon: Callable[..., RealDaemon], home: Path
) -> None:
    """PT-01: whoever follows is told once it is back."""
    first = start_daemon()
    began = home / "began"
    line = f"touch {began}; sleep 60"
    argv = [*PENSTOCK, "run", "command", "--shell", line]
    with subprocess.Popen(argv, text=True, stderr=subprocess.PIPE) as following:
        deadline = time.monotonic() + PATIENCE
        while not began.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert first.stop() == 0
        start_daemon()
        _, said = following.communicate(timeout=PATIENCE)
    assert following.returncode == 125
    assert said.splitlines()[-1].startswith("penstock: ")
    assert "the daemon stopped" in said


def test_ctrl_c_is_130_and_a_cancel_from_elsewhere_143(real_daemon: RealDaemon) -> None:
    """PT-01"""
    for by_signal, code in ((True, 130), (False, 143)):
        run_id = f"by-signal-{by_signal}".lower()
        argv = [
            *PENSTOCK,
            "run",
            "command",
            "--id",
            run_id,
            "--shell",
            "echo on; sleep 60",
        ]
        with subprocess.Popen(
            argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as running:
            assert running.stdout is not None
            assert running.stdout.readline() == "on\n"
            if by_signal:
                running.send_signal(signal.SIGINT)
            else:
                assert call("cancel", run_id, "--wait").returncode == 0
            running.communicate(timeout=PATIENCE)
        assert running.returncode == code
        assert call("wait", run_id).returncode == 143
