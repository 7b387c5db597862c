"""Which function handles which write, and the writes about a run that goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from penstock.log.new_events import NewEvent, encode_within
from penstock.log.results import Appended, Result
from penstock.log.tables.asks import (
    check_answer,
    check_ask,
    check_withdrawal,
    decides_restart,
    open_ask,
    save_answer,
    withdraw_ask,
)
from penstock.log.tables.boxes import forget_box, lose_box
from penstock.log.tables.handle_claim import claim
from penstock.log.tables.handle_end import complete, end, release, request_cancel
from penstock.log.tables.handle_pauses import set_box, set_drain, set_pause
from penstock.log.tables.handle_prune import prune
from penstock.log.tables.handle_submit import enqueue
from penstock.log.tables.output_window import PIECE
from penstock.log.tables.plans import WaitPlan
from penstock.log.tables.rows import NUMBERS, WORDS, shown_beside, to_json, to_micros
from penstock.log.tables.run_head import RunHead, check_clock_size, check_move
from penstock.log.tables.schedules import (
    advance_schedule,
    remove_schedule,
    set_schedule,
    set_slots,
)
from penstock.log.tables.transaction import Transaction, same_fact
from penstock.log.writes import (
    AdvanceSchedule,
    Answer,
    Append,
    Claim,
    Complete,
    Continue,
    Dismiss,
    Edit,
    Enqueue,
    ForgetBox,
    LoseBox,
    Park,
    Prune,
    Rearrange,
    Release,
    RemoveSchedule,
    RequestCancel,
    RequestPreempt,
    SetBox,
    SetDrain,
    SetPause,
    SetSchedule,
    SetSlots,
    Suspend,
    Unpark,
    Write,
)
from penstock.words.errors import (
    Conflict,
    Fenced,
    LogDamaged,
    PenstockError,
    Refused,
)
from penstock.words.events import (
    AskAnswered,
    FailuresDismissed,
    RunContinued,
    RunEdited,
    RunPaused,
    RunRearranged,
    RunRequeued,
    RunWaiting,
)
from penstock.words.lifecycle import (
    FAILED,
    MOVING_TYPES,
    PARKED_STATES,
    PAUSED,
    QUEUED_STATES,
    SLOT_STATES,
    terminal,
)
from penstock.words.recorded import Recorded
from penstock.words.wait_reason import RESTART_ASK

R = TypeVar("R", bound=Result)

#: Facts that raise the run's code version.
CODE_TYPES = frozenset({"code.generated", "correction.completed"})
LARGEST_VERSION = 2**63 - 1


def handle(transaction: Transaction, write: Write[R]) -> R | PenstockError:
    """Do one write whole, or refuse it alone.

    Each handler checks before it writes; one that did not would leave half of it, so its refusal
    undoes the batch.
    """
    before = transaction.writes
    try:
        # The table was checked line by line: what stands beside this type answers an R.
        result: R = HANDLERS[type(write)](transaction, write)
    except PenstockError as refusal:
        if isinstance(refusal, LogDamaged):
            raise
        if transaction.writes != before:
            raise RuntimeError(
                f"{type(write).__name__} was refused after it wrote"
            ) from refusal
        return refusal
    return result


def event_ids(batch: Sequence[Write[Result]]) -> Iterator[UUID]:
    """The ids under which the writes' facts may be known already."""
    for write in batch:
        match write:
            case Append():
                for new_event in write.new_events:
                    yield new_event.event_id
            case Enqueue() | Answer():
                yield write.event_id
            case Release() | Complete():
                yield write.new_event.event_id
            case _:
                pass


def append(transaction: Transaction, write: Append) -> Appended:
    """Record facts about one run, or about the daemon."""
    if not write.new_events:
        return Appended()
    if (duplicate := _duplicate(transaction, write.new_events)) is not None:
        return duplicate
    head = transaction.get(write.new_events[0].run_id)
    if write.fence is not None:
        head.check(write.fence)
    else:
        head.check_open()
    version = head.code_version
    prints = PIECE in [new_event.type for new_event in write.new_events]
    asks, withdrawals = [], []
    for new_event in write.new_events:
        version = _check_event(head, new_event, version)
        if new_event.type == "ask.raised":
            asks.append((new_event, check_ask(transaction, head, new_event)))
        elif new_event.type == "ask.withdrawn":
            withdrawals.append(check_withdrawal(transaction, head, new_event))
    if prints:
        transaction.open_window(head)
    facts = tuple(
        [transaction.record(head, new_event) for new_event in write.new_events]
    )
    if prints:
        transaction.keep_pieces(head, facts)
    head.code_version = version
    for new_event, ask in asks:
        open_ask(transaction, head, ask, new_event.at)
    for withdrawn in withdrawals:
        withdraw_ask(transaction, head, withdrawn)
    return Appended(facts)


