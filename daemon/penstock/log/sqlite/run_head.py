"""The columns of a run that handlers look at, and what may be done to a run that has them."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from penstock.log.sqlite.window import Window
from penstock.log.writes import Fence
from penstock.words.clocks import Clock
from penstock.words.errors import Conflict, Fenced, LogDamaged, Refused, Terminal
from penstock.words.lifecycle import (
    EXECUTING_STATES,
    FIRST_STATE,
    TERMINAL_STATES,
    IllegalTransition,
    State,
    next_state,
)

#: Processes a run's clock may name once clients add to it: each fact carries the clock.
LARGEST_CLOCK = 256

#: Columns of RunHead that are written at once; the others are written once per commit.
WRITTEN_AT_ONCE = frozenset({"state", "life", "token", "attempt", "cancel_requested"})

_LOAD = (
    "SELECT key, run_id, state, life, token, attempt, cancel_requested, sequence, last_position,"
    " code_version, clock FROM runs WHERE run_id = ?"
)


@dataclass(slots=True, eq=False)
class RunHead:
    """The columns of a run that handlers look at; `code_version` -1 means no code yet."""

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
    #: What is kept of the run's output; None until a piece of it is recorded in this life.
    window: Window | None = None

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL_STATES

    @property
    def executing(self) -> bool:
        """Whether a task holds the run; one that waits for a person after a restart has no life."""
        return self.life is not None and self.state in EXECUTING_STATES

    def check(self, fence: Fence) -> None:
        """Terminal once the run has ended; Fenced unless `fence` names its owner."""
        if self.ended:
            raise Terminal(f"the run {self.run_id} has ended", run_id=self.run_id)
        if not self.executing or (self.life, self.token) != (fence.life, fence.token):
            raise Fenced(run_id=self.run_id)


def new_head(key: int, run_id: str) -> RunHead:
    """A run that was just put into the tables."""
    return RunHead(key, run_id, FIRST_STATE, None, 0, 0, None, 0, 0, -1, {})


def load_head(db: sqlite3.Connection, run_id: str) -> RunHead | None:
    """The run as the tables have it. LogDamaged if its row is not what was written."""
    columns: tuple[Any, ...] | None = db.execute(_LOAD, (run_id,)).fetchone()
    if columns is None:
        return None
    try:
        values = [*columns[:-1], dict(from_json(columns[-1]))]
    except (ValueError, TypeError):
        raise LogDamaged(
            f"the log is damaged: the row of the run {run_id!r} is malformed",
            run_id=run_id,
        ) from None
    return RunHead(*values)


def check_clock_size(head: RunHead, clock: Clock) -> None:
    """Refused if a client's clock would make every later fact of the run carry too much."""
    if len(clock) > 0 and len(head.clock.keys() | clock.keys()) > LARGEST_CLOCK:
        raise Refused("clock", f"names more than {LARGEST_CLOCK} processes")


def check_move(head: RunHead, event_type: str) -> State:
    """The state after the fact; Conflict if the run's state does not allow it."""
    try:
        state = next_state(head.state, event_type)
    except IllegalTransition as error:
        raise Conflict(str(error), run_id=head.run_id) from None
    assert state is not None
    return state
