"""How the contract suite of stores asks, and what must hold after each commit."""

from __future__ import annotations

from typing import Any, TypeVar

from fakes.stores import (
    fact,
)
from penstock.log.kept import RunRow
from penstock.log.postgresql.store import PostgresStore
from penstock.log.results import Result
from penstock.log.sqlite.store import SqliteStore
from penstock.log.writes import Complete, Write
from penstock.words.errors import PenstockError
from penstock.words.lifecycle import terminal

R = TypeVar("R", bound=Result)

#: A store of whichever engine.
AnyStore = SqliteStore | PostgresStore


async def one(store: AnyStore, write: Write[R]) -> R:
    """The result of a commit of one write; a refusal is raised."""
    (result,) = await store.commit([write])
    if isinstance(result, PenstockError):
        raise result
    await check_log(store)
    return result


async def check_log(store: AnyStore) -> None:
    """Laws 1 and 3, whatever was done: dense, and one terminal fact, the last of its run."""
    facts = await store.read_all(0, 10_000)
    bounds = await store.bounds()
    assert [f.position for f in facts if f.position >= bounds.floor] == list(
        range(bounds.floor, bounds.head + 1)
    )
    for run_id in {f.run_id for f in facts}:
        own = [f for f in facts if f.run_id == run_id]
        assert [f.sequence for f in own] == list(range(1, len(own) + 1))
        ends = [f.type in ("run.completed", "run.failed", "run.cancelled") for f in own]
        assert not any(ends[:-1])
        row = await store.run(run_id)
        if row is not None:
            assert (row.ended_at is not None) == ends[-1]
            assert (row.sequence, row.last_position) == (
                own[-1].sequence,
                own[-1].position,
            )


async def types(store: AnyStore, run_id: str) -> list[str]:
    return [f.type for f in await store.read(run_id)]


async def get(store: AnyStore, run_id: str) -> RunRow:
    row = await store.run(run_id)
    assert row is not None
    return row


def completed(row: RunRow, result: Any = None, used_seconds: float = 0.0) -> Complete:
    return Complete(
        row.fence, fact(row.run_id, terminal("completed", result=result)), used_seconds
    )


def failed(row: RunRow) -> Complete:
    return Complete(
        row.fence, fact(row.run_id, terminal("failed", reason="error", error="x"))
    )