def _duplicate(
    transaction: Transaction, new_events: tuple[NewEvent, ...]
) -> Appended | None:
    if not transaction.repeats:
        return None
    facts = tuple(
        [
            fact
            for new_event in new_events
            if (fact := transaction.find_fact(new_event.event_id)) is not None
        ]
    )
    if not facts:
        if len(new_events) > 1 and len(
            {new_event.event_id for new_event in new_events}
        ) < len(new_events):
            raise Conflict("two facts have the same event id")
        return None
    if len(facts) < len(new_events) or not all(map(same_fact, new_events, facts)):
        raise Conflict("this event id is known with other content")
    return Appended(facts, duplicate=True)


def _check_event(head: RunHead, new_event: NewEvent, version: int) -> int:
    """The run's code version after the event, or a refusal."""
    if new_event.run_id != head.run_id:
        raise Refused("run_id", "the facts of one append are about one run")
    if new_event.type in MOVING_TYPES:
        raise Conflict(f"{new_event.type} is recorded by a write of its own")
    if new_event.clock:
        check_clock_size(head, new_event.clock)
    if (
        new_event.code_version is not None
        and not 0 <= new_event.code_version <= LARGEST_VERSION
    ):
        raise Refused("code_version", "must be from 0 to 2^63-1")
    if new_event.type not in CODE_TYPES:
        return version
    new = max(0, version) if new_event.code_version is None else new_event.code_version
    if new <= version:
        why = f"code version {new} does not exceed the run's {version}"
        raise Conflict(why, run_id=head.run_id, code_version=version)
    return new


def answer(transaction: Transaction, write: Answer) -> Appended:
    """Answer an open question. One about a restart moves the run, which nobody executes."""
    if known := transaction.find_cascade(write.event_id):
        return Appended(known, duplicate=True)
    head = transaction.get(write.run_id)
    check_answer(transaction, head, write)
    restarts = decides_restart(transaction, head, write.name)
    save_answer(transaction, head, write)
    event = AskAnswered(name=write.name, answer=write.answer, by=write.by)
    fact = transaction.make(head, event, write.at, event_id=write.event_id)
    if not restarts:
        return Appended((fact,))
    if write.answer == "requeue":
        return Appended((fact, *_repeat(transaction, head, write, fact)))
    why = "a restart interrupted the run, and the answer was not to repeat it"
    failed = terminal("failed", reason="restart", error=why)
    ended = end(transaction, head, failed, write.at, cause=fact.event_id)
    return Appended((fact, *ended.recorded))


def _repeat(
    transaction: Transaction, head: RunHead, write: Answer, cause: Recorded
) -> Iterator[Recorded]:
    """The run goes back in line, and with it what is below it and was asked about as well."""
    back = RunRequeued(reason="crash")
    transaction.update(head, state=check_move(head, back.type), reason=back.reason)
    yield transaction.make(head, back, write.at, cause=cause.event_id)
    for child in transaction.open.children(head.run_id):
        if decides_restart(transaction, child, RESTART_ASK):
            same = replace(write, run_id=child.run_id, name=RESTART_ASK)
            save_answer(transaction, child, same)
            event = AskAnswered(name=RESTART_ASK, answer=write.answer, by=write.by)
            fact = transaction.make(child, event, write.at, cause=cause.event_id)
            yield fact
            yield from _repeat(transaction, child, same, fact)


def park(transaction: Transaction, write: Park) -> Appended:
    """The run waits and gives its slot back; a paused one keeps it, and nothing is recorded."""
    head = transaction.get(write.fence.run_id)
    head.check(write.fence)
    if head.state == PAUSED:
        return Appended()
    if head.state not in SLOT_STATES:
        raise Conflict(f"the run {head.run_id} waits already", run_id=head.run_id)
    event = RunWaiting.of(write.waiting)
    transaction.update(
        head, state=check_move(head, event.type), reason=event.reason, wants_slot=0
    )
    return Appended((transaction.make(head, event, write.at),))


def unpark(transaction: Transaction, write: Unpark) -> Appended:
    """The run wants its slot again."""
    head = transaction.get(write.fence.run_id)
    head.check(write.fence)
    if head.state in PARKED_STATES:
        transaction.update(head, wants_slot=1)
    return Appended()


def request_preempt(transaction: Transaction, write: RequestPreempt) -> Appended:
    """Only a run that computes can be interrupted; the release records that it was."""
    head = transaction.get(write.run_id)
    head.check_open()
    if head.state not in SLOT_STATES or head.state == PAUSED:
        raise Fenced(f"the run {write.run_id} is {head.state}", run_id=write.run_id)
    return Appended()


_NEW_FAILURES = (
    f"SELECT key, run_id FROM runs WHERE run_id IN {WORDS} AND state = '{FAILED}'"
    " AND dismissed IS NULL ORDER BY key"
)


