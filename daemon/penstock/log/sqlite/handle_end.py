"""How runs end or are let go, and what one end or one cancel does to the runs around it.

It all stands in the same commit: dependants are counted down or cancelled, questions closed,
children ended or asked to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic_core import from_json

from penstock.log.sqlite.rows import to_json, to_micros
from penstock.log.sqlite.transaction import (
    Entry,
    Ledger,
    check_move,
    close_asks,
    open_ask,
)
from penstock.log.writes import (
    CancelAnswer,
    Complete,
    Concluded,
    Draft,
    Release,
    RequestCancel,
)
from penstock.words.errors import Conflict, Refused
from penstock.words.events import (
    DAEMON_STREAM,
    TERMINAL_TYPES,
    AskRaised,
    RunCancelRequested,
    Terminal,
    encode_event,
)
from penstock.words.lifecycle import RESTART_ASK, State, terminal
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


# Left to itself SQLite takes the index by place, and reads every run that ever was.
_ALL_OPEN = (
    "SELECT run_id FROM runs INDEXED BY runs_state WHERE ended_at IS NULL AND key > 0"
    " ORDER BY place"
)
_RELEASES = frozenset({"run.preempted", "run.requeued", "run.waiting"})


def end(
    ledger: Ledger,
    entry: Entry,
    event: Terminal,
    at: datetime,
    *,
    cause: UUID | None = None,
    event_id: UUID | None = None,
) -> Effects:
    """End a run that is not executing, and with it what depends on it."""
    event_id = event_id or ledger.new_id()
    body = encode_event(event)
    draft = Draft(entry.run_id, event.type, body, at, event_id, causation_id=cause)
    effects = Effects()
    close(ledger, entry, draft, effects, 0.0)
    spread(ledger, [(entry, event_id)], at, effects)
    return effects


def complete(ledger: Ledger, d: Complete) -> Concluded:
    """The execution ends with a terminal fact."""
    if (known := _known(ledger, d)) is not None:
        return known
    entry = ledger.get(d.fence.run_id)
    entry.check(d.fence)
    if d.draft.type not in TERMINAL_TYPES or d.draft.run_id != entry.run_id:
        raise Conflict(
            f"{d.draft.type} of {d.draft.run_id} does not end the run {entry.run_id}"
        )
    draft = d.draft
    if entry.cancel_requested is not None and draft.type != "run.cancelled":
        # The end was chosen while the request was on its way; what is recorded first counts.
        draft = _cancelled(entry, draft)
    return _conclude(ledger, entry, draft, d.used_seconds)


def _cancelled(entry: Entry, draft: Draft) -> Draft:
    """The end of a run whose cancel was recorded, in place of what its execution said."""
    event = terminal("cancelled", reason=entry.cancel_requested or "")
    return Draft(
        entry.run_id, event.type, encode_event(event), draft.at, draft.event_id
    )


def _conclude(
    ledger: Ledger, entry: Entry, draft: Draft, used_seconds: float
) -> Concluded:
    effects = Effects()
    close(ledger, entry, draft, effects, used_seconds)
    spread(ledger, [(entry, draft.event_id)], draft.at, effects)
    ended, signalled = tuple(effects.ended[1:]), tuple(effects.signalled)
    return Concluded(effects.recorded, ended=ended, signalled=signalled)


def _known(ledger: Ledger, d: Complete | Release) -> Concluded | None:
    """The conclusion as it was recorded, if this is the same one again."""
    known = ledger.stored_with_effects(d.draft.event_id)
    if not known:
        return None
    if known[0].run_id != d.fence.run_id:
        raise Conflict("this event id is known with other content")
    others = [fact for fact in known[1:] if fact.run_id != d.fence.run_id]
    return Concluded(
        known,
        ended=tuple(fact.run_id for fact in others if fact.type in TERMINAL_TYPES),
        signalled=tuple(
            fact.run_id for fact in others if fact.type == "run.cancel_requested"
        ),
    )


def release(ledger: Ledger, d: Release) -> Concluded:
    """The execution ends and the run goes on later; a cancel that came meanwhile wins."""
    if (known := _known(ledger, d)) is not None:
        return known
    entry, draft = ledger.get(d.fence.run_id), d.draft
    entry.check(d.fence)
    if draft.type not in _RELEASES or draft.run_id != entry.run_id:
        raise Conflict(
            f"{draft.type} of {draft.run_id} does not release the run {entry.run_id}"
        )
    if entry.cancel_requested is not None:
        return _conclude(ledger, entry, _cancelled(entry, draft), d.used_seconds)
    state = check_move(entry, draft.type)
    facts = [ledger.record(entry, draft)]
    let_go(ledger, entry, d.used_seconds, state=state, reason=_reason(facts[0]))
    if state == "waiting":
        facts.append(_ask_restart(ledger, entry, facts[0]))
    return Concluded(tuple(facts))


def _reason(fact: Recorded) -> str:
    event = fact.event
    return str(getattr(event, "reason", None) or getattr(event, "by", ""))


def _ask_restart(ledger: Ledger, entry: Entry, cause: Recorded) -> Recorded:
    ask = AskRaised(
        name=RESTART_ASK,
        question="A restart interrupted this run. Repeat it, or let it fail?",
        choices=("requeue", "fail"),
    )
    open_ask(ledger, entry, ask, cause.at)
    return ledger.make(entry, ask, cause.at, cause=cause.event_id)


def request_cancel(ledger: Ledger, d: RequestCancel) -> CancelAnswer:
    """Cancel a run and its children, or every open run."""
    if d.run_id == DAEMON_STREAM and not d.all_open:
        raise Refused("run_id", f"{DAEMON_STREAM!r} is reserved")
    effects = Effects()
    if d.all_open:
        for (run_id,) in ledger.db.execute(_ALL_OPEN).fetchall():
            _cancel(ledger, ledger.get(run_id), d.reason, d.at, effects)
        return _answer(effects)
    entry = ledger.find(d.run_id)
    if entry is None:
        ledger.writes += 1
        values = (d.run_id, d.reason, to_micros(d.at))
        ledger.db.execute("INSERT OR IGNORE INTO tombstones VALUES (?, ?, ?)", values)
        return CancelAnswer(outcome="tombstoned")
    if entry.ended:
        return CancelAnswer(outcome="already_terminal")
    _cancel(ledger, entry, d.reason, d.at, effects)
    return _answer(effects)


def _answer(effects: Effects) -> CancelAnswer:
    outcome: Literal["cancelled", "signalled", "already_terminal"] = "already_terminal"
    if effects.signalled:
        outcome = "signalled"
    elif effects.ended:
        outcome = "cancelled"
    ended, signalled = tuple(effects.ended), tuple(effects.signalled)
    return CancelAnswer(
        effects.recorded, outcome=outcome, ended=ended, signalled=signalled
    )


def _cancel(
    ledger: Ledger, entry: Entry, reason: str, at: datetime, effects: Effects
) -> None:
    """Cancel one run and all below it."""
    caused = cancel_one(ledger, entry, reason, at, effects, None)
    spread(ledger, [(entry, caused)] if caused else [], at, effects)
