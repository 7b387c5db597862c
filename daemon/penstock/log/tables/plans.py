"""How some runs wait in line: not before a moment, put aside, or at another place than they came to.

Most have no plan, and cost the table nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from penstock.log.tables.db import Statements


@dataclass(frozen=True, slots=True)
class WaitPlan:
    """A row of `plans`, of an open run."""

    #: Its place among runs of its priority: lower goes first.
    turn: int
    #: Microseconds since 1970; None: at once.
    not_before: int | None = None
    #: Put aside until somebody enqueues it.
    stashed: bool = False

    def allows_start(self, now: int) -> bool:
        """Whether it may start at this moment, in microseconds since 1970."""
        return not self.stashed and (self.not_before is None or self.not_before <= now)


_KEEP = (
    "INSERT INTO plans (run, turn, not_before, stashed) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (run) DO UPDATE SET turn = excluded.turn, not_before = excluded.not_before,"
    " stashed = excluded.stashed"
)


def save_plan(db: Statements, run: int, plan: WaitPlan) -> None:
    """Keep the plan of the run of this key, in the transaction that changes it."""
    values = (run, plan.turn, plan.not_before, int(plan.stashed))
    db.execute(_KEEP, values)


def drop_plan(db: Statements, run: int) -> None:
    """The run has ended."""
    db.execute("DELETE FROM plans WHERE run = ?", (run,))


ALL_PLANS = "SELECT run, turn, not_before, stashed FROM plans"


def plans_of(rows: Iterable[tuple[Any, ...]]) -> dict[int, WaitPlan]:
    """Plans by the keys of their runs."""
    return {run: WaitPlan(turn, at, bool(aside)) for run, turn, at, aside in rows}
