"""The columns of a run that handlers look at, and what may be done to a run that has them."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from penstock.log.kept import Fence, RunSpec
from penstock.log.tables.db import Statements
from penstock.log.tables.output_window import Window
from penstock.log.tables.plans import WaitPlan
from penstock.words.clocks import Clock
from penstock.words.errors import Conflict, Fenced, LogDamaged, Refused, Terminal
from penstock.words.lifecycle import (
    EXECUTING_STATES,
    FIRST_STATE,
    OPEN_STATES,
    TERMINAL_STATES,
    IllegalTransition,
    State,
    next_state,
)
from penstock.words.placement import NOTHING, Needs

#: Processes a run's clock may name once clients add to it: each fact carries the clock.
LARGEST_CLOCK = 256

#: Columns of RunHead that handlers change by `Transaction.update`.
KEPT = frozenset(
    {
        "state", "life", "token", "attempt", "cancel_requested", "wants_slot", "open_prerequisites",
        "used_seconds", "priority",
    }
)  # fmt: skip

#: What `head_of` takes.
HEAD_COLUMNS = (
    "key, run_id, state, life, token, attempt, cancel_requested, sequence, last_position,"
    " code_version, kind, priority, place, group_name, parent_id, created_at, wants_slot,"
    " open_prerequisites, used_seconds, origin, needs, clock"
)
_SELECT = f"SELECT {HEAD_COLUMNS} FROM runs"
_ONE = f"{_SELECT} WHERE run_id = ?"
#: The same of all runs.
SELECT_HEADS = f"{_SELECT} WHERE key > 0"
# What these columns hold, but for the two that are JSON: with and without each that may be NULL.
_TYPES = frozenset(
    (
        int, str, str, life, int, int, cancel, int, int, int, str, int, int, group, parent, int, int,
        int, seconds, str,
    )
    for life, cancel, group, parent in itertools.product((str, type(None)), repeat=4)
    for seconds in (float, int)
)  # fmt: skip
# Left to itself SQLite takes the index by place, and reads every run that ever was.
_OPEN = f"{_SELECT} INDEXED BY runs_state WHERE ended_at IS NULL AND key > 0"


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
    kind: str
    priority: int
    place: int
    group: str | None
    parent_id: str | None
    #: Microseconds since 1970.
    created_at: int
    #: It is parked and wants its slot back.
    wants_slot: int
    open_prerequisites: int
    used_seconds: float
    #: The box that it was submitted at, and what it asks of the one that executes it.
    origin: str
    needs: Needs
    clock: dict[str, int]
    #: What is kept of the run's output; None until a piece of it is recorded in this life.
    window: Window | None = None
    #: How it waits in line, of an open run; None: by its place alone.
    plan: WaitPlan | None = None

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL_STATES

    @property
    def executing(self) -> bool:
        """Whether a task holds the run; one that waits for a person after a restart has no life."""
        return self.life is not None and self.state in EXECUTING_STATES

    def check_open(self) -> None:
        """Terminal once the run has ended."""
        if self.ended:
            raise Terminal(f"the run {self.run_id} has ended", run_id=self.run_id)

    def check(self, fence: Fence) -> None:
        """Terminal once the run has ended; Fenced unless `fence` names its owner."""
        self.check_open()
        if not self.executing or (self.life, self.token) != (fence.life, fence.token):
            raise Fenced(run_id=self.run_id)


def new_head(
    key: int,
    spec: RunSpec,
    *,
    place: int,
    created_at: int,
    open_prerequisites: int,
) -> RunHead:
    """A run that is put into the tables."""
    return RunHead(
        key, spec.run_id, FIRST_STATE, None, 0, 0, None, 0, 0, -1, spec.kind, spec.priority, place,
        spec.group, spec.parent_id, created_at, 0, open_prerequisites, 0.0, spec.origin,
        spec.needs or NOTHING, {},
    )  # fmt: skip


def load_head(db: Statements, run_id: str) -> RunHead | None:
    """The run as the tables have it. LogDamaged if its row is not what was written."""
    columns: tuple[Any, ...] | None = db.execute(_ONE, (run_id,)).fetchone()
    return None if columns is None else head_of(columns)


def load_open(db: Statements, lost: set[str]) -> list[RunHead]:
    """All runs that have not ended, without those that are `lost`.

    One whose row is not what was written is lost from then on: its own affair, and no other run's.
    """
    return heads_of(db.execute(_OPEN), OPEN_STATES, lost)


def heads_of(
    rows: Iterable[tuple[Any, ...]], states: Collection[State], lost: set[str]
) -> list[RunHead]:
    """Those rows that are what was written, of runs in these states; the others are `lost`."""
    heads: list[RunHead] = []
    for columns in rows:
        try:
            head = head_of(columns)
            if head.state not in states:
                raise damaged_row(head.run_id)
        except LogDamaged as error:
            lost.add(str(error.facts["run_id"]))
            continue
        if head.run_id not in lost:
            heads.append(head)
    return heads


def head_of(columns: tuple[Any, ...]) -> RunHead:
    """A row of SELECT_HEADS. LogDamaged if it is not what was written."""
    *plain, needs, clock = columns
    try:
        asked = NOTHING if needs is None else dict(from_json(needs))
        values = [*plain, asked, dict(from_json(clock))]
    except (ValueError, TypeError):
        raise damaged_row(str(columns[1])) from None
    # A column takes any value; one of another type would fail whoever sorts all runs by it.
    if tuple(map(type, plain)) not in _TYPES:
        raise damaged_row(str(columns[1]))
    return RunHead(*values)


def damaged_row(run_id: str) -> LogDamaged:
    """What to raise of a run whose row is not what was written."""
    why = f"the log is damaged: the row of the run {run_id!r} is malformed"
    return LogDamaged(why, run_id=run_id)


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
