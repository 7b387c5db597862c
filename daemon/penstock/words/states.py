"""The names of a run's states and of the events that end it: all that a client must know of them.

What moves a run from one state to the next stands in `penstock.words.lifecycle`.
"""

from __future__ import annotations

from typing import Literal

State = Literal[
    "queued", "running", "waiting", "preempted", "completed", "failed", "cancelled"
]

#: States in which a run has not ended.
OPEN_STATES: tuple[State, ...] = ("queued", "running", "waiting", "preempted")
#: States in which a run stands in line for a slot.
QUEUED_STATES: tuple[State, ...] = ("queued", "preempted")
TERMINAL_STATES: tuple[State, ...] = ("completed", "failed", "cancelled")

#: The type of the event that ends a run -> its state from then on.
ENDS: dict[str, State] = {
    "run.completed": "completed",
    "run.failed": "failed",
    "run.cancelled": "cancelled",
}
TERMINAL_TYPES = frozenset(ENDS)
