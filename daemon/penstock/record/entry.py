"""What decisions look at before they write: a few columns of a run, and checks on them."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from penstock.record.drafts import Draft
from penstock.record.stored import Fence
from penstock.words.clocks import Clock
from penstock.words.errors import Conflict, Fenced, Refused, Terminal
from penstock.words.lifecycle import (
    TERMINAL_STATES,
    IllegalTransition,
    State,
    next_state,
)
from penstock.words.recorded import Recorded

#: Processes a run's clock may name once clients add to it: each fact carries the clock.
LARGEST_CLOCK = 256

#: Columns of Entry that are written at once; the others are written once per commit.
WRITTEN_AT_ONCE = frozenset({"state", "life", "token", "attempt", "cancel_requested"})

_LOAD = (
    "SELECT key, run_id, state, life, token, attempt, cancel_requested, sequence, last_position,"
    " code_version, clock FROM runs WHERE run_id = ?"
)


@dataclass(slots=True, eq=False)
class Entry:
    """The columns of a run that decisions look at; `code_version` -1 means no code yet."""

    key: int
    run_id: str
    state: State
    life: str | None
    token: int
    attempt: int
    cancel_requested: str | None
    sequence: int
    last_position: int
    code_version: int
    clock: dict[str, int]

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL_STATES

    @property
    def executing(self) -> bool:
        """Whether a task holds the run; one that waits for a person after a restart has no life."""
        return self.life is not None and self.state in ("running", "waiting")

    def check(self, fence: Fence) -> None:
        """Terminal once the run has ended; Fenced unless `fence` names its owner."""
        if self.ended:
            raise Terminal(f"the run {self.run_id} has ended", run_id=self.run_id)
        if not self.executing or (self.life, self.token) != (fence.life, fence.token):
            raise Fenced(run_id=self.run_id)


def new_entry(key: int, run_id: str) -> Entry:
    """A run that was just put into the tables."""
    return Entry(key, run_id, "queued", None, 0, 0, None, 0, 0, -1, {})


def load_entry(db: sqlite3.Connection, run_id: str) -> Entry | None:
    """The run as the tables have it."""
    columns: tuple[Any, ...] | None = db.execute(_LOAD, (run_id,)).fetchone()
    if columns is None:
        return None
    values = [*columns[:-1], from_json(columns[-1])]
    return Entry(*values)


def check_clock_size(entry: Entry, clock: Clock) -> None:
    """Refused if a client's clock would make every later fact of the run carry too much."""
    if len(clock) > 0 and len(entry.clock.keys() | clock.keys()) > LARGEST_CLOCK:
        raise Refused("clock", f"names more than {LARGEST_CLOCK} processes")


def check_move(entry: Entry, event_type: str) -> State:
    """The state after the fact; Conflict if the run's state does not allow it."""
    try:
        state = next_state(entry.state, event_type)
    except IllegalTransition as error:
        raise Conflict(str(error), run_id=entry.run_id) from None
    assert state is not None
    return state


def same_fact(draft: Draft, fact: Recorded) -> bool:
    """Whether a known id comes with what was recorded under it."""
    return (draft.run_id, draft.type, draft.body) == (fact.run_id, fact.type, fact.body)
