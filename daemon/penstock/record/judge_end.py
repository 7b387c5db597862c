"""How runs end or are let go, and what that does to the runs around them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from penstock.record.asks import open_ask
from penstock.record.decisions import Complete, Release, RequestCancel
from penstock.record.drafts import Draft
from penstock.record.effects import Effects, cancel_one, close, let_go, spread
from penstock.record.entry import Entry, check_move
from penstock.record.ledger import Ledger
from penstock.record.outcomes import CancelAnswer, Concluded
from penstock.record.rows import to_micros
from penstock.words.errors import Conflict, Refused
from penstock.words.events import (
    DAEMON_STREAM,
    TERMINAL_TYPES,
    AskRaised,
    Terminal,
    encode_event,
)
from penstock.words.lifecycle import RESTART_ASK, terminal
from penstock.words.recorded import Recorded

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
