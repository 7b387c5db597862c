"""Accepting a run: the checks, the row, and the ends a run can be born with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from penstock.log.kept import RunSpec, without_manner
from penstock.log.new_events import NewEvent, encode_within
from penstock.log.results import Accepted, Existing
from penstock.log.tables.callers import keep_surroundings
from penstock.log.tables.handle_end import end
from penstock.log.tables.handle_pauses import check_drained
from penstock.log.tables.new_run import FRESH, NewRun
from penstock.log.tables.plans import WaitPlan
from penstock.log.tables.rows import shown_beside, to_json, to_micros
from penstock.log.tables.run_head import RunHead, new_head
from penstock.log.tables.transaction import Transaction
from penstock.log.writes import Enqueue
from penstock.words.errors import (
    OtherInputs,
    QueueFull,
    Refused,
    TreeTooLarge,
    UnknownPrerequisite,
)
from penstock.words.events import (
    DAEMON_STREAM,
    RunQueued,
    Terminal,
)
from penstock.words.lifecycle import COMPLETED, terminal

# The root counts too; the index of trees holds children only.
_COUNT_TREE = (
    "SELECT (SELECT count(*) FROM runs WHERE root_id = ? AND parent_id IS NOT NULL"
    " AND ended_at IS NULL) + (SELECT count(*) FROM runs WHERE run_id = ? AND ended_at IS NULL)"
)
#: Fields named in one sentence.
MOST_NAMED = 5


def enqueue(transaction: Transaction, write: Enqueue) -> Accepted | Existing:
    """Accept a run, or say that it is known."""
    spec = write.spec
    if known := transaction.find_cascade(write.event_id):
        return Accepted(known, number=transaction.get(spec.run_id).key)
    if spec.run_id == DAEMON_STREAM:
        raise Refused("run_id", f"{DAEMON_STREAM!r} is reserved")
    head = None if spec.minted else transaction.find(spec.run_id)
    if head is not None:
        return _existing(transaction, head, spec)
    if spec.retry_of is not None:
        # It may have been forgotten while this waited for room, and its environment with it.
        transaction.get(spec.retry_of)
    root_id, depth, parent = _check_tree(transaction, write)
    if parent is None:
        check_drained(transaction, spec.group)
    prerequisites = _find_prerequisites(transaction, spec)
    born = _born_ended(transaction, spec, parent, prerequisites)
    if born is None and write.capacity is not None:
        queued = transaction.open.count_line()
        if queued >= write.capacity:
            raise QueueFull(
                f"{queued} runs are queued; the limit is {write.capacity}",
                queued=queued,
            )
    new_event = _queued(write)
    unmet = [head.key for head in prerequisites if not head.ended]
    head = _insert(transaction, write, root_id, depth, unmet)
    fact = transaction.record(head, new_event)
    facts = [fact]
    if born is not None:
        facts += end(transaction, head, born, write.at, cause=fact.event_id).recorded
        # It may have been born ended by a tombstone, which has done its work.
        sql = "DELETE FROM tombstones WHERE run_id = ?"
        transaction.db.execute(sql, (spec.run_id,))
    return Accepted(tuple(facts), number=head.key)


def _existing(transaction: Transaction, head: RunHead, spec: RunSpec) -> Existing:
    sql = "SELECT digest, inputs, kind FROM specs JOIN runs USING (key) WHERE key = ?"
    digest, inputs, kind = transaction.query(sql, (head.key,)).fetchone()
    if digest != spec.digest:
        fields = _differing(kind, from_json(inputs), spec)
        raise OtherInputs(
            f"the run {spec.run_id} exists with other inputs"
            f" ({', '.join(fields)}); another id makes a new run",
            run_id=spec.run_id,
            field=fields[0],
        )
    return Existing()


def _differing(kind: str, inputs: Mapping[str, Any], spec: RunSpec) -> list[str]:
    """What the known run has otherwise; names only, since values may be secrets."""
    if kind != spec.kind:
        return ["kind"]
    inputs = without_manner(inputs, spec.manner)
    wanted = without_manner(from_json(spec.inputs), spec.manner)
    names = {**inputs, **wanted}
    found = [n for n in names if inputs.get(n) != wanted.get(n)]
    # Of a run whose inputs came without their secrets nothing can be said to be the same.
    return [f"inputs.{name}" for name in found[:MOST_NAMED]] or ["inputs"]


def _check_tree(
    transaction: Transaction, write: Enqueue
) -> tuple[str, int, RunHead | None]:
    """Root and depth of the new run, and its parent if it has one."""
    spec = write.spec
    if spec.parent_id is None:
        return spec.run_id, 0, None
    parent = transaction.find(spec.parent_id)
    if parent is None or parent.key == 0:
        raise Refused("parent_id", f"no run has the id {spec.parent_id!r}")
    sql = "SELECT root_id, depth + 1 FROM runs WHERE key = ?"
    root_id, depth = transaction.query(sql, (parent.key,)).fetchone()
    if depth > write.max_tree_depth:
        raise TreeTooLarge(
            "parent_id",
            f"the tree is {write.max_tree_depth} deep",
            limit=write.max_tree_depth,
        )
    # Ended ones do not count: a loop has as many turns as it needs, one after the other.
    (size,) = transaction.query(_COUNT_TREE, (root_id, root_id)).fetchone()
    if size >= write.max_tree_runs:
        raise TreeTooLarge(
            "parent_id", f"the tree has {size} open runs", limit=write.max_tree_runs
        )
    return root_id, depth, parent


def _find_prerequisites(transaction: Transaction, spec: RunSpec) -> list[RunHead]:
    found = []
    for run_id in dict.fromkeys(spec.after):
        head = transaction.find(run_id)
        if head is None or head.key == 0:
            raise UnknownPrerequisite("after", f"no run has the id {run_id!r}")
        found.append(head)
    return found


def _born_ended(
    transaction: Transaction,
    spec: RunSpec,
    parent: RunHead | None,
    prerequisites: Sequence[RunHead],
) -> Terminal | None:
    """The end a run has from the start, if any: cancelled before it came, or without time."""
    if not spec.minted:
        sql = "SELECT reason FROM tombstones WHERE run_id = ?"
        if tombstone := transaction.db.execute(sql, (spec.run_id,)).fetchone():
            return terminal("cancelled", reason=tombstone[0])
    if parent is not None and parent.ended:
        return terminal(
            "cancelled", reason=f"its parent {parent.run_id} is {parent.state}"
        )
    if parent is not None and parent.cancel_requested is not None:
        return terminal(
            "cancelled", reason=f"its parent {parent.run_id} is being cancelled"
        )
    for head in prerequisites:
        if head.ended and head.state != COMPLETED:
            return terminal(
                "cancelled", reason=f"its prerequisite {head.run_id} is {head.state}"
            )
    if spec.timeout is not None and spec.timeout <= 0:
        return terminal("failed", reason="timeout", error="the run was given no time")
    return None


def _queued(write: Enqueue) -> NewEvent:
    s = write.spec
    event = RunQueued(
        kind=s.kind, priority=s.priority, inputs=dict(s.shown), labels=dict(s.labels),
        after=s.after, group=s.group, timeout=s.timeout, parent_id=s.parent_id, retry_of=s.retry_of,
        not_before=s.not_before, stashed=s.stashed, retries=s.retries,
        backoff=s.backoff if s.retries else 0.0,
        traceparent=s.traceparent, needs=dict(s.needs), origin=s.origin,
    )  # fmt: skip
    body = encode_within(event, "inputs")
    return NewEvent(s.run_id, event.type, body, write.at, write.event_id, event=event)


def _insert(
    transaction: Transaction,
    write: Enqueue,
    root_id: str,
    depth: int,
    unmet: Sequence[int],
) -> RunHead:
    s, db = write.spec, transaction.db
    key, created_at = transaction.take_key(), to_micros(write.at)
    head = new_head(
        key,
        s,
        place=transaction.next_position,
        created_at=created_at,
        open_prerequisites=len(unmet),
    )
    row = {
        **FRESH, "key": key, "run_id": s.run_id, "kind": s.kind, "priority": s.priority,
        "place": head.place, "state": head.state, "group_name": s.group, "parent_id": s.parent_id,
        "root_id": root_id, "depth": depth, "retry_of": s.retry_of, "open_prerequisites": len(unmet),
        "timeout": s.timeout, "on_restart": s.on_restart, "preemptible": int(s.preemptible),
        "created_at": created_at, "needs": to_json(dict(s.needs)) if s.needs else None, "origin": s.origin,
    }  # fmt: skip
    texts = (shown_beside(s.inputs, s.shown), to_json(dict(s.labels)), to_json(s.after))
    transaction.insert(head, NewRun(row, (key, s.digest, s.inputs, *texts)))
    if s.surroundings is not None or s.retry_of or s.parent_id:
        # What it inherits may have come in this very transaction.
        transaction.flush()
        keep_surroundings(db, key, s)
    if s.stashed or s.not_before is not None:
        moment = None if s.not_before is None else to_micros(s.not_before)
        transaction.arrange(head, WaitPlan(head.place, moment, s.stashed))
    if unmet:
        pairs = [(other, key) for other in unmet]
        db.executemany(
            "INSERT INTO prerequisites (prerequisite, run) VALUES (?, ?)", pairs
        )
        transaction.open.awaited.update(unmet)
    return head
