"""What the store alone does for no-op runs: statements and time, by how many runs share a commit.

A turn is what a busy daemon commits: new runs, ends of others, the claim of those that start. There is
no core around it, so what is left is the store's part.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import trio
from bench._shared import LIFE, OpenStore, Row, in_turns, open_file

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from fakes.contract import completed
from fakes.stores import claim, enqueue
from penstock.concurrency.threads import open_threads
from penstock.log.kept import RunRow
from penstock.log.results import Claimed
from penstock.log.store import Store
from penstock.log.tables.queries import READERS

#: Runs that share a commit, and commits of a round.
SHARED = {1: 200, 5: 80, 25: 30}


class Found(NamedTuple):
    """Of one round: runs a second, statements and microseconds of the process's CPU for a run."""

    rate: float
    statements: float
    cpu: float


class CountedDb:
    """Passes on to a `Db` and counts; the many rows of an `executemany` are sent as one."""

    def __init__(self, db: Any) -> None:
        self._db = db
        self.count = 0
        # What an engine asks within `lock` and `save` goes by its own verbs.
        self._own = hasattr(db, "_send")
        if self._own:
            db._send = self._counted(db._send)
        else:
            self.execute = self._counted(db.execute)
        self.executemany = self._counted(db.executemany)

    def _counted(self, verb: Callable[..., Any]) -> Callable[..., Any]:
        def counted(sql: str, values: Iterable[Sequence[Any]] = (), /) -> Any:
            self.count += 1
            return verb(sql, values)

        return counted

    def lock(self) -> bool:
        self.count += not self._own
        return bool(self._db.lock())

    def save(self) -> None:
        self.count += not self._own
        self._db.save()

    def set_meta(self, name: str, value: int) -> None:
        self.count += not self._own
        self._db.set_meta(name, value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


async def turn(
    store: Store, names: list[str], ended: list[RunRow], life: str = LIFE
) -> list[RunRow]:
    """One commit: new runs, ends of others, and a claim; those that start."""
    writes = [
        *[enqueue(name, capacity=None, minted=True) for name in names],
        *[completed(row) for row in ended],
        claim(len(names), life=life),
    ]
    results = await store.commit(writes)
    claimed = results[-1]
    assert isinstance(claimed, Claimed), results
    return list(claimed.started)


async def turns(folder: Path, open_store: OpenStore, size: int, count: int) -> Found:
    """So many commits with so many runs in each."""
    async with (
        open_threads(1, "store") as writing,
        open_threads(READERS, "readers") as reading,
        open_store(folder, LIFE, writing, reading) as store,
    ):
        running = await turn(store, [f"r0-{n}" for n in range(size)], [])
        transaction = store._transaction  # type: ignore[attr-defined]
        transaction.db = db = CountedDb(transaction.db)
        began, spent = time.perf_counter(), time.process_time()
        for number in range(1, count + 1):
            names = [f"r{number}-{n}" for n in range(size)]
            running = await turn(store, names, running)
        seconds, cpu = time.perf_counter() - began, time.process_time() - spent
    runs = size * count
    return Found(runs / seconds, db.count / runs, cpu / runs * 1e6)


def statement_rows(
    rounds: int, fresh: Callable[[], Path], far: Callable[[], OpenStore]
) -> Iterator[Row]:
    """At each number of runs a commit, PostgreSQL beside SQLite."""
    for size, count in SHARED.items():
        ours, theirs = in_turns(
            rounds,
            lambda s=size, n=count: trio.run(turns, fresh(), far(), s, n),
            lambda s=size, n=count: trio.run(turns, fresh(), open_file, s, n),
        )
        name = f"store alone, {size} runs a commit, PostgreSQL / SQLite"
        yield Row(name, "runs/s", "", [f.rate for f in ours], [f.rate for f in theirs])
        limit = "ours <= 1" if size == 25 else ""
        yield Row(
            f"{name}, statements a run", "", limit,
            [f.statements for f in ours], [f.statements for f in theirs],
        )  # fmt: skip
        yield Row(
            f"{name}, CPU a run", "us", "", [f.cpu for f in ours], [f.cpu for f in theirs]
        )  # fmt: skip
