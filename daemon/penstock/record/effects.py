"""What one end or one cancel does to the runs around it, in the same commit."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pydantic_core import from_json

from penstock.record.asks import close_asks
from penstock.record.drafts import Draft
from penstock.record.entry import Entry, check_move
from penstock.record.ledger import Ledger
from penstock.record.rows import to_json, to_micros
from penstock.words.events import RunCancelRequested, encode_event
from penstock.words.lifecycle import State, terminal
from penstock.words.recorded import Recorded

_LET_GO = (
    "UPDATE runs SET used_seconds = used_seconds + ?, state = ?, reason = ?, ended_at = ?,"
    " outcome = ?, life = NULL, wants_slot = 0 WHERE key = ?"
)


@dataclass(slots=True)
class Effects:
    """What an end, or a cancel, did to runs; `recorded` is in position order."""

    facts: list[Recorded] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    signalled: list[str] = field(default_factory=list)

    @property
    def recorded(self) -> tuple[Recorded, ...]:
        return tuple(self.facts)


def close(
    ledger: Ledger, entry: Entry, draft: Draft, effects: Effects, used_seconds: float
) -> None:
    """Record the one terminal fact of a run."""
    state = check_move(entry, draft.type)
    fact = ledger.record(entry, draft)
    outcome = from_json(draft.body)
    outcome.pop("type", None)
    let_go(
        ledger,
        entry,
        used_seconds,
        state=state,
        reason=str(outcome.get("reason", "")),
        ended_at=to_micros(draft.at),
        outcome=to_json(outcome),
    )
    close_asks(ledger, entry)
    effects.facts.append(fact)
    effects.ended.append(entry.run_id)


def let_go(
    ledger: Ledger,
    entry: Entry,
    used_seconds: float,
    *,
    state: State,
    reason: str,
    ended_at: int | None = None,
    outcome: str | None = None,
) -> None:
    """Nobody executes the run any more."""
    entry.state, entry.life = state, None
    ledger.write(entry, _LET_GO, used_seconds, state, reason, ended_at, outcome)


def cancel_one(
    ledger: Ledger,
    entry: Entry,
    reason: str,
    at: datetime,
    effects: Effects,
    cause: UUID | None,
) -> UUID | None:
    """End the run or ask its owner to; the id of the fact that says so, None if none was needed."""
    if entry.ended or entry.run_id in effects.signalled:
        return None
    if not entry.executing:
        event = terminal("cancelled", reason=reason)
        body, event_id = encode_event(event), ledger.new_id()
        draft = Draft(entry.run_id, event.type, body, at, event_id, causation_id=cause)
        close(ledger, entry, draft, effects, 0.0)
        return event_id
    effects.signalled.append(entry.run_id)
    if entry.cancel_requested is not None:
        return None
    ledger.update(entry, cancel_requested=reason)
    fact = ledger.make(entry, RunCancelRequested(reason=reason), at, cause=cause)
    effects.facts.append(fact)
    return fact.event_id


def spread(
    ledger: Ledger, ended: Iterable[tuple[Entry, UUID]], at: datetime, effects: Effects
) -> None:
    """Carry ends and cancels on to dependants and children, and to theirs."""
    waiting = deque(ended)
    while waiting:
        entry, cause = waiting.popleft()
        state = entry.state if entry.ended else "being cancelled"
        if entry.state == "completed":
            _count_down(ledger, entry)
            continue
        if entry.ended:
            for other in _dependants(ledger, entry):
                reason = f"its prerequisite {entry.run_id} is {state}"
                if caused := cancel_one(ledger, other, reason, at, effects, cause):
                    waiting.append((other, caused))
        for other in _children(ledger, entry):
            reason = f"its parent {entry.run_id} is {state}"
            if caused := cancel_one(ledger, other, reason, at, effects, cause):
                waiting.append((other, caused))


def _count_down(ledger: Ledger, entry: Entry) -> None:
    ledger.db.execute(
        "UPDATE runs SET open_prerequisites = open_prerequisites - 1 WHERE ended_at IS NULL"
        " AND key IN (SELECT run FROM prerequisites WHERE prerequisite = ?)",
        (entry.key,),
    )


def _dependants(ledger: Ledger, entry: Entry) -> list[Entry]:
    sql = "SELECT run_id FROM prerequisites JOIN runs ON key = run WHERE prerequisite = ? ORDER BY key"
    return [
        ledger.get(run_id)
        for (run_id,) in ledger.db.execute(sql, (entry.key,)).fetchall()
    ]


def _children(ledger: Ledger, entry: Entry) -> list[Entry]:
    sql = (
        "SELECT run_id FROM runs WHERE parent_id = ? AND ended_at IS NULL ORDER BY key"
    )
    return [
        ledger.get(run_id)
        for (run_id,) in ledger.db.execute(sql, (entry.run_id,)).fetchall()
    ]
