"""Which function judges which decision, and the decisions on facts of a run that goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from penstock.log.sqlite.handle_claim import claim
from penstock.log.sqlite.handle_end import complete, end, release, request_cancel
from penstock.log.sqlite.handle_prune import prune
from penstock.log.sqlite.handle_submit import enqueue
from penstock.log.sqlite.rows import to_micros
from penstock.log.sqlite.transaction import (
    Entry,
    Ledger,
    check_answer,
    check_ask,
    check_clock_size,
    check_move,
    open_ask,
    same_fact,
    save_answer,
)
from penstock.log.writes import (
    Answer,
    Append,
    Appended,
    Claim,
    Complete,
    Decision,
    Draft,
    Enqueue,
    Outcome,
    Park,
    Prune,
    Release,
    RequestCancel,
    RequestPreempt,
    SetPause,
    Unpark,
)
from penstock.words.errors import (
    Conflict,
    Fenced,
    PenstockError,
    Refused,
    Terminal,
)
from penstock.words.events import (
    AskAnswered,
    QueuePaused,
    QueueResumed,
    RunRequeued,
    RunWaiting,
)
from penstock.words.lifecycle import MOVING_TYPES, RESTART_ASK, terminal
from penstock.words.recorded import Recorded

#: Facts that raise the run's code version.
CODE_TYPES = frozenset({"code.generated", "correction.completed"})
LARGEST_VERSION = 2**63 - 1


def judge(ledger: Ledger, decision: Decision) -> Outcome | PenstockError:
    """Write one decision whole, or refuse it alone.

    Each function checks before it writes; one that did not would leave half a decision, so its
    refusal undoes the batch.
    """
    before = ledger.writes
    try:
        return _JUDGES[type(decision)](ledger, decision)
    except PenstockError as refusal:
        if ledger.writes != before:
            raise RuntimeError(
                f"{type(decision).__name__} was refused after it wrote"
            ) from refusal
        return refusal


def event_ids(batch: Sequence[Decision]) -> Iterator[UUID]:
    """The ids under which the decisions' facts may be known already."""
    for decision in batch:
        match decision:
            case Append():
                for draft in decision.drafts:
                    yield draft.event_id
            case Enqueue() | Answer():
                yield decision.event_id
            case Release() | Complete():
                yield decision.draft.event_id
            case _:
                pass


def append(ledger: Ledger, d: Append) -> Appended:
    """Record facts about one run, or about the daemon."""
    if not d.drafts:
        return Appended()
    if (duplicate := _duplicate(ledger, d.drafts)) is not None:
        return duplicate
    entry = ledger.get(d.drafts[0].run_id)
    if d.fence is not None:
        entry.check(d.fence)
    elif entry.ended:
        raise Terminal(f"the run {entry.run_id} has ended", run_id=entry.run_id)
    version = entry.code_version
    asks = []
    for draft in d.drafts:
        version = _check_draft(entry, draft, version)
        if draft.type == "ask.raised":
            asks.append((draft, check_ask(ledger, entry, draft)))
    facts = tuple([ledger.record(entry, draft) for draft in d.drafts])
    entry.code_version = version
    for draft, ask in asks:
        open_ask(ledger, entry, ask, draft.at)
    return Appended(facts)


def _duplicate(ledger: Ledger, drafts: tuple[Draft, ...]) -> Appended | None:
    if not ledger.repeats:
        return None
    facts = tuple(
        [fact for d in drafts if (fact := ledger.stored(d.event_id)) is not None]
    )
    if not facts:
        if len(drafts) > 1 and len({draft.event_id for draft in drafts}) < len(drafts):
            raise Conflict("two facts have the same event id")
        return None
    if len(facts) < len(drafts) or not all(map(same_fact, drafts, facts)):
        raise Conflict("this event id is known with other content")
    return Appended(facts, duplicate=True)


