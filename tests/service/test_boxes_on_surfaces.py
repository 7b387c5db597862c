"""Two real daemons on one real PostgreSQL, as people meet them: what is told of boxes, and what is done once."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.postgres import PostgresServer
from fakes.real_daemon import RealDaemon, penstock
from service.test_boxes import (
    facts_of,
    start_box,
    state_of,
    told,
    until,
)

__all__ = ["start_box"]

pytestmark = [pytest.mark.processes, pytest.mark.sockets]

StartBox = Callable[..., RealDaemon]

#: A lease that is over soon.
SHORT = {"PENSTOCK_LEASE_SECONDS": "10"}
#: A hook's program: the event's type and its run, a line in a file.
NOTES = (
    "import json,os,sys; e=json.load(sys.stdin);"
    " open(sys.argv[1],'a').write(os.environ['PENSTOCK_EVENT_TYPE']+' '+e['run_id']+'\\n')"
)


def hooked(folder: Path, box: str) -> tuple[Path, dict[str, str]]:
    """Where this box's hook writes, and the settings for it."""
    notes, config = folder / f"{box}.notes", folder / f"{box}.toml"
    notes.touch()
    words = json.dumps([sys.executable, "-c", NOTES, str(notes)])
    config.write_text(f'[[hooks]]\non = ["completed", "cancelled", "box"]\nargv = {words}\n')  # fmt: skip
    return notes, {"PENSTOCK_CONFIG": str(config), **SHORT}


def submit(daemon: RealDaemon, run_id: str, *argv: str) -> None:
    done = penstock(daemon, "submit", "--anywhere", "--id", run_id, "--", *argv)
    assert done.returncode == 0, done.stderr


def test_hooks_are_called_once_and_by_the_box_that_a_run_is_of(
    start_box: StartBox, postgres: PostgresServer, tmp_path: Path
) -> None:
    """D-09 MB-03: wherever it executes; a loss by whoever found it."""
    at_first, first_has = hooked(tmp_path, "first")
    at_second, second_has = hooked(tmp_path, "second")
    first = start_box("first", PENSTOCK_MAX_CONCURRENT="1", **first_has)
    second = start_box("second", PENSTOCK_MAX_CONCURRENT="1", **second_has)
    for run_id in ("a", "b"):
        submit(first, run_id, "sleep", "600")
    for run_id in ("a", "b"):
        until(lambda run_id=run_id: state_of(second, run_id)[0] == "running")  # type: ignore[misc]
    assert {state_of(first, run_id)[1] for run_id in "ab"} == {"first", "second"}
    for run_id in ("a", "b"):
        told(second, "cancel", run_id, "--wait")
    submit(second, "c", "true")
    wanted = ["run.cancelled a", "run.cancelled b"]
    until(lambda: sorted(at_first.read_text().splitlines()) == wanted)
    until(lambda: at_second.read_text() == "run.completed c\n")
    second.stop(signal.SIGKILL)
    until(lambda: len(facts_of(postgres, first, "box.lost")) == 1)
    until(lambda: at_first.read_text().endswith("box.lost daemon\n"))
    assert len(at_first.read_text().splitlines()) == 3
    assert at_second.read_text() == "run.completed c\n"


def test_a_schedule_and_a_retry_are_done_once_and_slots_are_a_box_s_own(
    start_box: StartBox, postgres: PostgresServer, tmp_path: Path
) -> None:
    """DU-02 DU-04 SC-05"""
    first, second = start_box("first"), start_box("second")
    assert (
        penstock(first, "every", "10s", "--name", "tick", "--", "true").returncode == 0
    )
    tries = tmp_path / "tries"
    shell = f"echo x >> {tries}; exit 3"
    done = penstock(
        second, "submit", "--anywhere", "--id", "flaky", "--retries", "2", "--backoff", "0.5",
        "--", "sh", "-c", shell,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    until(lambda: state_of(first, "flaky")[0] == "failed")
    until(lambda: len(facts_of(postgres, first, "run.completed")) >= 2)
    assert tries.read_text() == "x\n" * 3
    assert penstock(second, "schedules", "--remove", "tick").returncode == 0
    ran = [row["run_id"] for row in told(first, "list", "label:schedule=tick")]
    assert len(ran) == len(set(ran))
    assert all(state_of(second, run_id)[1] == "first" for run_id in ran)
    assert penstock(first, "slots", "1").returncode == 0
    until(lambda: len(facts_of(postgres, first, "slots.changed")) == 1)
    slots = {box["box"]: box["slots"] for box in told(first, "boxes")}
    assert slots["first"] == 1
    assert slots["second"] > 1
    [queue] = told(second, "queue")
    assert queue["slots"] == slots["second"]


def test_a_lost_box_is_told_before_all_else(start_box: StartBox) -> None:
    """MB-03: with the lease of who is asked, in numbers, and by the state of each box in the list."""
    first, second = start_box("first", **SHORT), start_box("second", **SHORT)
    assert [box["standing"] for box in told(first, "boxes")] == ["ok", "ok"]
    health = penstock(first, "health", "--json")
    assert health.returncode == 0, health.stdout
    lease = json.loads(health.stdout)["lease"]
    assert lease["seconds"] == 10
    assert 0 < lease["left"] <= 10
    second.stop(signal.SIGKILL)
    until(lambda: [b["standing"] for b in told(first, "boxes")] == ["ok", "lost"])
    ill = json.loads(penstock(first, "health", "--json").stdout)
    assert ill["reasons"][0].startswith("the box second is lost: silent for ")
    again = start_box("second", **SHORT)
    until(lambda: [b["standing"] for b in told(again, "boxes")] == ["ok", "ok"])
    assert penstock(first, "health").returncode == 0
    again.stop(signal.SIGTERM)
    until(lambda: [b["standing"] for b in told(first, "boxes")] == ["ok", "left"])
    assert penstock(first, "health").returncode == 0


def test_a_box_that_never_comes_back_is_forgotten(start_box: StartBox) -> None:
    """MB-03: gone from the list, from what is amiss and from the numbers, at every box; until it is there again."""
    first, second = start_box("first", **SHORT), start_box("second", **SHORT)
    third = start_box("third", **SHORT)
    refused = penstock(first, "boxes", "--forget", "second")
    assert refused.returncode != 0
    assert "the box second has a lease" in refused.stderr
    second.stop(signal.SIGKILL)
    until(lambda: told(first, "boxes")[1]["standing"] == "lost")
    submit = ("submit", "--id", "r", "--on", "box=second", "--", "true")
    assert penstock(third, *submit).returncode == 0
    refused = penstock(first, "boxes", "--forget", "second")
    assert "the run r could go on at the box second alone" in refused.stderr
    assert penstock(first, "cancel", "r", "--wait").returncode == 0
    left = told(first, "boxes", "--forget", "second")
    assert [box["box"] for box in left] == ["first", "third"]
    for daemon in (first, third):
        assert [b["standing"] for b in told(daemon, "boxes")] == ["ok", "ok"]
        assert penstock(daemon, "health").returncode == 0
    refused = penstock(first, "boxes", "--forget", "second")
    assert "there is no box 'second'" in refused.stderr
    again = start_box("second", **SHORT)
    until(lambda: [b["standing"] for b in told(first, "boxes")] == ["ok"] * 3)
    done = penstock(first, "run", "--on", "box=second", "--", "echo", "back")
    assert (done.returncode, done.stdout) == (0, "back\n"), done.stderr
    assert penstock(again, "audit").returncode == 0
