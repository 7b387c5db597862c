"""RS-01: what a hostile box does to a daemon, and that it lives. Real daemons, real limits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.real_daemon import RealDaemon
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


@pytest.mark.parametrize("spare", [0, 1], ids=["no process", "one process"])
def test_a_daemon_that_gets_no_process_goes_on(
    start_daemon: Callable[..., RealDaemon], pids: Path, spare: int
) -> None:
    """RS-01: a run that cannot be started fails in a sentence; later ones are run again."""
    daemon = start_daemon()
    try:
        (pids / "cgroup.procs").write_text(str(daemon.process.pid))
        now = int((pids / "pids.current").read_text())
        (pids / "pids.max").write_text(str(now + spare))
        call(daemon, "submit", "command", "--id", "starved", "--", "true")
        assert call(daemon, "wait", "starved").returncode == 1
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
