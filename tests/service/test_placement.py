"""MB-16: where runs execute, with real daemons that share a schema of a real PostgreSQL."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.postgres import PostgresServer
from fakes.real_daemon import RealDaemon, penstock
from service.test_boxes import start_box, told, until

__all__ = ["start_box"]

pytestmark = [pytest.mark.processes, pytest.mark.sockets]

StartBox = Callable[..., RealDaemon]
SELF = {"PENSTOCK_ACCEPT": "self"}
TEAM = {"PENSTOCK_ACCEPT": "team"}


def submit(daemon: RealDaemon, run_id: str, *words: str) -> None:
    done = penstock(daemon, "submit", "--id", run_id, *words)
    assert done.returncode == 0, done.stderr


def run_of(daemon: RealDaemon, run_id: str) -> dict[str, Any]:
    [run] = told(daemon, "show", run_id)
    return run


def why(daemon: RealDaemon, run_id: str) -> str:
    [reason] = told(daemon, "why", run_id)
    return str(reason["text"])


def ended(daemon: RealDaemon, *run_ids: str) -> Callable[[], bool]:
    return lambda: all(run_of(daemon, r)["state"] == "completed" for r in run_ids)


def queued(daemon: RealDaemon, run_id: str) -> Callable[[], bool]:
    return lambda: bool(run_of(daemon, run_id)["state"] == "queued")


def test_runs_execute_where_they_fit_and_are_accepted(start_box: StartBox) -> None:
    """MB-16: a label, a box by name, files of a box, and whoever takes runs of others."""
    first = start_box("first", **SELF)
    second = start_box("second", PENSTOCK_LABELS='{"gpu": "1"}', **TEAM)
    submit(first, "here", "--", "true")
    submit(first, "gpu", "--on", "gpu=1", "--anywhere", "--", "true")
    submit(first, "named", "--on", "box=second", "--", "true")
    submit(second, "other", "--on", "box=first", "--", "true")
    submit(first, "none", "--on", "gpu=2", "--anywhere", "--", "true")
    until(ended(first, "here", "gpu", "named"))
    assert {r: run_of(second, r)["box"] for r in ("here", "gpu", "named")} == {
        "here": "first",
        "gpu": "second",
        "named": "second",
    }
    assert run_of(second, "gpu")["origin"] == "first"
    # Told by either box.
    for daemon in (first, second):
        until(queued(daemon, "none"))
        assert why(daemon, "none") == (
            "It asks for gpu=2; none of the 2 boxes that are here has it."
        )
        until(queued(daemon, "other"))
    assert why(first, "other") == (
        "It was submitted at second, and this box executes its own runs only."
    )
    assert why(second, "other") == (
        "Its box first executes its own runs only; it was submitted at second."
    )


def test_what_failed_at_one_box_is_tried_again_at_another(start_box: StartBox) -> None:
    """MB-16: by the box's name, by a label, or anywhere; by itself it stays where its files are."""
    first = start_box("first", PENSTOCK_LABELS='{"disk": "small"}')
    start_box("second", PENSTOCK_LABELS='{"disk": "large"}')
    submit(first, "r", "--on", "disk=small", "--cwd", "/", "--", "true")
    until(ended(first, "r"))

    def again(*words: str) -> str:
        done = penstock(first, "retry", "r", *words)
        assert done.returncode == 0, done.stderr
        run_id = done.stdout.strip()
        until(ended(first, run_id))
        return str(run_of(first, run_id)["box"])

    assert again() == "first"
    large = ("--on", "disk=large")
    assert again("--on", "box=second", *large) == "second"
    assert again("--anywhere", *large) == "second"
    refused = penstock(first, "retry", "r", *large)
    assert refused.returncode != 0
    assert "disk=large, which the box first has not" in refused.stderr
    mistyped = penstock(first, "retry", "r", "--on", "box=secnod")
    assert mistyped.returncode == 0
    assert "the box secnod alone, and none of that name is known" in mistyped.stderr
    refused = penstock(first, "retry", "r", "--on", "second")
    assert "'second' is not KEY=VALUE" in refused.stderr


def test_who_submits_hears_that_no_box_has_what_a_run_asks_for(
    start_box: StartBox,
) -> None:
    """MB-16 SC-14: it is queued, since the box may come; nothing is said where a slot is all that it lacks."""
    first = start_box("first")
    start_box("second")
    said = {
        "box=secnod": "it executes at the box secnod alone, and none of that name is known",
        "gpu=1": "it asks for gpu=1; none of the 2 boxes that are here has it",
    }
    for asked, why_not in said.items():
        done = penstock(first, "submit", "--on", asked, "--anywhere", "--", "true")
        assert done.returncode == 0
        assert done.stderr == f"penstock: {done.stdout.strip()}: queued: {why_not}\n"
        every = penstock(
            first, "every", "1d", "--name", asked[:3], "--on", asked, "--anywhere", "--", "true"
        )  # fmt: skip
        assert (every.returncode, every.stderr) == (
            0,
            f"penstock: {asked[:3]}: {why_not}\n",
        )
    for asked in ("box=first", "box=second"):
        done = penstock(first, "submit", "--on", asked, "--", "sleep", "1")
        assert (done.returncode, done.stderr) == (0, "")
    done = penstock(first, "every", "1d", "--on", "box=second", "--", "true")
    assert (done.returncode, done.stderr) == (0, "")


