"""A log taken away from under its daemon, or put back before a start: real daemons, real files."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.real_daemon import STOP_SECONDS, RealDaemon

pytestmark = pytest.mark.slow

#: Seconds for one command; a loaded box may take its time.
PATIENCE = 60
Start = Callable[..., RealDaemon]


@pytest.fixture
def state(home: Path) -> Path:
    return home / "state" / "penstock"


def call(*args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "penstock.cli.main", *args],
        capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def epoch() -> str:
    return str(json.loads(call("health", "--json").stdout)["epoch"])


def facts() -> list[dict[str, Any]]:
    return [json.loads(line) for line in call("events").stdout.splitlines()]


def run_some(count: int) -> None:
    for _ in range(count):
        call("run", "command", "--", "true")


def read_mark(home: Path) -> dict[str, Any]:
    [file] = (home / "cache" / "penstock").iterdir()
    mark: dict[str, Any] = json.loads(file.read_bytes())
    return mark


def wait_marked(home: Path, position: int) -> dict[str, Any]:
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        mark = read_mark(home)
        if mark["position"] >= position:
            return mark
        time.sleep(0.05)
    raise AssertionError(f"the mark does not come to {position}")


@pytest.mark.parametrize("part", ["penstock.db", "penstock.db-wal", "daemon.lock"])
def test_a_daemon_whose_files_are_taken_away_says_so_and_ends(
    start_daemon: Start, state: Path, part: str
) -> None:
    """ST-07 OP: idle as it is, with the exit code that the documents name."""
    daemon = start_daemon()
    call("submit", "command", "--", "sleep", "60")
    (state / part).unlink()
    daemon.stopped.append(daemon.process.wait(STOP_SECONDS))
    assert daemon.stopped == [74]
    said = daemon.log.read_text()
    assert f"{part} was removed" in said
    assert "Traceback" not in said, said


def test_a_log_that_was_put_back_begins_a_new_epoch_and_says_so(
    start_daemon: Start, home: Path, state: Path
) -> None:
    """ST-08 WS-07"""
    daemon = start_daemon()
    run_some(1)
    daemon.stop()
    shutil.copytree(state, home / "copy")
    daemon = start_daemon()
    run_some(2)
    last = facts()[-1]
    wait_marked(home, last["position"])
    before = epoch()
    daemon.stop()
    shutil.rmtree(state)
    (home / "copy").rename(state)
    daemon = start_daemon()
    assert epoch() != before
    assert "the log was put back" in daemon.log.read_text()
    [started] = [x["event"] for x in facts() if x["event"].get("put_back")]
    assert started["type"] == "daemon.started"
    assert "and had come to" in started["put_back"]
    # Who kept its place is told, whatever it asks.
    place = str(last["position"] + 100)
    run_id = facts()[1]["run_id"]
    for words in (
        ["events", "--after", place],
        ["events", "--after", place, "--follow"],
        ["events", run_id, "--after", place],
        ["logs", run_id, "--after", place],
        ["follow", run_id, "--after", place],
    ):
        code = 125 if words[0] == "follow" else 4
        assert "it was put back" in call(*words, code=code).stderr
    daemon.stop()
    # It is the same log as before the next start, and keeps its new epoch.
    after = start_daemon()
    assert "was put back" not in after.log.read_text()


def test_the_mark_is_never_ahead_of_the_log(start_daemon: Start, home: Path) -> None:
    """ST-11: what it names is on the disk, also after kill -9."""
    daemon = start_daemon()
    for _ in range(3):
        for _ in range(5):
            call("submit", "command", "--", "true")
        wait_marked(home, 1)
        daemon.process.kill()
        daemon.stopped.append(daemon.process.wait(STOP_SECONDS))
        mark = read_mark(home)
        exported = call("export").stdout.splitlines()
        named = [json.loads(x) for x in exported if x.startswith('{"position"')]
        [fact] = [x for x in named if x["position"] == mark["position"]]
        assert fact["event_id"] == mark["event_id"]
        daemon = start_daemon()
    assert daemon.stop(signal.SIGTERM) == 0


def test_the_file_of_an_embedded_run_tells_a_place_beyond_its_end() -> None:
    """CL-02 WS-07"""
    call("run", "command", "--id", "x", "--", "true")
    for verb in ("events", "logs", "follow"):
        code = 125 if verb == "follow" else 4
        done = call(verb, "x", "--after", "999", code=code)
        assert "ends at position" in done.stderr
