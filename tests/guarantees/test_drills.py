"""The drills, from the command line, as a person runs them: a short form of each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

#: Seconds for a short drill on a loaded box.
DRILL_SECONDS = 120


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
    code, told, said = _drill("faults", "--every", "200", "--seed", "3")
    assert (code, told["failures"]) == (0, []), said
