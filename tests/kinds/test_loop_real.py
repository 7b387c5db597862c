"""OD-04, OD-05: a loop of real commands, on a daemon that dies in the middle."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from fakes.real_daemon import RealDaemon

StartDaemon = Callable[..., RealDaemon]

#: Seconds for any one command: a loaded box.
PATIENCE = 60


def penstock(
    environ: Mapping[str, str], cwd: Path, *words: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "penstock.cli.main", *words],
        env=environ,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def follow_until(daemon: RealDaemon, cwd: Path, run_id: str, **wanted: str) -> None:
    """Follow a run up to the first fact that has these values."""
    argv = [sys.executable, "-m", "penstock.cli.main", "follow", run_id, "--json"]
    found = False
    with subprocess.Popen(
        argv, env=daemon.environ, cwd=cwd, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            found = wanted.items() <= json.loads(line)["event"].items()
            if found:
                break
        process.terminate()
    assert found


@pytest.mark.slow
def test_a_loop_outlives_the_daemon_and_repeats_nothing(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """OD-05: kill -9 while the second turn runs; the third makes it."""
    first = start_daemon()
    act = "echo x >> done; test $(wc -l < done) -ge 3 || sleep 1"
    submitted = penstock(
        first.environ,
        tmp_path,
        *("submit", "loop", "--id", "l", "--keep-going"),
        *("--until", "test -e done && test $(wc -l < done) -ge 3", "--act", act),
    )
    assert submitted.returncode == 0, submitted.stderr
    follow_until(first, tmp_path, "l", type="step.completed", name="act 1")
    first.stop(signal.SIGKILL)

    second = start_daemon()
    waited = penstock(second.environ, tmp_path, "wait", "l")
    assert waited.returncode == 0, waited.stderr
    told = penstock(second.environ, tmp_path, "events", "l").stdout.splitlines()
    facts = [json.loads(line)["event"] for line in told]
    assert facts[-1]["type"] == "run.completed"
    done = [fact["name"] for fact in facts if fact["type"] == "step.completed"]
    assert len(done) == len(set(done))
    assert done[:2] == ["observe 1", "act 1"]
    assert (tmp_path / "done").read_text() == "x\n" * 3


@pytest.mark.slow
def test_cancelling_a_loop_ends_the_command_of_its_turn(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """OD-04"""
    daemon = start_daemon()
    act = "echo $$ > pid; echo ready; exec sleep 1000"
    penstock(
        daemon.environ,
        tmp_path,
        *("submit", "loop", "--id", "l", "--until", "false", "--act", act),
    )
    follow_until(daemon, tmp_path, "l.turn-1", type="log", stream="stdout")
    cancelled = penstock(daemon.environ, tmp_path, "cancel", "l", "--wait")
    assert cancelled.returncode == 0, cancelled.stderr
    ended = penstock(daemon.environ, tmp_path, "wait", "l.turn-1")
    assert ended.returncode == 143, ended.stderr
    rows = penstock(daemon.environ, tmp_path, "list", "--json").stdout.splitlines()
    states = {row["run_id"]: row["state"] for row in map(json.loads, rows)}
    assert states == {"l": "cancelled", "l.turn-1": "cancelled"}
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()
