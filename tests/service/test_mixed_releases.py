"""MB-14: real daemons of two releases on one log: a team brings its boxes up to date one after the other."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import penstock as this_release
from fakes.aio import aio
from fakes.newer_release import NEWER, make_newer_release
from fakes.postgres import PostgresServer
from fakes.real_daemon import RealDaemon, penstock
from fakes.tui_pilot import dashboard, shows
from penstock.log.postgresql.schema import VERSION, needed_version
from penstock.words.address import socket_address
from service.test_boxes import SHORT_LEASE, start_box, state_of, told, until

__all__ = ["start_box"]

pytestmark = [pytest.mark.processes, pytest.mark.sockets]

StartBox = Callable[..., RealDaemon]


def facts_at(daemon: RealDaemon, *words: str) -> list[dict[str, Any]]:
    done = penstock(daemon, *words)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def submit(daemon: RealDaemon, run_id: str, *words: str) -> None:
    done = penstock(daemon, "submit", "--anywhere", "--id", run_id, *words)
    assert done.returncode == 0, done.stderr


def versions_in(server: PostgresServer, daemon: RealDaemon) -> list[tuple[int, int]]:
    schema = daemon.environ["PENSTOCK_STORE_SCHEMA"]
    return server.ask(f"SELECT version, tables FROM {schema}.log")


def test_a_newer_release_comes_to_a_log_that_an_older_one_has(
    start_box: StartBox, postgres: PostgresServer, tmp_path: Path
) -> None:
    """Columns are added under the older daemon; each executes its own runs and the other's, and may start again."""
    newer = {"PYTHONPATH": str(make_newer_release(tmp_path / "newer"))}
    old = start_box("old")
    submit(old, "kept", "--", "sleep", "600")
    until(lambda: state_of(old, "kept") == ("running", "old"))
    new = start_box("new", **newer)
    assert versions_in(postgres, old) == [(needed_version(), VERSION + 1)]
    for daemon in (old, new):
        boxes = {b["box"]: (b["standing"], b["version"]) for b in told(daemon, "boxes")}
        assert boxes == {
            "old": ("older", this_release.__version__), "new": ("ok", NEWER),
        }  # fmt: skip
    for asked, box in ((old, "new"), (new, "old"), (old, "old"), (new, "new")):
        done = penstock(asked, "run", "--on", f"box={box}", "--", "echo", box)
        assert (done.returncode, done.stdout) == (0, f"{box}\n"), done.stderr
    assert state_of(new, "kept") == ("running", "old")
    assert old.stop() == 0
    again = start_box("old")
    submit(new, "theirs", "--on", "box=old", "--", "true")
    until(lambda: state_of(new, "theirs") == ("completed", "old"))
    assert versions_in(postgres, again) == [(needed_version(), VERSION + 1)]
    for daemon in (again, new):
        audited = penstock(daemon, "audit")
        assert audited.returncode == 0, audited.stdout + audited.stderr
        assert "Traceback" not in daemon.log.read_text()


def test_an_older_box_shows_what_a_newer_one_recorded(
    start_box: StartBox, tmp_path: Path
) -> None:
    """EV-13: a fact that it does not know is told as it came, on every surface; its runs are what they are."""
    newer = {"PYTHONPATH": str(make_newer_release(tmp_path / "newer"))}
    old = start_box("old")
    new = start_box("new", **newer)
    submit(new, "r1", "--on", "box=new", "--label", "a=b", "--", "sh", "-c", "exit 3")
    until(lambda: state_of(old, "r1") == ("failed", "new"))
    tinted = {"type": "run.tinted", "colour": "red", "problem": {"shade": 1}}
    for words in (("events", "r1"), ("follow", "r1", "--json")):
        done = penstock(old, *words)
        facts = [json.loads(line) for line in done.stdout.splitlines()]
        events = {f["event"]["type"]: f["event"] for f in facts if "event" in f}
        assert events["run.tinted"] == tinted, done.stderr
        assert events["run.started"]["colour"] == "blue"
    assert penstock(new, "drain", "--box", "new").returncode == 0
    assert penstock(new, "resume", "--box", "new").returncode == 0
    assert "daemon.tinted" in {f["event"]["type"] for f in facts_at(old, "events")}
    left_out = ("last_at", "number", "wait", "age")
    [here], [there] = (told(daemon, "show", "r1") for daemon in (old, new))
    for name in here.keys() - set(left_out):
        assert here[name] == there[name], name
    assert (here["labels"], here["box"], here["state"]) == ({"a": "b"}, "new", "failed")
    [row] = told(old, "list", "label:a=b")
    assert (row["run_id"], row["kind"], row["box"]) == ("r1", "command", "new")
    assert penstock(old, "logs", "r1").returncode == 0
    look_at_it(old)
    assert "Traceback" not in old.log.read_text()


@aio
async def look_at_it(old: RealDaemon) -> None:
    """The dashboard of the older release, beside its own daemon."""
    address = socket_address(Path(old.environ["PENSTOCK_RUNTIME_DIR"]) / "daemon.sock")
    async with dashboard(address) as (app, pilot):
        await shows(app, "exit 3")
        await pilot.press("enter")
        await shows(app, "run.tinted")


def test_an_older_box_takes_over_from_a_newer_one(
    start_box: StartBox, tmp_path: Path
) -> None:
    """MB-03: what a newer release started, with facts on the way that the older one does not know."""
    newer = {"PYTHONPATH": str(make_newer_release(tmp_path / "newer"))}
    old = start_box("old", **SHORT_LEASE)
    new = start_box("new", **newer, **SHORT_LEASE)
    assert penstock(new, "drain", "--box", "old").returncode == 0
    submit(new, "again", "--on-restart", "requeue", "--", "sleep", "600")
    submit(new, "fails", "--on-restart", "fail", "--", "sleep", "600")
    until(lambda: state_of(old, "again") == ("running", "new"))
    until(lambda: state_of(old, "fails") == ("running", "new"))
    assert penstock(old, "resume", "--box", "old").returncode == 0
    new.stop(signal.SIGKILL)
    until(lambda: state_of(old, "again") == ("running", "old"))
    until(lambda: state_of(old, "fails")[0] == "failed")
    [receipt] = told(old, "cancel", "again", "--wait")
    assert receipt["box"] == "old"
    assert receipt["gone_at"] is not None
    audited = penstock(old, "audit")
    assert audited.returncode == 0, audited.stdout + audited.stderr


def test_a_step_that_older_boxes_cannot_go_on_beside_waits_for_them(
    start_box: StartBox, tmp_path: Path
) -> None:
    """The newer one is refused, by the name of who is in its way; afterwards the older one is."""
    code = make_newer_release(tmp_path / "newer", breaks=True)
    newer = {"PYTHONPATH": str(code)}
    old = start_box("old")
    told = f"boxes of one have it: old .penstock {this_release.__version__}, its lease is over in"
    with pytest.raises(AssertionError, match=told):
        start_box("new", **newer)
    assert penstock(old, "run", "true").returncode == 0
    assert old.stop() == 0
    new = start_box("new", **newer)
    with pytest.raises(AssertionError, match="made by a newer penstock"):
        start_box("old")
    assert penstock(new, "run", "true").returncode == 0
