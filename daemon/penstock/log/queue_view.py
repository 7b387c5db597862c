"""How many runs stand where, folded from the facts of all of them as the views of `projections` are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from penstock.words.lifecycle import (
    MOVING_TYPES,
    QUEUED_STATES,
    SLOT_STATES,
    TERMINAL_STATES,
    IllegalTransition,
    State,
    next_state,
)
from penstock.words.recorded import Recorded


@dataclass(slots=True)
class QueueView:
    """How many runs stand where. Takes the facts of all runs; remembers only open ones."""

    states: dict[str, tuple[State, int]] = field(default_factory=dict)
    queued_by_priority: Counter[int] = field(default_factory=Counter)
    queued: int = 0
    running: int = 0
    waiting: int = 0

    def seed(self, run_id: str, state: State, priority: int) -> None:
        """Begin with a run that was open before the first fact."""
        self._place(run_id, state, priority)

    def apply(self, fact: Recorded, priority: int) -> None:
        """Take the next fact of any run, and the run's priority."""
        state, known = self.states.get(fact.run_id, (None, 0))
        if fact.type not in MOVING_TYPES:
            if state is not None and known != priority:
                self._place(fact.run_id, state, priority)
            return
        try:
            after = next_state(state, fact.type)
        except IllegalTransition:
            return
        if after is not None:
            self._place(fact.run_id, after, priority)

    def lose(self, run_id: str) -> None:
        """Forget a run of which no fact will tell the end."""
        if (known := self.states.pop(run_id, None)) is not None:
            self._count(*known, -1)

    def _place(self, run_id: str, state: State, priority: int) -> None:
        before = self.states.pop(run_id, None)
        if before is not None:
            self._count(before[0], before[1], -1)
        if state not in TERMINAL_STATES:
            self.states[run_id] = (state, priority)
            self._count(state, priority, 1)

    def _count(self, state: State, priority: int, by: int) -> None:
        if state in QUEUED_STATES:
            self.queued += by
            self.queued_by_priority[priority] += by
        elif state in SLOT_STATES:
            self.running += by
        else:
            self.waiting += by