def dismiss(transaction: Transaction, write: Dismiss) -> Appended:
    """Note that somebody has seen these failures; what is none, or was seen, is no new fact."""
    found = transaction.query(_NEW_FAILURES, (to_json(write.runs),)).fetchall()
    if not found:
        return Appended()
    transaction.writes += 1
    seen = FailuresDismissed(runs=tuple([run for _, run in found]), box=write.box)
    fact = transaction.make(transaction.daemon(), seen, write.at)
    sql = f"UPDATE runs SET dismissed = ? WHERE key IN {NUMBERS}"
    keys = to_json([key for key, _ in found])
    transaction.db.execute(sql, (fact.position, keys))
    return Appended((fact,))


def rearrange(transaction: Transaction, write: Rearrange) -> Appended:
    """Change how a run waits in line."""
    head = _in_line(transaction, write.run_id)
    old = head.plan or WaitPlan(head.place)
    priority = None if write.priority == head.priority else write.priority
    turn = _turn(transaction, head, write)
    stashed, moment = old.stashed, old.not_before
    if write.stashed is not None:
        stashed = write.stashed
        moment = None if write.not_before is None else to_micros(write.not_before)
    new = WaitPlan(old.turn if turn is None else turn, moment, stashed)
    if new == old and priority is None:
        return Appended()
    put = (new.stashed, new.not_before) != (old.stashed, old.not_before)
    if priority is not None:
        transaction.update(head, priority=priority)
    if new != old:
        transaction.arrange(head, new)
    event = RunRearranged(
        priority=priority,
        turn=turn,
        stashed=stashed if put else None,
        not_before=write.not_before if put else None,
    )
    return Appended((transaction.make(head, event, write.at),))


def _in_line(transaction: Transaction, run_id: str) -> RunHead:
    """A run that stands in line. RunNotFound; Terminal; Conflict if it does not."""
    head = transaction.get(run_id)
    head.check_open()
    if head.state not in QUEUED_STATES:
        raise Conflict(
            f"the run {run_id} is {head.state}, and not in line", run_id=run_id
        )
    return head


def _turn(transaction: Transaction, head: RunHead, write: Rearrange) -> int | None:
    """Its new place; None if it has it already. No two open runs have the same."""
    if write.move is None:
        return None
    wanted = head.priority if write.priority is None else write.priority
    others = [
        other.place
        for other in transaction.open.within(QUEUED_STATES)
        if other.priority == wanted and other is not head
    ]
    if write.move == "first":
        if head.place < min(others, default=head.place + 1):
            return None
        return min(other.place for other in transaction.open.all()) - 1
    if head.place > max(others, default=head.place - 1):
        return None
    return transaction.next_position


def suspend(transaction: Transaction, write: Suspend | Continue) -> Appended:
    """Note that the run's program is stopped, or goes on; it keeps its slot."""
    head, pauses = transaction.get(write.run_id), isinstance(write, Suspend)
    head.check_open()
    if head.state not in SLOT_STATES or head.cancel_requested is not None:
        state = head.state if head.cancel_requested is None else "being cancelled"
        raise Conflict(f"the run {head.run_id} is {state}", run_id=head.run_id)
    if (head.state == PAUSED) == pauses:
        return Appended()
    event = RunPaused() if pauses else RunContinued()
    transaction.update(head, state=check_move(head, event.type))
    return Appended((transaction.make(head, event, write.at),))


def edit(transaction: Transaction, write: Edit) -> Appended:
    """Give a run other inputs, before its first execution."""
    head = _in_line(transaction, write.run_id)
    if head.attempt:
        why = f"the run {write.run_id} has begun already: `retry` runs it anew"
        raise Conflict(why, run_id=write.run_id)
    event = RunEdited(inputs=dict(write.shown))
    encode_within(event, "inputs")
    shown = shown_beside(write.inputs, write.shown)
    transaction.respecify(head, write.digest, write.inputs, shown)
    return Appended((transaction.make(head, event, write.at),))


HANDLERS: Mapping[type[Write[Result]], Callable[[Transaction, Any], Any]] = dict(
    (
        Enqueue.handled_by(enqueue),
        Claim.handled_by(claim),
        Append.handled_by(append),
        Answer.handled_by(answer),
        Park.handled_by(park),
        Unpark.handled_by(unpark),
        Release.handled_by(release),
        Complete.handled_by(complete),
        RequestCancel.handled_by(request_cancel),
        RequestPreempt.handled_by(request_preempt),
        Rearrange.handled_by(rearrange),
        Edit.handled_by(edit),
        Suspend.handled_by(suspend),
        Continue.handled_by(suspend),
        SetPause.handled_by(set_pause),
        SetDrain.handled_by(set_drain),
        SetBox.handled_by(set_box),
        Dismiss.handled_by(dismiss),
        SetSlots.handled_by(set_slots),
        SetSchedule.handled_by(set_schedule),
        RemoveSchedule.handled_by(remove_schedule),
        AdvanceSchedule.handled_by(advance_schedule),
        LoseBox.handled_by(lose_box),
        ForgetBox.handled_by(forget_box),
        Prune.handled_by(prune),
    )
)
