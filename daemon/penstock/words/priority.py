"""Priorities: which run goes first, and which may interrupt which."""

from __future__ import annotations

from enum import IntEnum

from penstock.words.errors import Refused


class Priority(IntEnum):
    """Lower goes first, in every comparison."""

    CRITICAL = 0
    HIGH = 10
    MEDIUM = 20
    LOW = 30
    BACKGROUND = 40


#: A waiting run may interrupt a running one only if it is this many points more important.
PREEMPTION_GAP = 20

#: What an event is worth when work is made of it; every type not named here is BACKGROUND.
PRIORITY_OF_EVENT: dict[str, Priority] = {
    "intervention.received": Priority.CRITICAL,
    "ask.raised": Priority.CRITICAL,
    "ask.answered": Priority.CRITICAL,
    "run.cancel_requested": Priority.CRITICAL,
    "run.queued": Priority.HIGH,
    "bug.reported": Priority.HIGH,
    "correction.started": Priority.HIGH,
    "correction.completed": Priority.HIGH,
    "code.generated": Priority.HIGH,
    "plan.completed": Priority.MEDIUM,
    "module.started": Priority.MEDIUM,
    "module.iterated": Priority.MEDIUM,
    "test.started": Priority.MEDIUM,
    "test.passed": Priority.MEDIUM,
    "test.failed": Priority.HIGH,
    "step.completed": Priority.MEDIUM,
    "step.failed": Priority.MEDIUM,
    "analysis.completed": Priority.LOW,
    "milestone": Priority.LOW,
}


def parse_priority(value: object) -> Priority:
    """One of the five, by name or number. Refused lists them."""
    if isinstance(value, str) and value.upper() in Priority.__members__:
        return Priority[value.upper()]
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and value in set(Priority)
    ):
        return Priority(value)
    names = ", ".join(f"{p.name} ({p.value})" for p in Priority)
    raise Refused("priority", f"must be one of {names}")


def priority_of_event(event_type: object) -> Priority:
    """What an event type is worth; anything unknown is BACKGROUND."""
    if not isinstance(event_type, str):
        return Priority.BACKGROUND
    return PRIORITY_OF_EVENT.get(event_type, Priority.BACKGROUND)


def may_preempt(waiting: int, running: int) -> bool:
    """Whether a waiting run is important enough to interrupt a running one."""
    return running - waiting >= PREEMPTION_GAP
