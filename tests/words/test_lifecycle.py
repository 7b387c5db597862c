"""CC, DT: the states of a run, and how an execution ends."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import Any, get_args

import pytest

from penstock.words.events import EVENT_CLASSES, TERMINAL_TYPES
from penstock.words.lifecycle import (
    CUT_SHORT,
    FINISHED,
    MOVING_TYPES,
    OPEN_STATES,
    QUEUED_STATES,
    TERMINAL_STATES,
    TRANSITIONS,
    Ending,
    IllegalTransition,
    OnRestart,
    State,
    conclude,
    next_state,
    terminal,
)
from penstock.words.wait_reason import RESTART_ASK

# Written out by hand, so that a change of the table must be made twice.
LEGAL: dict[tuple[str | None, str], str] = {
    (None, "run.queued"): "queued",
    ("queued", "run.started"): "running",
    ("queued", "run.resumed"): "running",
    ("queued", "run.failed"): "failed",
    ("queued", "run.cancelled"): "cancelled",
    ("running", "run.waiting"): "waiting",
    ("running", "run.preempted"): "preempted",
    ("running", "run.requeued"): "queued",
    ("running", "run.paused"): "paused",
    ("paused", "run.continued"): "running",
    ("paused", "run.waiting"): "waiting",
    ("paused", "run.requeued"): "queued",
    ("paused", "run.completed"): "completed",
    ("paused", "run.failed"): "failed",
    ("paused", "run.cancelled"): "cancelled",
    ("running", "run.completed"): "completed",
    ("running", "run.failed"): "failed",
    ("running", "run.cancelled"): "cancelled",
    ("waiting", "run.resumed"): "running",
    ("waiting", "run.waiting"): "waiting",
    ("waiting", "run.preempted"): "preempted",
    ("waiting", "run.requeued"): "queued",
    ("waiting", "run.completed"): "completed",
    ("waiting", "run.failed"): "failed",
    ("waiting", "run.cancelled"): "cancelled",
    ("preempted", "run.resumed"): "running",
    ("preempted", "run.requeued"): "queued",
    ("preempted", "run.failed"): "failed",
    ("preempted", "run.cancelled"): "cancelled",
}
STATES: tuple[State | None, ...] = (None, *get_args(State))


@pytest.mark.parametrize(
    ("state", "event_type"),
    list(itertools.product(STATES, sorted({t for _, t in LEGAL}))),
)
def test_every_pair_of_state_and_event_moves_as_the_table_says(
    state: State | None, event_type: str
) -> None:
    """CC-06"""
    if (state, event_type) in LEGAL:
        assert next_state(state, event_type) == LEGAL[state, event_type]
        return
    before = {s: dict(row) for s, row in TRANSITIONS.items()}
    with pytest.raises(IllegalTransition, match=re.escape(event_type)):
        next_state(state, event_type)
    assert before == TRANSITIONS


@pytest.mark.parametrize("state", STATES)
def test_every_other_event_moves_nothing(state: State | None) -> None:
    """CC-06: an unknown type too."""
    assert {t for _, t in LEGAL} == MOVING_TYPES
    for event_type in (*(EVENT_CLASSES.keys() - MOVING_TYPES), "from.tomorrow"):
        assert next_state(state, event_type) == state


def test_the_states_are_divided_into_open_and_ended() -> None:
    assert set(OPEN_STATES) | set(TERMINAL_STATES) == set(get_args(State))
    assert not set(OPEN_STATES) & set(TERMINAL_STATES)
    assert set(QUEUED_STATES) < set(OPEN_STATES)
    assert set(TRANSITIONS) == set(STATES)


@pytest.mark.parametrize("state", TERMINAL_STATES)
def test_nothing_leads_out_of_an_ended_run(state: State) -> None:
    """Law 1."""
    assert TRANSITIONS[state] == {}


@pytest.mark.parametrize("state", OPEN_STATES)
def test_every_open_state_can_reach_an_end(state: State) -> None:
    """Law 1: whatever happens, there is a terminal for it."""
    assert {"run.failed", "run.cancelled"} <= set(TRANSITIONS[state])


# -- precedence (DT-01): what may be true of an ending, most important first, and what it comes to

FORCES: dict[str, tuple[Ending, tuple[str, str]]] = {
    "cancel": (Ending(cancel_requested="user"), ("run.cancelled", "user")),
    "fail": (Ending(error="boom"), ("run.failed", "error")),
    "complete": (Ending(returned=True, result=1), ("run.completed", "")),
    "finish ok": (Ending(finish_reason="stop"), ("run.completed", "")),
    "finish cut": (Ending(finish_reason="length"), ("run.failed", "finish_reason")),
    "timeout": (Ending(timed_out=True), ("run.failed", "timeout")),
    "stop requeue": (Ending(stopping="requeue"), ("run.requeued", "shutdown")),
    "stop ask": (Ending(stopping="ask"), ("run.waiting", RESTART_ASK)),
    "stop fail": (Ending(stopping="fail"), ("run.failed", "shutdown")),
    "preempt": (Ending(preempted_by="other"), ("run.preempted", "")),
    "nothing": (Ending(), ("run.cancelled", "abandoned")),
}
# These say the same thing in another way, so they cannot both be true of one execution.
ONE_OF = ({"finish ok", "finish cut"}, {"stop requeue", "stop ask", "stop fail"})


def _both(one: Ending, other: Ending) -> Ending:
    """`other` said after `one`: what it says is added to what was said."""
    said = {
        name: getattr(other, name)
        for name in Ending.__dataclass_fields__
        if getattr(other, name) != getattr(Ending(), name)
    }
    return replace(one, **said)


def _outcome(ending: Ending) -> tuple[str, str]:
    conclusion = conclude(ending)
    return conclusion.type, getattr(conclusion, "reason", "")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (a, b)
        for a, b in itertools.product(FORCES, repeat=2)
        if not any({a, b} <= group and a != b for group in ONE_OF)
    ],
)
def test_of_two_forces_the_more_important_decides_in_both_orders(
    first: str, second: str
) -> None:
    """DT-01"""
    order = list(FORCES)
    winner = min(first, second, key=order.index)
    assert _outcome(_both(FORCES[first][0], FORCES[second][0])) == FORCES[winner][1]


@pytest.mark.parametrize("names", list(itertools.combinations(FORCES, 3)))
def test_of_three_forces_the_most_important_decides(names: tuple[str, ...]) -> None:
    """DT-01"""
    if any(len(set(names) & group) > 1 for group in ONE_OF):
        return
    ending = Ending()
    for name in reversed(names):
        ending = _both(ending, FORCES[name][0])
    assert _outcome(ending) == FORCES[names[0]][1]


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        (Ending(returned=True, cancel_requested="user"), ("run.cancelled", "user")),
        (Ending(error="boom", finish_reason="stop"), ("run.failed", "error")),
        (Ending(timed_out=True, cancel_requested="user"), ("run.cancelled", "user")),
        (Ending(finish_reason="stop"), ("run.completed", "")),
        (Ending(cancel_requested=""), ("run.cancelled", "")),
    ],
)
def test_examples_of_precedence(ending: Ending, outcome: tuple[str, str]) -> None:
    """DT-02"""
    assert _outcome(ending) == outcome


@pytest.mark.parametrize("reason", sorted(FINISHED))
def test_a_provider_that_says_done_completes_a_silent_run(reason: str) -> None:
    """DT-03"""
    assert conclude(Ending(finish_reason=reason)).type == "run.completed"


@pytest.mark.parametrize("reason", sorted(CUT_SHORT))
def test_a_provider_that_was_cut_short_fails_a_silent_run(reason: str) -> None:
    """DT-03, DS-04"""
    failed = conclude(Ending(finish_reason=reason))
    assert failed.type == "run.failed"
    assert reason in failed.error


def test_a_provider_marker_never_contradicts_what_the_run_said() -> None:
    """DT-03"""
    ending = Ending(returned=True, result="text", finish_reason="length")
    assert conclude(ending).type == "run.completed"


def test_an_unknown_provider_marker_says_nothing() -> None:
    """DT-03"""
    assert _outcome(Ending(finish_reason="???")) == ("run.cancelled", "abandoned")


def test_the_facts_of_an_ending_reach_its_conclusion() -> None:
    """CC-03: nothing that a person needs is lost on the way."""
    completed = conclude(Ending(returned=True, result={"files": [1]}))
    assert completed.model_dump() == {
        "type": "run.completed", "result": {"files": [1]}, "details": {},
    }  # fmt: skip
    failed = conclude(Ending(error="boom", error_details={"line": 3}))
    assert (failed.type, failed.model_dump()["details"]) == ("run.failed", {"line": 3})
    both = conclude(
        Ending(cancel_requested="user", error="x", error_details={"e": "x"})
    )
    assert both.model_dump()["details"] == {"e": "x"}
    preempted = conclude(Ending(preempted_by="run-7"))
    assert preempted.model_dump() == {"type": "run.preempted", "by": "run-7"}


@pytest.mark.parametrize(
    "ending",
    [
        Ending(cancel_requested="user"),
        Ending(error="boom", error_details={"line": 3}),
        Ending(returned=True),
        Ending(finish_reason="stop"),
        Ending(finish_reason="length"),
        Ending(timed_out=True),
        Ending(stopping="fail"),
        Ending(crashed="fail"),
        Ending(),
    ],
)
def test_every_terminal_keeps_what_was_proven_of_the_processes(ending: Ending) -> None:
    """CN-06: whatever ended the run."""
    receipt = {"method": "subreaper", "pids": [7], "survivors": "unknown"}
    told = conclude(replace(ending, receipt=receipt)).model_dump()
    assert told["details"]["receipt"] == receipt


@pytest.mark.parametrize("on_restart", get_args(OnRestart))
def test_every_conclusion_is_legal_for_an_executing_run(on_restart: Any) -> None:
    """Law 2: no conclusion is refused by the table, of a parked run either."""
    endings = [ending for ending, _ in FORCES.values()] + [Ending(stopping=on_restart)]
    for ending in endings:
        next_state("running", conclude(ending).type)
        next_state("waiting", conclude(ending).type)


@pytest.mark.parametrize("state", TERMINAL_STATES)
def test_the_constructor_makes_the_terminal_of_its_state(state: Any) -> None:
    """CC-01"""
    event = terminal(state, reason="why", error="what")
    assert event.type == f"run.{state}"
    assert event.type in TERMINAL_TYPES
