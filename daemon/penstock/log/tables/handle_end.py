"""How runs end or are let go, and what one end or one cancel does to the runs around it.

It all stands in the same commit: dependants are counted down or cancelled, questions closed,
children ended or asked to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic_core import from_json

from penstock.log.new_events import NewEvent
from penstock.log.results import CancelAnswer, Concluded
from penstock.log.tables.asks import close_asks, open_ask
from penstock.log.tables.plans import WaitPlan
from penstock.log.tables.rows import to_json, to_micros
from penstock.log.tables.run_head import RunHead, check_move
from penstock.log.tables.transaction import Transaction
from penstock.log.writes import Complete, Release, RequestCancel
from penstock.words.cancel_receipt import left_of
from penstock.words.errors import Conflict, Refused
from penstock.words.events import (
    DAEMON_STREAM,
    TERMINAL_TYPES,
    AskRaised,
    RunCancelRequested,
    RunPreempted,
    RunRequeued,
    Terminal,
    encode_event,
    parse_event,
)
from penstock.words.lifecycle import COMPLETED, PARKED_STATES, PAUSED, State, terminal
from penstock.words.recorded import Recorded
from penstock.words.wait_reason import RESTART_ASK


@dataclass(slots=True)
class Cascade:
    """What an end, or a cancel, did to runs; `recorded` is in position order."""

    facts: list[Recorded] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    signalled: list[str] = field(default_factory=list)

    @property
    def recorded(self) -> tuple[Recorded, ...]:
        return tuple(self.facts)


def close(
    transaction: Transaction,
    head: RunHead,
    new_event: NewEvent,
    cascade: Cascade,
    used_seconds: float,
) -> None:
    """Record the one terminal fact of a run."""
    state = check_move(head, new_event.type)
    fact = transaction.record(head, new_event)
    outcome = from_json(new_event.body)
    outcome.pop("type", None)
    drop_owner(
        transaction,
        head,
        used_seconds,
        state=state,
        reason=str(outcome.get("reason", "")),
        ended_at=to_micros(new_event.at),
        outcome=to_json(outcome),
    )
    close_asks(transaction, head)
    if head.plan is not None:
        transaction.arrange(head, None)
    cascade.facts.append(fact)
    cascade.ended.append(head.run_id)


def drop_owner(
    transaction: Transaction,
    head: RunHead,
    used_seconds: float,
    *,
    state: State,
    reason: str,
    ended_at: int | None = None,
    outcome: str | None = None,
) -> None:
    """Nobody executes the run any more."""
    transaction.update(
        head,
        used_seconds=head.used_seconds + used_seconds,
        state=state,
        reason=reason,
        ended_at=ended_at,
        outcome=outcome,
        life=None,
        wants_slot=0,
    )


def cancel_one(
    transaction: Transaction,
    head: RunHead,
    reason: str,
    at: datetime,
    cascade: Cascade,
    cause: UUID | None,
) -> UUID | None:
    """End the run or ask its owner to; the id of the fact that says so, None if none was needed."""
    if head.ended or head.run_id in cascade.signalled:
        return None
    if not head.executing:
        event = terminal("cancelled", reason=reason)
        return _end_one(transaction, head, event, at, cascade, cause=cause)
    cascade.signalled.append(head.run_id)
    if head.cancel_requested is not None:
        return None
    transaction.update(head, cancel_requested=reason)
    fact = transaction.make(head, RunCancelRequested(reason=reason), at, cause=cause)
    cascade.facts.append(fact)
    return fact.event_id


def cascade_from(
    transaction: Transaction,
    ended: Iterable[tuple[RunHead, UUID]],
    at: datetime,
    cascade: Cascade,
) -> None:
    """Carry ends and cancels on to dependants and children, and to theirs."""
    waiting = deque(ended)
    while waiting:
        head, cause = waiting.popleft()
        state = head.state if head.ended else "being cancelled"
        if head.state == COMPLETED:
            _count_down(transaction, head)
            continue
        if head.ended:
            for other in _dependants(transaction, head):
                reason = f"its prerequisite {head.run_id} is {state}"
                if caused := cancel_one(transaction, other, reason, at, cascade, cause):
                    waiting.append((other, caused))
        for other in transaction.open.children(head.run_id):
            reason = f"its parent {head.run_id} is {state}"
            if caused := cancel_one(transaction, other, reason, at, cascade, cause):
                waiting.append((other, caused))


def _count_down(transaction: Transaction, head: RunHead) -> None:
    for other in _dependants(transaction, head):
        transaction.update(other, open_prerequisites=other.open_prerequisites - 1)


def _dependants(transaction: Transaction, head: RunHead) -> list[RunHead]:
    """The open runs that wait for this one, in the order in which they came."""
    if head.key not in transaction.open.awaited:
        return []
    sql = (
        "SELECT run_id FROM prerequisites CROSS JOIN runs ON runs.key = run"
        " WHERE prerequisite = ? AND ended_at IS NULL ORDER BY runs.key"
    )
    found = transaction.query(sql, (head.key,)).fetchall()
    heads = [transaction.find_open(run_id) for (run_id,) in found]
    return [head for head in heads if head is not None]


_RELEASES = frozenset({"run.preempted", "run.requeued", "run.waiting"})


def end(
    transaction: Transaction,
    head: RunHead,
    event: Terminal,
    at: datetime,
    *,
    cause: UUID | None = None,
    event_id: UUID | None = None,
) -> Cascade:
    """End a run that is not executing, and with it what depends on it."""
    cascade = Cascade()
    caused = _end_one(
        transaction, head, event, at, cascade, cause=cause, event_id=event_id
    )
    cascade_from(transaction, [(head, caused)], at, cascade)
    return cascade


def _end_one(
    transaction: Transaction,
    head: RunHead,
    event: Terminal,
    at: datetime,
    cascade: Cascade,
    *,
    cause: UUID | None,
    event_id: UUID | None = None,
) -> UUID:
    """Record the end of a run that nobody executes, and what may be left of it; the id of that fact."""
    event_id = event_id or transaction.new_id()
    if left := _left_before(transaction, head):
        event = event.model_copy(update={"details": {**event.details, **left}})
    new_event = NewEvent.of(head.run_id, event, at, event_id, cause)
    close(transaction, head, new_event, cascade, 0.0)
    return event_id


def complete(transaction: Transaction, write: Complete) -> Concluded:
    """The execution ends with a terminal fact."""
    if (known := _known(transaction, write)) is not None:
        return known
    head = transaction.get(write.fence.run_id)
    head.check(write.fence)
    if (
        write.new_event.type not in TERMINAL_TYPES
        or write.new_event.run_id != head.run_id
    ):
        raise Conflict(
            f"{write.new_event.type} of {write.new_event.run_id} does not end the run {head.run_id}"
        )
    new_event = write.new_event
    if head.cancel_requested is not None and new_event.type != "run.cancelled":
        # The end was chosen while the request was on its way; what is recorded first counts.
        new_event = _cancelled(head, write)
    return _conclude(transaction, head, new_event, write.used_seconds)


def _cancelled(head: RunHead, write: Complete | Release) -> NewEvent:
    """The end of a run whose cancel was recorded, in place of what its execution said."""
    details = {} if write.receipt is None else {"receipt": dict(write.receipt)}
    reason = head.cancel_requested or ""
    event = terminal("cancelled", reason=reason, details=details)
    said = write.new_event
    return NewEvent.of(head.run_id, event, said.at, said.event_id)


def _conclude(
    transaction: Transaction, head: RunHead, new_event: NewEvent, used_seconds: float
) -> Concluded:
    cascade = Cascade()
    close(transaction, head, new_event, cascade, used_seconds)
    cascade_from(transaction, [(head, new_event.event_id)], new_event.at, cascade)
    ended, signalled = tuple(cascade.ended[1:]), tuple(cascade.signalled)
    return Concluded(cascade.recorded, ended=ended, signalled=signalled)


def _known(transaction: Transaction, write: Complete | Release) -> Concluded | None:
    """The conclusion as it was recorded, if this is the same one again."""
    known = transaction.find_cascade(write.new_event.event_id)
    if not known:
        return None
    if known[0].run_id != write.fence.run_id:
        raise Conflict("this event id is known with other content")
    others = [fact for fact in known[1:] if fact.run_id != write.fence.run_id]
    return Concluded(
        known,
        ended=tuple(fact.run_id for fact in others if fact.type in TERMINAL_TYPES),
        signalled=tuple(
            fact.run_id for fact in others if fact.type == "run.cancel_requested"
        ),
    )


def release(transaction: Transaction, write: Release) -> Concluded:
    """The execution ends and the run goes on later; a cancel that came meanwhile wins."""
    if (known := _known(transaction, write)) is not None:
        return known
    head, new_event = transaction.get(write.fence.run_id), write.new_event
    head.check(write.fence)
    if new_event.type not in _RELEASES or new_event.run_id != head.run_id:
        raise Conflict(
            f"{new_event.type} of {new_event.run_id} does not release the run {head.run_id}"
        )
    if head.cancel_requested is not None:
        return _conclude(transaction, head, _cancelled(head, write), write.used_seconds)
    if head.state == PAUSED:
        new_event = _put_aside(new_event)
    state = check_move(head, new_event.type)
    facts = [transaction.record(head, new_event)]
    drop_owner(
        transaction,
        head,
        write.used_seconds,
        state=state,
        reason=_reason(facts[0]),
        outcome=_left_by(write),
    )
    _put_off(transaction, head, facts[0])
    if state in PARKED_STATES:
        facts.append(_ask_restart(transaction, head, facts[0]))
    return Concluded(tuple(facts))


def _put_off(transaction: Transaction, head: RunHead, fact: Recorded) -> None:
    """A run that failed and is executed again waits until then, at its own place."""
    event = fact.event
    if isinstance(event, RunRequeued) and event.not_before is not None:
        moment = to_micros(event.not_before)
        transaction.arrange(head, WaitPlan(head.place, not_before=moment))
    elif isinstance(event, RunRequeued) and event.stashed:
        transaction.arrange(head, WaitPlan(head.place, stashed=True))


def _put_aside(new_event: NewEvent) -> NewEvent:
    """The same release of a run that was paused: neither a restart nor a free slot lets it go on."""
    event = parse_event(from_json(new_event.body))
    if isinstance(event, RunPreempted):
        # It was asked to give way before it was paused.
        event = RunRequeued(reason="preempted")
    if not isinstance(event, RunRequeued) or event.not_before is not None:
        return new_event
    aside = event.model_copy(update={"stashed": True})
    return new_event._replace(type=aside.type, body=encode_event(aside), event=aside)


def _left_by(write: Release) -> str | None:
    """What a run that goes on keeps of its execution: processes that may be left.

    The receipts to come speak of them too.
    """
    if write.receipt is None or not left_of(write.receipt):
        return None
    return to_json({"left": dict(write.receipt)})


def _left_before(transaction: Transaction, head: RunHead) -> dict[str, Any]:
    """What of that belongs into the end of a run that nobody executes."""
    if head.attempt == 0:
        return {}
    sql = "SELECT outcome FROM runs WHERE key = ?"
    (kept,) = transaction.query(sql, (head.key,)).fetchone()
    return {} if kept is None else {"receipt": from_json(kept)["left"]}


def _reason(fact: Recorded) -> str:
    event = fact.event
    return str(getattr(event, "reason", None) or getattr(event, "by", ""))


def _ask_restart(transaction: Transaction, head: RunHead, cause: Recorded) -> Recorded:
    ask = AskRaised(
        name=RESTART_ASK,
        question="A restart interrupted this run. Repeat it, or let it fail?",
        choices=("requeue", "fail"),
    )
    open_ask(transaction, head, ask, cause.at)
    return transaction.make(head, ask, cause.at, cause=cause.event_id)


def request_cancel(transaction: Transaction, write: RequestCancel) -> CancelAnswer:
    """Cancel a run and its children, or every open run."""
    if write.run_id == DAEMON_STREAM and not write.all_open:
        raise Refused("run_id", f"{DAEMON_STREAM!r} is reserved")
    cascade = Cascade()
    if write.all_open:
        for one in transaction.open.all():
            if write.life not in {None, one.life}:
                continue
            _cancel(transaction, one, write.reason, write.at, cascade)
        return _answer(cascade)
    head = transaction.find(write.run_id)
    if head is None:
        transaction.writes += 1
        values = (write.run_id, write.reason, to_micros(write.at))
        transaction.db.execute(
            "INSERT INTO tombstones (run_id, reason, at) VALUES (?, ?, ?)"
            " ON CONFLICT (run_id) DO NOTHING",
            values,
        )
        return CancelAnswer(outcome="tombstoned")
    if head.ended:
        return CancelAnswer(outcome="already_terminal")
    _cancel(transaction, head, write.reason, write.at, cascade)
    return _answer(cascade)


def _answer(cascade: Cascade) -> CancelAnswer:
    outcome: Literal["cancelled", "signalled", "already_terminal"] = "already_terminal"
    if cascade.signalled:
        outcome = "signalled"
    elif cascade.ended:
        outcome = "cancelled"
    ended, signalled = tuple(cascade.ended), tuple(cascade.signalled)
    return CancelAnswer(
        cascade.recorded, outcome=outcome, ended=ended, signalled=signalled
    )


def _cancel(
    transaction: Transaction, head: RunHead, reason: str, at: datetime, cascade: Cascade
) -> None:
    """Cancel one run and all below it."""
    caused = cancel_one(transaction, head, reason, at, cascade, None)
    cascade_from(transaction, [(head, caused)] if caused else [], at, cascade)