def _check_draft(entry: Entry, draft: Draft, version: int) -> int:
    """The run's code version after the draft, or a refusal."""
    if draft.run_id != entry.run_id:
        raise Refused("run_id", "the facts of one append are about one run")
    if draft.type in MOVING_TYPES:
        raise Conflict(f"{draft.type} is recorded by a decision of its own")
    if draft.clock:
        check_clock_size(entry, draft.clock)
    if (
        draft.code_version is not None
        and not 0 <= draft.code_version <= LARGEST_VERSION
    ):
        raise Refused("code_version", "must be from 0 to 2^63-1")
    if draft.type not in CODE_TYPES:
        return version
    new = max(0, version) if draft.code_version is None else draft.code_version
    if new <= version:
        why = f"code version {new} does not exceed the run's {version}"
        raise Conflict(why, run_id=entry.run_id, code_version=version)
    return new


def answer(ledger: Ledger, d: Answer) -> Appended:
    """Answer an open question. The answer to `restart` moves the run, which nobody executes."""
    if known := ledger.stored_with_effects(d.event_id):
        return Appended(known, duplicate=True)
    entry = ledger.get(d.run_id)
    check_answer(ledger, entry, d)
    save_answer(ledger, entry, d)
    event = AskAnswered(name=d.name, answer=d.answer, by=d.by)
    fact = ledger.make(entry, event, d.at, event_id=d.event_id)
    restarted = d.name == RESTART_ASK and not entry.executing
    return Appended((fact, *(_restart(ledger, entry, d, fact) if restarted else ())))


def _restart(
    ledger: Ledger, entry: Entry, d: Answer, cause: Recorded
) -> tuple[Recorded, ...]:
    if d.answer == "requeue":
        back = RunRequeued(reason="crash")
        ledger.update(entry, state=check_move(entry, back.type), reason=back.reason)
        return (ledger.make(entry, back, d.at, cause=cause.event_id),)
    why = "a restart interrupted the run, and the answer was not to repeat it"
    event = terminal("failed", reason="restart", error=why)
    return end(ledger, entry, event, d.at, cause=cause.event_id).recorded


def park(ledger: Ledger, d: Park) -> Appended:
    """The run waits and gives its slot back."""
    entry = ledger.get(d.fence.run_id)
    entry.check(d.fence)
    if entry.state != "running":
        raise Conflict(f"the run {entry.run_id} waits already", run_id=entry.run_id)
    event = RunWaiting(reason=d.reason)
    ledger.update(
        entry, state=check_move(entry, event.type), reason=d.reason, wants_slot=0
    )
    return Appended((ledger.make(entry, event, d.at),))


def unpark(ledger: Ledger, d: Unpark) -> Appended:
    """The run wants its slot again."""
    entry = ledger.get(d.fence.run_id)
    entry.check(d.fence)
    if entry.state == "waiting":
        ledger.update(entry, wants_slot=1)
    return Appended()


def request_preempt(ledger: Ledger, d: RequestPreempt) -> Appended:
    """Only a run that executes can be interrupted; the release records that it was."""
    entry = ledger.get(d.run_id)
    if entry.ended:
        raise Terminal(f"the run {d.run_id} has ended", run_id=d.run_id)
    if entry.state != "running":
        raise Fenced(f"the run {d.run_id} is {entry.state}", run_id=d.run_id)
    return Appended()


def set_pause(ledger: Ledger, d: SetPause) -> Appended:
    """Pause or resume the queue or one group; what is so already is no new fact."""
    # A group's name may be anything, so the whole queue is the name without a prefix.
    name = "" if d.group is None else f"group:{d.group}"
    known = ledger.db.execute("SELECT 1 FROM pauses WHERE name = ?", (name,)).fetchone()
    if bool(known) == d.paused:
        return Appended()
    ledger.writes += 1
    event: QueuePaused | QueueResumed
    if d.paused:
        ledger.db.execute(
            "INSERT INTO pauses VALUES (?, ?, ?)", (name, d.reason, to_micros(d.at))
        )
        event = QueuePaused(group=d.group, reason=d.reason)
    else:
        ledger.db.execute("DELETE FROM pauses WHERE name = ?", (name,))
        event = QueueResumed(group=d.group)
    return Appended((ledger.make(ledger.daemon(), event, d.at),))


_JUDGES: Mapping[type[Any], Callable[[Ledger, Any], Outcome]] = {
    Enqueue: enqueue,
    Claim: claim,
    Append: append,
    Answer: answer,
    Park: park,
    Unpark: unpark,
    Release: release,
    Complete: complete,
    RequestCancel: request_cancel,
    RequestPreempt: request_preempt,
    SetPause: set_pause,
    Prune: prune,
}
