"""PT-01: which exit code the end of a run is, and whose."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.words.exit_codes import CODES, CODES_OF_RUNS, Exit, in_a_line
from penstock.words.lifecycle import State
from penstock.words.run_exit import exit_json, exit_of_run, read_exit

#: kind, state, reason, details, result, and what they are.
ENDS: list[tuple[str, State, str, dict[str, Any], Any, tuple[int, str]]] = [
    ("command", "completed", "", {}, {"exit_code": 0}, (0, "program")),
    ("command", "completed", "", {}, {"exit_code": 1}, (1, "program")),
    ("command", "failed", "error", {"exit_code": 125, "signal": None}, None, (125, "program")),
    ("command", "failed", "error", {"exit_code": None, "signal": 15}, None, (143, "signal")),
    ("command", "failed", "error", {"exit_code": 127, "exit_from": "penstock"}, None, (127, "penstock")),
    ("command", "failed", "timeout", {}, None, (124, "penstock")),
    ("command", "failed", "error", {"field": "inputs.cwd"}, None, (125, "penstock")),
    ("command", "failed", "error", {"exit_code": None, "signal": None}, None, (125, "penstock")),
    ("command", "failed", "crashed", {}, None, (125, "penstock")),
    ("command", "cancelled", "requested", {}, None, (143, "penstock")),
    ("llms-txt", "completed", "", {}, {"files": 3}, (0, "penstock")),
    ("llms-txt", "completed", "", {}, [1], (0, "penstock")),
    ("llms-txt", "failed", "error", {}, None, (1, "penstock")),
    ("llms-txt", "failed", "shutdown", {}, None, (125, "penstock")),
    ("errand", "failed", "error", {"exit_code": 3}, None, (3, "program")),
    ("errand", "failed", "error", {"exit_code": 4711}, None, (1, "penstock")),
    ("errand", "failed", "error", {"exit_code": "3", "signal": "9"}, None, (1, "penstock")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "state", "reason", "details", "result", "expected"), ENDS
)
def test_an_end_is_an_exit_code_and_whose(
    kind: str,
    state: State,
    reason: str,
    details: dict[str, Any],
    result: Any,
    expected: tuple[int, str],
) -> None:
    """PT-01"""
    ended = exit_of_run(kind, state, reason, details, result)
    assert ended is not None
    assert (ended.code, ended.origin) == expected
    assert read_exit(exit_json(ended)) == ended


@pytest.mark.parametrize("state", [None, "queued", "running", "waiting", "preempted"])
def test_a_run_that_has_not_ended_has_none(state: State | None) -> None:
    """PT-01"""
    assert exit_of_run("command", state, "", {}, None) is None
    assert exit_json(None) == {"exit_code": None, "exit_from": None}
    assert read_exit({}) is None


def test_every_code_is_told_once_in_a_table() -> None:
    """PT-01: what a command can end with is in one of the two tables, and in none twice."""
    for codes in (CODES, CODES_OF_RUNS):
        assert len({code for code, _ in codes}) == len(codes)
    told = {code for code, _ in (*CODES, *CODES_OF_RUNS)}
    assert {str(int(code)) for code in Exit} <= told
    assert in_a_line(CODES[:2]) == "0 ok, 1 failed"
