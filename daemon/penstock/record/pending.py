"""What is on its way through the recorder, and who is told of what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import trio

from penstock.record.decisions import Claim, Decision
from penstock.record.outcomes import Outcome
from penstock.words.errors import PenstockError
from penstock.words.recorded import Recorded

Answered = Outcome | PenstockError


class Follower(Protocol):
    """Who keeps memory in step with the log. All of it is called on the loop and never waits."""

    @property
    def head(self) -> int:
        """Position of the newest fact that was folded."""
        ...

    def claim(self, batch: Sequence[Decision], *, forced: bool) -> Claim | None:
        """What ends the batch: a claim, if it may free a slot or bring a run that wants one.

        `forced`: look even though nothing in the batch says so.
        """
        ...

    def apply(self, decision: Decision, outcome: Answered) -> None:
        """Take note of one decision's outcome, in batch order."""
        ...

    def fold(self, facts: Sequence[Recorded]) -> None:
        """Fold the batch's facts into the views and publish them, after all outcomes applied."""
        ...

    def abandon(self) -> None:
        """The writer has ended: whoever waits for a conclusion need not wait any more."""
        ...


@dataclass(eq=False, slots=True)
class Pending:
    """One decision on its way; `settled` is shared by all that entered for the same batch."""

    decision: Decision
    settled: trio.Event
    since: float
    counted: bool
    answer: Answered | None = None


@dataclass(frozen=True, slots=True)
class RecorderStatistics:
    """`pending` of `capacity` ordinary entries wait for a commit, `waiting` tasks for room."""

    pending: int
    capacity: int
    waiting: int
    batches: int
    decisions: int
    largest_batch: int
    dropped: int
    unavailable: str | None


@dataclass(slots=True)
class Counters:
    """What the recorder has done since its start."""

    batches: int = 0
    decisions: int = 0
    largest_batch: int = 0
    dropped: int = 0
