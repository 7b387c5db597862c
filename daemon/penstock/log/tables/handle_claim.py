"""Giving free slots to the best startable runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

from penstock.log.kept import RunRow
from penstock.log.results import Claimed
from penstock.log.tables.plans import WaitPlan
from penstock.log.tables.rows import BOX_OF, group_key, to_micros
from penstock.log.tables.run_head import RunHead, check_move
from penstock.log.tables.transaction import Transaction
from penstock.log.writes import Claim
from penstock.words.events import RunResumed, RunStarted
from penstock.words.lifecycle import PARKED_STATES, QUEUED_STATES, SLOT_STATES
from penstock.words.placement import knows_group, may_execute
from penstock.words.recorded import Recorded

# Importance after aging (lower goes first), parked runs before queued ones, then place.
_Candidate = tuple[int, int, int, RunHead]


def claim(transaction: Transaction, d: Claim) -> Claimed:
    """Start, resume and unpark as many runs as there are free slots."""
    if not transaction.db.may_claim:
        return Claimed()
    while True:
        chosen = _choose(transaction, d)
        columns = transaction.columns(chosen)
        if len(columns) == len(chosen):
            return _grant(transaction, d, chosen, columns)
        # A run was lost: another may have its slot.


def _choose(transaction: Transaction, d: Claim) -> list[RunHead]:
    """The best for the slots that are free."""
    holding = transaction.open.within(SLOT_STATES)
    held = Counter([head.group for head in holding])
    # Groups are everybody's; slots are those of the daemon that asks.
    free = d.slots - sum([head.life == d.life for head in holding])
    chosen: list[RunHead] = []
    if free > 0:
        for *_, head in sorted(_candidates(transaction, d)):
            limit = None if head.group is None else d.group_slots.get(head.group)
            if limit is not None and held[head.group] >= limit:
                continue
            held[head.group] += 1
            chosen.append(head)
            if len(chosen) == free:
                break
    return chosen


def _grant(
    transaction: Transaction,
    d: Claim,
    chosen: list[RunHead],
    columns: dict[RunHead, dict[str, Any]],
) -> Claimed:
    facts: list[Recorded] = []
    started: list[RunRow] = []
    unparked: list[RunRow] = []
    for head in chosen:
        if head.state in QUEUED_STATES:
            fact, row = _start(transaction, head, columns[head], d)
            started.append(row)
        else:
            fact, row = _unpark(transaction, head, columns[head], d)
            unparked.append(row)
        facts.append(fact)
    return Claimed(
        tuple(facts),
        started=tuple(started),
        unparked=tuple(unparked),
        lost=tuple(sorted(transaction.lost)),
    )


def _candidates(transaction: Transaction, d: Claim) -> Iterator[_Candidate]:
    rank = _ranking(d)
    for head in transaction.open.within(PARKED_STATES):
        if head.wants_slot and head.life == d.life:
            yield rank(head), 0, head.place, head
    paused = transaction.paused
    if "" in paused:
        return
    drained = f"{BOX_OF}{d.place.box}" in paused
    now = to_micros(d.at)
    for head in transaction.open.within(QUEUED_STATES):
        if (
            (head.plan is None or head.plan.allows_start(now))
            and head.open_prerequisites == 0
            and head.kind in d.kinds
            # What executes at a drained box goes on, and so do its children.
            and (not drained or head.parent_id is not None)
            and may_execute(head.needs, head.origin, d.place)
            # A group may be called "None": a run without one is asked for first.
            and (head.group is None or group_key(head.group) not in paused)
            and knows_group(head.group, d.group_slots, d.place)
        ):
            yield rank(head), 1, head.place, head


def _ranking(d: Claim) -> Callable[[RunHead], int]:
    """How important a run is; lower goes first."""
    if not d.aging:
        return attrgetter("priority")
    now, aging = to_micros(d.at), max(1, int(d.aging * 1e6))
    return lambda head: head.priority - max(0, now - head.created_at) // aging


def _start(
    transaction: Transaction, head: RunHead, columns: dict[str, Any], d: Claim
) -> tuple[Recorded, RunRow]:
    changes: dict[str, Any] = {
        "life": d.life,
        "token": head.token + 1,
        "attempt": head.attempt + 1,
        "host": d.host,
        "reason": "",
    }
    if head.attempt > 0:
        event: RunStarted | RunResumed = RunResumed(
            attempt=head.attempt + 1, box=d.host
        )
    else:
        event = RunStarted(kind=columns["kind"], box=d.host)
        changes["started_at"] = to_micros(d.at)
    changes["state"] = check_move(head, event.type)
    transaction.update(head, **changes)
    if head.plan is not None:
        # Its time has come; its place stays its own, should it come back.
        transaction.arrange(head, WaitPlan(head.plan.turn))
    fact = transaction.make(head, event, d.at)
    return fact, transaction.made_row(head, columns | changes)


def _unpark(
    transaction: Transaction, head: RunHead, columns: dict[str, Any], d: Claim
) -> tuple[Recorded, RunRow]:
    event = RunResumed(attempt=head.attempt, box=d.host)
    transaction.update(
        head, state=check_move(head, event.type), reason="", wants_slot=0
    )
    fact = transaction.make(head, event, d.at)
    return fact, transaction.made_row(head, columns | {"reason": ""})
