"""Why a run is where it is, in sentences. Values in, values out.

A run that waits for a slot is explained by the rules of the queue: the first thing that keeps it from
being next is told first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from penstock.log.projections import RunView
from penstock.runs.queue import (
    Candidate,
    QueueSnapshot,
    SlotHolder,
    grant,
    group_full,
    startable,
)
from penstock.runs.whereabouts import on_box, why_not_here, why_unheard
from penstock.words.lifecycle import (
    EXECUTING_STATES,
    FIRST_STATE,
    PAUSED,
    SLOT_STATES,
)
from penstock.words.placement import knows_group
from penstock.words.priority import Priority, may_preempt
from penstock.words.wait_reason import Waiting

Code = Literal[
    "ended", "cancelling", "running", "program_paused", "ask", "child", "model", "quota", "waiting", "preempted", "retry", "stopping",
    "stashed", "not_before", "paused", "group_paused", "kind", "box", "box_unknown", "needs", "accept", "box_drained", "group_unknown", "prerequisites", "next", "group_slots", "slots", "leaving",
    "ahead", "first", "not_preemptible", "log",
]  # fmt: skip

_ALL = {1: "The only slot is", 2: "Both slots are"}
#: Why a run that failed is in line again.
RETRY = "retry"
#: Runs named in one sentence.
MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Reason:
    """One cause: a word for programs, a sentence for people, and the runs it speaks of."""

    code: Code
    text: str
    runs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Why:
    """Why a run is in its state."""

    run_id: str
    state: str
    reasons: tuple[Reason, ...]

    @property
    def text(self) -> str:
        """All sentences together."""
        return " ".join(reason.text for reason in self.reasons)

    def to_json(self) -> dict[str, Any]:
        """The body of `GET /runs/{id}/why`."""
        told = asdict(self)
        told["reasons"] = [{**r, "runs": list(r["runs"])} for r in told["reasons"]]
        return {**told, "text": self.text}


def explain(view: RunView, queue: QueueSnapshot, *, log_away: str | None = None) -> Why:
    """Why this run is in its state. `log_away`: why nothing can be recorded now, if that is so."""
    state = view.state or FIRST_STATE
    candidate = queue.by_id.get(view.run_id)
    reasons: list[Reason]
    if view.ended:
        reasons = [_ended(view)]
    elif candidate is not None:
        reasons = [*_history(view), *_queued(candidate, queue)]
    elif state in SLOT_STATES:
        reasons = [_running(view, queue.now)]
    else:
        reasons = [_waiting(view, queue)]
    doubt = why_unheard(view.box, queue.rules.place, queue.boxes)
    if doubt is not None and state in EXECUTING_STATES:
        reasons.insert(0, Reason(*doubt))
    if view.cancel_requested is not None and not view.ended:
        why = f"It was asked to end: {view.cancel_requested}."
        reasons.insert(0, Reason("cancelling", why))
    if log_away is not None and not view.ended:
        why = f"The log takes nothing ({log_away}): what happens is told once it does."
        reasons.insert(0, Reason("log", why))
    return Why(view.run_id, state, tuple(reasons))


def explain_alone(view: RunView) -> Why:
    """Why a run is in its state that is in no queue: one of a log that no daemon answers for."""
    reason = Reason("running", "Its daemon holds its log, and does not answer.")
    if view.ended:
        reason = _ended(view)
    return Why(view.run_id, view.state or FIRST_STATE, (reason,))


def _ended(view: RunView) -> Reason:
    why = view.error or view.reason
    return Reason("ended", f"It ended {view.state}{f': {why}' if why else ''}.")


def _running(view: RunView, now: datetime) -> Reason:
    if view.state == PAUSED:
        why = f"Its program is stopped and holds its slot: `penstock resume {view.run_id}`."
        return Reason("program_paused", why)
    since = view.started_at or view.created_at or now
    times = (
        "" if view.attempt <= 1 else f" This is its execution number {view.attempt}."
    )
    return Reason(
        "running",
        f"It has a slot and executes; it began {_ago(now - since)} ago.{times}",
    )


def _waiting(view: RunView, queue: QueueSnapshot) -> Reason:
    """A run that gave its slot back until something happens."""
    match view.waiting:
        case Waiting("restart", name):
            why = f"A restart interrupted it; it waits for an answer to {name!r}."
            return Reason("ask", why)
        case Waiting("ask", name):
            why = f"It waits, without a slot, for an answer to {name!r}."
            return Reason("ask", why)
        case Waiting("child", name):
            child = f"{view.run_id}.{name}"
            state = queue.states.get(child, "ended")
            why = f"It waits, without a slot, for its child {child} ({state})."
            return Reason("child", why, (child,))
        case Waiting("model", problem):
            why = f"It waits, without a slot, until its model can be asked: {problem}."
            return Reason("model", why)
        case Waiting("quota"):
            return Reason("quota", f"It waits, without a slot: {view.reason}.")
    return Reason("waiting", f"It waits, without a slot: {view.reason}.")


def _history(view: RunView) -> list[Reason]:
    if view.reason == RETRY and view.retried:
        left = view.retries - view.retried
        more = "no more" if left <= 0 else f"{left} more"
        failed = f"It failed and is tried again ({view.retried} of {view.retries}, {more} after it)"
        return [Reason("retry", f"{failed}: {view.last_error}.")]
    if view.preempted_by is None:
        return []
    by = view.preempted_by
    return [Reason("preempted", f"It gave its slot to {by} and goes on later.", (by,))]


def _queued(candidate: Candidate, queue: QueueSnapshot) -> list[Reason]:
    hindrances = _hindrances(candidate, queue)
    if not startable(candidate, queue.rules, queue.now):
        return hindrances
    ordered = queue.ordered
    held = Counter(holder.candidate.group for holder in queue.slot_holders)
    if candidate in grant(ordered, held, queue.rules):
        if hindrances:
            return hindrances
        return [Reason("next", "A slot is free, and it is about to get it.")]
    return [
        *hindrances,
        *_taken(candidate, queue, held),
        *_ahead(candidate, ordered, queue, held),
    ]


def _hindrances(candidate: Candidate, queue: QueueSnapshot) -> list[Reason]:
    """What keeps a run from a slot even if there is one."""
    found = []
    rules, group = queue.rules, candidate.group
    if not queue.claiming:
        found.append(Reason("stopping", "The daemon is stopping and starts nothing."))
    if candidate.parked:
        return found
    if candidate.stashed:
        why = f"It is stashed: `penstock enqueue {candidate.run_id}` puts it in line."
        found.append(Reason("stashed", why))
    elif candidate.delayed(queue.now):
        assert candidate.not_before is not None
        left = _left(candidate.not_before - queue.now)
        moment = candidate.not_before.strftime("%Y-%m-%d %H:%M:%S UTC")
        found.append(Reason("not_before", f"It starts in {left}, at {moment}."))
    if None in rules.paused:
        why = f"The queue is paused{_because(rules.paused[None])}."
        found.append(Reason("paused", why))
    if group is not None and group in rules.paused:
        why = f"Its group {group!r} is paused{_because(rules.paused[group])}."
        found.append(Reason("group_paused", why))
    if candidate.kind not in rules.kinds:
        found.append(Reason("kind", f"Its kind {candidate.kind!r} is not installed."))
    if not knows_group(group, rules.group_slots, rules.place):
        why = f"This box knows no group {group!r}: `penstock slots --group {group} N` tells all boxes."
        found.append(Reason("group_unknown", why))
    found += _misplaced(candidate, queue)
    if candidate.prerequisites:
        named = [
            f"{r} ({queue.states.get(r, 'ended')})" for r in candidate.prerequisites
        ]
        why = f"It comes after {_list(named)}."
        found.append(Reason("prerequisites", why, candidate.prerequisites))
    return found


def _misplaced(candidate: Candidate, queue: QueueSnapshot) -> list[Reason]:
    """Why this box does not start it, and which one will."""
    rules = queue.rules
    found = why_not_here(
        candidate.needs,
        candidate.origin,
        rules.place,
        queue.boxes,
        drained=rules.drained and not candidate.child,
    )
    return [] if found is None else [Reason(*found)]


def _taken(
    candidate: Candidate, queue: QueueSnapshot, held: Counter[str | None]
) -> list[Reason]:
    """Which slots it lacks, and who has them."""
    rules, found = queue.rules, []
    if group_full(candidate.group, held, rules):
        members = [
            h for h in queue.slot_holders if h.candidate.group == candidate.group
        ]
        count = rules.group_slots[candidate.group or ""]
        there = [held for held in queue.elsewhere if held[0].group == candidate.group]
        takers = [_name(holder.candidate) for holder in members]
        takers += [f"{_name(c)} {on_box(box, queue.boxes)}" for c, box in there]
        why = f"Its group {candidate.group!r} has {_slots(count)}, taken by {_list(takers)}."
        ids = (*_ids(members), *(c.run_id for c, _ in there))
        found.append(Reason("group_slots", why, ids))
    if held.total() >= rules.slots:
        why = f"{_ALL.get(rules.slots, f'All {rules.slots} slots are')} taken, by {_who(queue.slot_holders)}."
        found.append(Reason("slots", why, _ids(queue.slot_holders)))
    leaving = [holder for holder in queue.slot_holders if holder.leaving]
    if leaving:
        why = f"Slots will soon be given up by {_who(leaving)}."
        found.append(Reason("leaving", why, _ids(leaving)))
    return found


def _ahead(
    candidate: Candidate,
    ordered: Sequence[Candidate],
    queue: QueueSnapshot,
    held: Counter[str | None],
) -> list[Reason]:
    """Its place among those that may start."""
    before = [
        w
        for w in ordered[: ordered.index(candidate)]
        if w.group == candidate.group or not group_full(w.group, held, queue.rules)
    ]
    if before:
        verb = "run goes" if len(before) == 1 else "runs go"
        ids = tuple(w.run_id for w in before)
        why = f"{len(before)} {verb} first: {_list([_name(w) for w in before])}."
        return [Reason("ahead", why, ids)]
    found = [Reason("first", "It is the first in line.")]
    lesser = [
        h for h in queue.slot_holders if _much_less(h, candidate) and not h.leaving
    ]
    if lesser and not any(h.preemptible for h in lesser):
        why = f"It is far more important than {_who(lesser)}, but may not interrupt."
        found.append(Reason("not_preemptible", why, _ids(lesser)))
    return found


def _much_less(holder: SlotHolder, candidate: Candidate) -> bool:
    return may_preempt(candidate.priority, holder.candidate.priority)


def _ids(slot_holders: Sequence[SlotHolder]) -> tuple[str, ...]:
    return tuple(holder.candidate.run_id for holder in slot_holders)


def _who(slot_holders: Sequence[SlotHolder]) -> str:
    return _list([_name(holder.candidate) for holder in slot_holders])


def _name(candidate: Candidate) -> str:
    return f"{candidate.run_id} ({Priority(candidate.priority).name})"


def _list(names: Sequence[str]) -> str:
    """As "a, b and c", or the first few and how many more."""
    if len(names) > MOST_NAMED:
        names = [*names[:MOST_NAMED], f"{len(names) - MOST_NAMED} more"]
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""


def _slots(count: int) -> str:
    return "one slot" if count == 1 else f"{count} slots"


def _left(span: timedelta) -> str:
    """How long it still is: never less than it is by half a unit."""
    seconds = max(1, round(span.total_seconds()))
    for below, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < below:
            return f"{round(seconds / unit)} {name}"
    return f"{round(seconds / 86_400)} days"


def _ago(span: timedelta) -> str:
    seconds = max(0, round(span.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h"
