"""Giving free slots to the best startable runs."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from typing import Any

from penstock.log.sqlite.rows import (
    HOLDS_SLOT,
    IN_LINE,
    IS_PARKED,
    to_json,
    to_micros,
)
from penstock.log.sqlite.run_head import RunHead, check_move
from penstock.log.sqlite.transaction import Transaction
from penstock.log.writes import Claim, Claimed, RunRow
from penstock.words.events import RunResumed, RunStarted
from penstock.words.recorded import Recorded

# Importance after aging (lower goes first), parked runs before queued ones, then place.
_Candidate = tuple[int, int, int, str, str | None]

#: Without aging the partial index on (priority, place) already has this order.
_RANK = "priority - coalesce(max(0, :now - created_at) / :aging, 0)"
_HELD = f"SELECT group_name FROM runs WHERE {HOLDS_SLOT}"
_COLUMNS = f"SELECT {_RANK} AS rank, {{}}, place, run_id, group_name FROM runs WHERE "
_PARKED = _COLUMNS.format(0) + f"{IS_PARKED} AND wants_slot = 1 ORDER BY rank, place"
_STARTABLE = (
    _COLUMNS.format(1) + f"{IN_LINE} AND open_prerequisites = 0"
    " AND kind IN (SELECT value FROM json_each(:kinds)) ORDER BY "
)


def claim(transaction: Transaction, d: Claim) -> Claimed:
    """Start, resume and unpark as many runs as there are free slots."""
    groups = [group for (group,) in transaction.db.execute(_HELD)]
    free = d.slots - len(groups)
    chosen: list[tuple[str, bool]] = []
    if free > 0:
        held = Counter(groups)
        for _, queued, _, run_id, group in _candidates(transaction, d):
            limit = None if group is None else d.group_slots.get(group)
            if limit is not None and held[group] >= limit:
                continue
            held[group] += 1
            chosen.append((run_id, bool(queued)))
            if len(chosen) == free:
                break
    return _grant(transaction, d, chosen)


def _grant(
    transaction: Transaction, d: Claim, chosen: list[tuple[str, bool]]
) -> Claimed:
    facts: list[Recorded] = []
    started: list[RunRow] = []
    unparked: list[RunRow] = []
    for run_id, queued in chosen:
        head = transaction.get(run_id)
        fact, row = (_start if queued else _unpark)(transaction, head, d)
        facts.append(fact)
        (started if queued else unparked).append(row)
    return Claimed(tuple(facts), started=tuple(started), unparked=tuple(unparked))


def _candidates(transaction: Transaction, d: Claim) -> Iterator[_Candidate]:
    values = {
        "now": to_micros(d.at),
        # Dividing by NULL gives NULL: no aging.
        "aging": max(1, int(d.aging * 1e6)) if d.aging else None,
        "kinds": to_json(sorted(d.kinds)),
    }
    parked = transaction.db.execute(_PARKED, values).fetchall()
    paused = {name for (name,) in transaction.db.execute("SELECT name FROM pauses")}
    if "" in paused:
        return iter(parked)
    order = "rank, place" if d.aging else "priority, place"
    startable: Iterator[_Candidate] = transaction.db.execute(_STARTABLE + order, values)
    if paused:
        # A group may be called "None": a run without one is asked for first.
        startable = (
            c for c in startable if c[4] is None or f"group:{c[4]}" not in paused
        )
    return heapq.merge(parked, startable) if parked else startable


def _start(
    transaction: Transaction, head: RunHead, d: Claim
) -> tuple[Recorded, RunRow]:
    columns = transaction.columns(head)
    changes: dict[str, Any] = {
        "life": d.life,
        "token": head.token + 1,
        "attempt": head.attempt + 1,
        "host": d.host,
        "reason": "",
    }
    if head.attempt > 0:
        event: RunStarted | RunResumed = RunResumed(attempt=head.attempt + 1)
    else:
        event = RunStarted(kind=columns["kind"])
        changes["started_at"] = to_micros(d.at)
    changes["state"] = check_move(head, event.type)
    transaction.update(head, **changes)
    fact = transaction.make(head, event, d.at)
    return fact, transaction.made_row(head, columns | changes)


def _unpark(
    transaction: Transaction, head: RunHead, d: Claim
) -> tuple[Recorded, RunRow]:
    event = RunResumed(attempt=head.attempt)
    transaction.update(
        head, state=check_move(head, event.type), reason="", wants_slot=0
    )
    fact = transaction.make(head, event, d.at)
    return fact, transaction.row(head)
