"""The service as its user has it: a real `systemd --user` of a user who is not root.

Each scenario has a service manager, a journal and namespaces of its own; see `manager.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.units import SERVICE, SOCKET, read_template, render_units
from penstock.words.address import find_paths
from penstock.words.config import Config

pytestmark = [pytest.mark.processes, pytest.mark.alone]

TESTS = Path(__file__).parents[1]
ENCLOSE = TESTS / "contained" / "enclose.py"
MANAGER = Path(__file__).with_name("manager.py")


def seen(scenario: str) -> Any:
    """What the scenario saw; skips, with the reason, where it cannot be tried."""
    done = subprocess.run(
        [sys.executable, ENCLOSE, MANAGER, scenario],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The units as `service install` writes them, in a folder."""
    argv = [sys.executable, "-m", "penstock.cli.main", "--config", '/a "b" $c %d', "serve"]  # fmt: skip
    environ = {**os.environ, "XDG_STATE_HOME": "/tmp/with space %h"}
    for name, text in render_units(argv, Config(), find_paths(environ), environ).items():  # fmt: skip
        (tmp_path / name).write_text(text)
    return tmp_path


def verify(*units: Path) -> str:
    """What systemd says of these units. Its exit status does not tell unknown settings."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", *units],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stderr


def test_systemd_finds_no_fault_in_the_units(written: Path) -> None:
    """SY-01: a word about them is a fault."""
    assert verify(written / SERVICE, written / SOCKET) == ""


def test_systemd_finds_no_fault_in_the_units_as_shipped(
    tmp_path: Path, home: Path
) -> None:
    """SY-01: they name the program where pip, pipx and uv put it."""
    program = home / ".local" / "bin" / "penstock"
    program.parent.mkdir(parents=True)
    program.symlink_to(sys.executable)
    for name in (SERVICE, SOCKET):
        (tmp_path / name).write_text(read_template(name))
    assert verify(tmp_path / SERVICE, tmp_path / SOCKET) == ""


def test_a_fault_would_be_found(written: Path) -> None:
    unit = written / SERVICE
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    assert "WatchdogSecs" in verify(unit, written / SOCKET)


@pytest.mark.slow
def test_the_service_is_installed_used_and_removed() -> None:
    """SY-01, SY-02"""
    told = seen("installed")
    assert told["changed"] == [SERVICE, SOCKET]
    assert told["answers"] == [200, 200], "READY means that every surface answers"
    assert told["status"]["StatusText"] == "0 running, 0 queued"
    assert told["mode"] == "0o600"
    assert told["again"] == []
    assert told["same process"], "a second install changes nothing"
    assert told["given"]
    assert told["leaked"] == [], "runs see nothing that is meant for the daemon"
    ready = [x for x in told["journal"] if x["MESSAGE"].startswith("ready at ")]
    assert [(x["PRIORITY"], x["_TRANSPORT"]) for x in ready] == [("6", "journal")]
    assert "penstock.db" in told["kept"], "uninstall keeps the data"
    assert told["units left"] == []
    assert told["purged"]


@pytest.mark.slow
def test_the_first_request_starts_the_daemon() -> None:
    """SY-01"""
    told = seen("cold")
    assert (told["before"], told["after"]) == ("inactive", "active")
    assert told["place kept"], "the socket is systemd's and outlives the daemon"
    assert told["status"] == 200


@pytest.mark.slow
def test_requests_wait_for_a_daemon_that_was_killed() -> None:
    """SY-01: kill -9 refuses no connection."""
    told = seen("killed")
    assert set(told["statuses"]) == {200}
    assert told["restarts"] == 3


@pytest.mark.slow
def test_a_restart_refuses_no_connection() -> None:
    """SY-01"""
    told = seen("restarted")
    assert told["code"] == 0
    # 503: the old daemon answers that it is stopping. 0 would be a refused or cut connection.
    assert set(told["statuses"]) <= {200, 503}
    assert told["statuses"][-1] == 200


@pytest.mark.slow
def test_a_service_that_gave_up_is_restarted_once_it_is_mended() -> None:
    """SY-02: its log says why it could not start."""
    told = seen("failing")
    assert "did you mean 'port'" in told["why"]
    assert told["status"] == 200


@pytest.mark.slow
def test_a_hung_loop_is_told_and_then_cut() -> None:
    """SC-07, SY-01: stacks in the log, `/health` degraded, and the watchdog after its time."""
    told = seen("hung")
    assert told["survived a short one"]
    assert told["stacks"]
    assert told["status"] == 200, "the daemon was started again"
    assert told["state"] == "failed", "and says what became of the run"


@pytest.mark.slow
def test_a_stop_leaves_no_process() -> None:
    """QA-08, SY-03: within 10 s, runs ignoring TERM in sessions of their own included."""
    told = seen("hostile-stop")
    assert all(count >= 2 for count in told["before"].values())
    assert not any(told["left"].values())
    assert told["supervisors"] == []
    assert told["result"] == "success", "it ended by itself, and was not killed"
    assert told["seconds"] < 10


@pytest.mark.slow
def test_a_killed_daemon_leaves_no_process() -> None:
    """SY-03"""
    told = seen("hostile-kill")
    assert told["status"] == 200
    assert not any(told["left"].values())
    assert set(told["states"].values()) == {"failed"}


@pytest.mark.slow
def test_runs_are_contained_by_their_cgroups() -> None:
    """SY-03, CN-06: the unit delegates its cgroup, and the receipts say so."""
    told = seen("contained")
    for kind, receipt in told["receipts"].items():
        assert receipt == {
            "method": "cgroup",
            "survivors": [],
            "gone": True,
            "left": [],
        }, kind
    assert told["folders"] == ["daemon"], "no folder of a run is left"
