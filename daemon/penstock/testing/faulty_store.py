"""A store in memory on the loop, since a mock clock bears no threads, and one that fails as told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import trio

from penstock.concurrency.threads import RunBlocking
from penstock.log.filters import RunFilter
from penstock.log.kept import (
    AskRow,
    Bounds,
    BoxRow,
    Opening,
    RunRow,
    ScheduleRow,
    TreeRun,
)
from penstock.log.results import Result
from penstock.log.sqlite.store import SqliteStore, open_sqlite
from penstock.log.store import Sharing
from penstock.log.writes import Write
from penstock.words.errors import PenstockError, StoreBroken, StoreUnavailable
from penstock.words.recorded import Recorded
from penstock.words.surroundings import Surroundings

T = TypeVar("T")
R = TypeVar("R", bound=Result)

#: Virtual seconds of an outage that outlasts the patience of every fact.
LONG_OUTAGE = 45.0

FaultMode = Literal["once", "lost answer", "outage", "broken"]


def inline(delay: Callable[[], float] | None = None) -> RunBlocking:
    """Runs functions on the loop, with a checkpoint before and after, as a thread would.

    `delay` gives the virtual seconds a call takes. As with a thread, a cancel is heard before the
    call starts, and not any more once it has.
    """

    async def run(fn: Callable[..., T], /, *args: Any) -> T:
        await trio.lowlevel.checkpoint()
        with trio.CancelScope(shield=True):
            if delay is not None:
                await trio.sleep(delay())
            result = fn(*args)
            await trio.lowlevel.checkpoint()
        return result

    return run


@asynccontextmanager
async def open_memory_store(
    *, life: str = "life-1", delay: Callable[[], float] | None = None
) -> AsyncIterator[SqliteStore]:
    """A store that is gone when the block is left; several lives of a core may share it in turn.

    `delay` gives the virtual seconds each call takes.
    """
    async with open_sqlite(":memory:", life=life, run_blocking=inline(delay)) as store:
        yield store


@dataclass(slots=True)
class StoreFault:
    """At the `at`-th call of the store from 1: `once` nothing is done and StoreUnavailable raised;
    `lost answer` the same after it was done; `outage` every call fails for LONG_OUTAGE seconds;
    `broken` the store is never again what it was.
    """

    mode: FaultMode
    at: int
    since: float | None = None

    @property
    def fired(self) -> bool:
        return self.since is not None

    def hits(self, call: int) -> bool:
        """Whether this call fails; the fault remembers when it began."""
        if call == self.at:
            self.since = trio.current_time()
        if self.since is None or call < self.at:
            return False
        if self.mode == "outage":
            return trio.current_time() < self.since + LONG_OUTAGE
        return call == self.at or self.mode == "broken"


@dataclass(eq=False, slots=True)
class FaultyStore:
    """A store that fails as its fault says, and writes nothing once `dead`, as after kill -9."""

    store: SqliteStore
    fault: StoreFault | None = None
    dead: bool = False
    calls: int = 0
    epoch: str = ""

    async def _call(
        self, verb: Callable[..., Awaitable[T]], *args: Any, **named: Any
    ) -> T:
        self.calls += 1
        if self.dead:
            await trio.lowlevel.checkpoint()
            raise StoreBroken("the daemon was killed")
        failing = self.fault is not None and self.fault.hits(self.calls)
        mode = self.fault.mode if self.fault else None
        if failing and mode != "lost answer":
            await trio.lowlevel.checkpoint()
            raise StoreBroken if mode == "broken" else StoreUnavailable("a drill")
        result = await verb(*args, **named)
        if failing:
            raise StoreUnavailable("a drill, after the deed")
        return result

    @property
    def damage(self) -> str | None:
        return self.store.damage

    async def commit(self, batch: Sequence[Write[R]]) -> list[R | PenstockError]:
        return await self._call(self.store.commit, batch)

    async def recall(self, head: int) -> list[Result | PenstockError] | None:
        return await self._call(self.store.recall, head)

    async def read(self, *args: Any, **named: Any) -> list[Recorded]:
        return await self._call(self.store.read, *args, **named)

    async def read_all(self, *args: Any, **named: Any) -> list[Recorded]:
        return await self._call(self.store.read_all, *args, **named)

    async def run(self, run_id: str) -> RunRow | None:
        return await self._call(self.store.run, run_id)

    async def runs(self, wanted: RunFilter) -> list[RunRow]:
        return await self._call(self.store.runs, wanted)

    async def place_of(self, before: int | None, count: int) -> int | None:
        return await self._call(self.store.place_of, before, count)

    async def lose(self, run_id: str) -> None:
        await self._call(self.store.lose, run_id)

    @property
    def sharing(self) -> Sharing | None:
        return self.store.sharing

    async def opening(self) -> Opening:
        return Opening(
            await self.bounds(),
            await self.open_runs(),
            await self.paused(),
            await self.draining(),
            await self.drained(),
            await self.dismissed(),
            await self.slots(),
            await self.box_slots(),
        )

    async def open_runs(self) -> list[RunRow]:
        return await self._call(self.store.open_runs)

    async def tree(self, run_id: str) -> list[TreeRun]:
        return await self._call(self.store.tree, run_id)

    async def surroundings(self, run_id: str) -> Surroundings | None:
        return await self._call(self.store.surroundings, run_id)

    async def asks(self, *args: Any, **named: Any) -> list[AskRow]:
        return await self._call(self.store.asks, *args, **named)

    async def paused(self) -> Mapping[str | None, str]:
        return await self._call(self.store.paused)

    async def draining(self) -> Mapping[str | None, str]:
        return await self._call(self.store.draining)

    async def dismissed(self) -> Sequence[str]:
        return await self._call(self.store.dismissed)

    async def drained(self) -> frozenset[str]:
        return await self._call(self.store.drained)

    async def slots(self) -> Mapping[str | None, int]:
        return await self._call(self.store.slots)

    async def box_slots(self) -> Mapping[str, int]:
        return await self._call(self.store.box_slots)

    async def schedules(self) -> list[ScheduleRow]:
        return await self._call(self.store.schedules)

    async def boxes(self) -> list[BoxRow]:
        return await self._call(self.store.boxes)

    async def bounds(self) -> Bounds:
        return await self._call(self.store.bounds)

    async def size(self) -> int:
        return await self._call(self.store.size)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
