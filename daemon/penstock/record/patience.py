"""How long the recorder keeps at it when the store does not answer, and who waits that long."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.record.decisions import Append, Decision, Enqueue
from penstock.record.outcomes import Appended
from penstock.record.pending import Answered, Pending
from penstock.words.errors import StoreUnavailable
from penstock.words.events import DROPPABLE_TYPES

# Seconds between two tries at an unavailable store: the first, and the longest.
_FIRST_RETRY, _LONGEST_RETRY = 0.05, 1.0


def retry_delay(waited: float) -> float:
    """Seconds until the next try: a quarter of what was waited already, within bounds."""
    return min(_LONGEST_RETRY, max(_FIRST_RETRY, waited / 4))


def longest_wait(entries: Sequence[Pending], *, now: float) -> float:
    """Seconds that the oldest has waited; a claim alone, which nobody waits for, counts as 1 s."""
    return max((now - entry.since for entry in entries), default=1.0)


def gives_up(entry: Pending, *, now: float, patience: float) -> bool:
    """A conclusion never (D-16), a new run at once (its submitter is told 503), others in time."""
    if not entry.counted:
        return False
    if isinstance(entry.decision, Enqueue) and entry.decision.capacity is not None:
        return True
    return now - entry.since >= patience


def answer_without_store(decision: Decision, why: str) -> Answered:
    """What one who gave up is told: facts that may be dropped are taken as recorded."""
    return Appended() if _droppable(decision) else StoreUnavailable(why)


def _droppable(decision: Decision) -> bool:
    return isinstance(decision, Append) and all(
        d.type in DROPPABLE_TYPES for d in decision.drafts
    )