def test_what_executes_elsewhere_has_nothing_of_its_callers_box(
    start_box: StartBox, postgres: PostgresServer, tmp_path: Path
) -> None:
    """MB-16: neither its folder nor its environment; and where it is pinned it has both."""
    first, second = start_box("first", ONLY_HERE="x"), start_box("second", **TEAM)
    script = 'echo "$PWD ${ONLY_HERE-none}"'
    submit(first, "away", "--on", "box=second", "--shell", script)
    submit(first, "here", "--shell", script)
    until(ended(first, "away", "here"))
    output = {r: penstock(first, "log", r).stdout.strip() for r in ("away", "here")}
    home = first.environ["HOME"]
    assert output["here"] == f"{home} x"
    assert output["away"].endswith(" none")
    schema = second.environ["PENSTOCK_STORE_SCHEMA"]
    sql = (
        f"SELECT run_id FROM {schema}.callers JOIN {schema}.runs ON key = run"
        " WHERE environment IS NOT NULL"
    )
    assert postgres.ask(sql) == [("here",)]


def test_a_run_waits_for_its_box_and_goes_on_when_that_is_back(
    start_box: StartBox, postgres: PostgresServer
) -> None:
    """MB-16 MB-01: what is pinned is not taken over; `why` says for how long its box is silent."""
    short = {"PENSTOCK_LEASE_SECONDS": "10", **TEAM}
    first, second = start_box("first", **short), start_box("second", **short)
    submit(first, "cut", "--on-restart", "requeue", "--", "sleep", "600")
    until(lambda: run_of(second, "cut")["state"] == "running")
    first.stop(signal.SIGKILL)
    until(lambda: run_of(second, "cut")["state"] == "queued")
    assert why(second, "cut").startswith("Its box first is lost: silent for ")
    again = start_box("first", **short)
    until(lambda: run_of(second, "cut")["state"] == "running")
    assert run_of(again, "cut")["box"] == "first"
    [receipt] = told(second, "cancel", "cut", "--wait")
    assert receipt["gone_at"] is not None


def test_a_drained_box_leaves_runs_to_the_others(start_box: StartBox) -> None:
    """MB-16: at the word of any of them; what executes there is waited for."""
    first, second = start_box("first", **TEAM), start_box("second", **TEAM)
    submit(second, "pinned", "--", "sleep", "3")
    until(lambda: run_of(first, "pinned")["state"] == "running")
    done = penstock(first, "drain", "--box", "second")
    assert done.returncode == 0, done.stderr
    assert run_of(first, "pinned")["state"] == "completed"
    assert "the box second is drained" in done.stderr
    submit(second, "waits", "--", "true")
    submit(second, "free", "--anywhere", "--", "true")
    until(ended(first, "free"))
    assert run_of(first, "free")["box"] == "first"
    assert (
        why(second, "waits") == "This box is drained: `penstock resume --box second`."
    )
    assert why(first, "waits") == (
        "Its box second is drained: `penstock resume --box second`."
    )
    [row] = [b for b in told(first, "boxes") if b["box"] == "second"]
    assert row["standing"] == "draining"
    assert penstock(first, "resume", "--box", "second").returncode == 0
    until(ended(first, "waits"))
    assert penstock(first, "drain", "--box", "third").returncode != 0


def test_a_group_is_counted_over_both_boxes(
    start_box: StartBox, postgres: PostgresServer
) -> None:
    """MB-16 SC-04: though their configurations disagree; slots are those of each."""
    one = {"PENSTOCK_MAX_CONCURRENT": "1", **TEAM}
    first = start_box("first", PENSTOCK_GROUPS='{"gpu": {"slots": 2}}', **one)
    second = start_box(
        "second", PENSTOCK_GROUPS='{"gpu": {"slots": 9}}', **one
    )  # fmt: skip
    assert penstock(first, "pause").returncode == 0
    for number in range(6):
        submit(first, f"r{number}", "--anywhere", "--group", "gpu", "--", "sleep", "1")
    names = [f"r{number}" for number in range(6)]
    assert penstock(second, "resume").returncode == 0
    until(ended(second, *names))
    schema = first.environ["PENSTOCK_STORE_SCHEMA"]
    sql = (
        f"SELECT type, convert_from(body, 'utf8') FROM {schema}.events JOIN {schema}.runs ON key = run"
        " WHERE group_name = 'gpu' AND type IN ('run.started', 'run.completed') ORDER BY position"
    )
    held, most, boxes = 0, 0, set()
    for type_, body in postgres.ask(sql):
        if type_ == "run.started":
            held += 1
            boxes.add(json.loads(body)["box"])
        else:
            held -= 1
        most = max(most, held)
    assert (most, boxes) == (2, {"first", "second"})
    assert penstock(first, "slots", "3", "--box", "second").returncode == 0
    [row] = [b for b in told(second, "boxes") if b["box"] == "second"]
    assert row["slots"] == 3


def test_nobody_is_interrupted_for_a_run_of_another_box(start_box: StartBox) -> None:
    """MB-16 SC-13: of two boxes, each with one slot that a run of little importance has."""
    first = start_box("first", PENSTOCK_MAX_CONCURRENT="1", **TEAM)
    second = start_box("second", PENSTOCK_MAX_CONCURRENT="1", **TEAM)
    submit(second, "busy", "--", "sleep", "600")
    until(lambda: run_of(first, "busy")["state"] == "running")
    submit(second, "urgent", "--priority", "CRITICAL", "--", "true")
    until(lambda: run_of(first, "urgent")["state"] == "queued")
    assert (
        why(first, "urgent")
        == "It waits for a slot of its box second, and all are taken."
    )
    assert penstock(second, "cancel", "busy", "--wait").returncode == 0
    until(ended(first, "urgent"))
    assert run_of(first, "urgent")["box"] == "second"
