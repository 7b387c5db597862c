"""Stores in memory, and the values that fill them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from penstock.log.kept import Fence, RunRow, RunSpec
from penstock.log.new_events import NewEvent, new_event
from penstock.log.results import Claimed
from penstock.log.sqlite.store import SqliteStore
from penstock.log.store import Store
from penstock.log.writes import Append, Claim, Enqueue, RequestCancel
from penstock.testing import START, open_memory_store
from penstock.words.events import AnyEvent, ProcessStarted
from penstock.words.values import new_event_id

LIFE = "life-1"


def at(seconds: float = 0.0) -> datetime:
    """So many seconds into the story."""
    return START + timedelta(seconds=seconds)


#: A store in memory without threads, for tests under a mock clock.
inline_store = open_memory_store


def spec(
    run_id: str = "r1",
    *,
    kind: str = "command",
    inputs: Mapping[str, Any] | None = None,
    priority: int = 20,
    **others: Any,
) -> RunSpec:
    """A run as admission hands it over."""
    encoded = json.dumps(inputs or {"argv": ["true"]}, sort_keys=True).encode()
    return RunSpec(
        run_id=run_id,
        kind=kind,
        inputs=encoded,
        digest=hashlib.sha256(kind.encode() + b"\0" + encoded).digest(),
        shown=inputs or {"argv": ["true"]},
        priority=priority,
        **others,
    )


def enqueue(
    run_id: str = "r1",
    *,
    seconds: float = 0.0,
    event_id: UUID | None = None,
    capacity: int | None = 100,
    max_tree_runs: int = 64,
    max_tree_depth: int = 8,
    **others: Any,
) -> Enqueue:
    """The decision to accept `spec(run_id, **others)`."""
    return Enqueue(
        spec=spec(run_id, **others),
        at=at(seconds),
        event_id=event_id or new_event_id(),
        capacity=capacity,
        max_tree_runs=max_tree_runs,
        max_tree_depth=max_tree_depth,
    )


def claim(
    slots: int = 5,
    *,
    seconds: float = 0.0,
    life: str = LIFE,
    kinds: tuple[str, ...] = ("command", "coding", "loop", "llms-txt"),
    **others: Any,
) -> Claim:
    """The decision to fill `slots` slots."""
    return Claim(
        life=life, slots=slots, kinds=frozenset(kinds), at=at(seconds), **others
    )


def fact(
    run_id: str, event: AnyEvent, *, seconds: float = 0.0, **others: Any
) -> NewEvent:
    """A fact at that time of the story."""
    return new_event(run_id, event, now=at(seconds), **others)


def append(
    run_id: str,
    *events: AnyEvent,
    fence: Fence | None = None,
    seconds: float = 0.0,
    **others: Any,
) -> Append:
    """The decision to record facts of one run."""
    return Append(
        tuple(fact(run_id, e, seconds=seconds, **others) for e in events), fence
    )


async def start(store: Store, run_id: str = "r1", **others: Any) -> RunRow:
    """A run that has been accepted and claimed, alone."""
    _, claimed = await store.commit([enqueue(run_id, **others), claim(1000)])
    assert isinstance(claimed, Claimed), claimed
    (row,) = [row for row in claimed.started if row.run_id == run_id]
    return row


#: How a program of the life that died had started.
START_FACT = ProcessStarted(pid=77, start_time=5, boot_id="boot", method="subreaper")


@asynccontextmanager
async def crashed(
    *runs: dict[str, Any], cancel: str | None = None
) -> AsyncIterator[SqliteStore]:
    """A store whose last life died while these runs executed."""
    async with inline_store(life="life-1") as store:
        for number, fields in enumerate(runs):
            inputs = {"seconds": 1.0, "fail": False}
            made = spec(f"r{number}", **{"kind": "sleep", "inputs": inputs, **fields})
            await store.commit([Enqueue(made, at(), new_event_id(), 100, 64, 8)])
        await store.commit([claim(kinds=("sleep",), life="life-1")])
        rows = await store.open_runs()
        await store.commit(
            [Append((new_event(rows[0].run_id, START_FACT, now=at()),), rows[0].fence)]
        )
        if cancel is not None:
            await store.commit([RequestCancel(cancel, "by a person", at())])
        yield store
