"""PR: which run goes first."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from penstock.words.errors import Refused
from penstock.words.events import EVENT_CLASSES
from penstock.words.priority import (
    PRIORITY_OF_EVENT,
    Priority,
    may_preempt,
    parse_priority,
    priority_of_event,
)

CRITICAL, HIGH, MEDIUM, LOW, BACKGROUND = Priority

WORTH = {
    "intervention.received": CRITICAL,
    "ask.raised": CRITICAL,
    "ask.answered": CRITICAL,
    "run.cancel_requested": CRITICAL,
    "run.queued": HIGH,
    "bug.reported": HIGH,
    "correction.started": HIGH,
    "correction.completed": HIGH,
    "code.generated": HIGH,
    "test.failed": HIGH,
    "plan.completed": MEDIUM,
    "module.started": MEDIUM,
    "module.iterated": MEDIUM,
    "test.started": MEDIUM,
    "test.passed": MEDIUM,
    "step.completed": MEDIUM,
    "step.failed": MEDIUM,
    "analysis.completed": LOW,
    "milestone": LOW,
}


def test_the_five_priorities_are_these_numbers_in_this_order() -> None:
    """PR-01"""
    assert [(p.name, p.value) for p in Priority] == [
        ("CRITICAL", 0),
        ("HIGH", 10),
        ("MEDIUM", 20),
        ("LOW", 30),
        ("BACKGROUND", 40),
    ]
    assert sorted([LOW, CRITICAL, HIGH]) == [CRITICAL, HIGH, LOW]


@pytest.mark.parametrize("event_type", sorted(EVENT_CLASSES))
def test_every_event_type_has_its_worth(event_type: str) -> None:
    """PR-02: total over the union; what the table does not name is BACKGROUND."""
    assert priority_of_event(event_type) is WORTH.get(event_type, BACKGROUND)


def test_the_table_names_only_types_that_exist() -> None:
    """PR-02"""
    assert set(PRIORITY_OF_EVENT) <= set(EVENT_CLASSES)
    assert set(WORTH) <= set(EVENT_CLASSES)


@pytest.mark.parametrize("event_type", ["no.such", "", None, 7, {}, []])
def test_what_is_no_event_type_is_background(event_type: Any) -> None:
    """PR-02"""
    assert priority_of_event(event_type) is BACKGROUND


@pytest.mark.parametrize(
    ("waiting", "running"), list(itertools.product(Priority, repeat=2))
)
def test_preemption_needs_twenty_points(waiting: Priority, running: Priority) -> None:
    """PR-03: pair by pair."""
    pairs = {
        (CRITICAL, MEDIUM), (CRITICAL, LOW), (CRITICAL, BACKGROUND),
        (HIGH, LOW), (HIGH, BACKGROUND), (MEDIUM, BACKGROUND),
    }  # fmt: skip
    assert may_preempt(waiting, running) == ((waiting, running) in pairs)


@pytest.mark.parametrize("priority", Priority)
def test_a_name_in_any_case_and_its_number_are_taken(priority: Priority) -> None:
    """PR-04"""
    for value in (priority.name, priority.name.lower(), priority.value, priority):
        assert parse_priority(value) is priority


@pytest.mark.parametrize(
    "value",
    [
        "INVALID",
        "",
        "10",
        -1,
        -10,
        5,
        15,
        41,
        100,
        101,
        True,
        False,
        10.0,
        None,
        [],
        {},
    ],
)
def test_any_other_priority_is_refused_with_the_five(value: Any) -> None:
    """PR-04"""
    with pytest.raises(Refused) as refusal:
        parse_priority(value)
    assert refusal.value.field == "priority"
    for priority in Priority:
        assert f"{priority.name} ({priority.value})" in str(refusal.value)
