"""The drills, from the command line, as a person runs them: a short form of each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fakes.lengths import length
from penstock_drills.acting_agent import PHASES
from penstock_drills.escapes import judge
from penstock_drills.listeners import Listener
from penstock_drills.private_postgres import find_programs

pytestmark = pytest.mark.alone

#: Seconds for a short drill on a loaded box.
DRILL_SECONDS = 120
#: All stories with one fault here; with each of them `test_fault_points` tells them more densely.
FAULT = length(("--fault", "kill the daemon"), ())


def _drill(*words: str) -> tuple[int, Any, str]:
    done = subprocess.run(
        [sys.executable, "-m", "penstock.cli.main", "drill", *words, "--json"],
        capture_output=True, timeout=DRILL_SECONDS, text=True, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout or "null"), done.stderr


@pytest.mark.slow
def test_a_killed_daemon_loses_nothing_that_it_acknowledged() -> None:
    """QA-09 ER-03"""
    code, told, said = _drill("crash", "--count", "2", "--seed", "7")
    assert (code, told["failures"]) == (0, []), said
    assert told["done"]["kills"] == 2
    assert told["done"]["accepted runs"] > 0


@pytest.mark.slow
def test_agents_are_answered_once_whoever_is_killed() -> None:
    """AG-06 CN-01: and cancelled in each phase nothing of them is left."""
    code, told, said = _drill("agents", "--count", "1", "--seed", "7")
    assert (code, told["failures"]) == (0, []), said
    assert (told["done"]["answers"], told["done"]["kills"]) == (3, 2)
    assert {f"cancelled: {phase}" for phase in PHASES} <= told["done"].keys()


@pytest.mark.slow
def test_boxes_that_share_a_server_run_each_run_once() -> None:
    """MB-01 to MB-14: as many of them as a short form has, and the load of each box."""
    if find_programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    code, told, said = _drill("boxes", "--count", str(length(6, 30)), "--seed", "7")
    print(told["done"])
    assert (code, told["failures"]) == (0, []), said
    assert sum(told["done"].values()) >= 6


@pytest.mark.slow
def test_schedules_go_on_where_they_were_interrupted(tmp_path: Path) -> None:
    """QA-02"""
    state = ("--state", str(tmp_path / "state.json"), "--seed", "3", "--jobs", "1")
    code, told, said = _drill("schedules", "--count", "40", *state)
    assert (code, told["done"]) == (0, {"schedules": 40}), said
    code, told, said = _drill("schedules", "--count", "80", *state)
    assert (code, told["done"]) == (0, {"schedules": 80}), said


@pytest.mark.slow
def test_fault_points_are_drilled_thinly(tmp_path: Path) -> None:
    """DT-04"""
    code, told, said = _drill("faults", "--every", "200", "--seed", "3", *FAULT)
    assert (code, told["failures"]) == (0, []), said


@pytest.mark.slow
def test_one_point_of_one_story_is_drilled_alone() -> None:
    """DT-05"""
    words = ("--seed", "3", "--jobs", "1", "--story", "stop", "--fault")
    code, told, said = _drill("faults", *words, "store breaks", "--at", "2")
    assert (code, told["done"], told["failures"]) == (0, {"stop": 1}, []), said
    code, told, said = _drill("faults", *words, "store breaks", "--at", "999")
    assert (code, told["done"]) == (1, {"stop": 0}), said
    assert "no story reaches the point 999" in said


@pytest.mark.slow
def test_a_cancelled_tree_is_gone_whatever_it_tries() -> None:
    """CN-01 CN-06: without root or a pids controller only the harmless kinds; `notes` says so."""
    code, told, said = _drill("cancel", "--count", "1")
    print(told["notes"])
    assert (code, told["failures"]) == (0, []), said
    for about, row in told["cancels"].items():
        assert (row["cancels"], row["survivors"]) == (1, 0), about


@pytest.mark.slow
def test_stalled_clients_cost_the_others_nothing() -> None:
    """BUS-03 WS-09 QA-05"""
    size = ("--clients", "30", "--stalled", "6", "--pairs", "2", "--rate", "1000")
    _, told, said = _drill("slow-client", *size)
    # A ratio of times is the drill's to judge, on a quiet box; here the laws that know no clock.
    broken = [word for word in told["failures"] if "times as slow" not in word]
    assert broken == [], said
    assert told["figures"]["stalled that caught up"] == 12


@pytest.mark.parametrize(
    ("receipt", "survivors", "word"),
    [
        ({}, 0, ""),
        ({}, 1, "says gone, and 1 are alive"),
        ({"survivors": [7]}, 1, "proves no end"),
        ({"survivors": "unknown"}, 0, "proves no end"),
        ({"gone_at": None}, 0, "proves no end"),
        ({"method": "session"}, 0, "the method is session"),
        ({"outcome": "already_terminal"}, 0, "the outcome is already_terminal"),
    ],
)
def test_a_receipt_that_says_too_much_is_seen(
    receipt: dict[str, Any], survivors: int, word: str
) -> None:
    """CN-06"""
    good = {"outcome": "cancelled", "method": "cgroup", "gone_at": "t", "survivors": []}
    found = judge({**good, **receipt}, "cgroup", survivors)
    assert word in found
    assert bool(word) == bool(found)


def test_a_listener_sees_what_is_missing() -> None:
    """BUS-03: the drill can fail."""
    listener = Listener(4)
    frame = '{"type":"events","events":[%s]}'
    fact = '{"position":%d,"run_id":"r","sequence":1}'
    listener.take(frame % ",".join(fact % position for position in (5, 6)))
    listener.take('{"type":"gap","first":7,"last":9,"dropped":3}')
    assert (listener.cursor, listener.facts, listener.broken) == (9, 2, [])
    listener.take(frame % fact % 11)
    assert listener.broken == ["after 9 came 11"]
