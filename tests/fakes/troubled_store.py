"""A real store with a fault that a test chooses when it wants it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import trio

from penstock.log.filters import RunFilter
from penstock.log.kept import BoxRow, RunRow
from penstock.log.results import Result
from penstock.log.sqlite.store import SqliteStore
from penstock.log.store import Store
from penstock.log.writes import Write
from penstock.words.errors import PenstockError, Refused
from penstock.words.recorded import Recorded


class TroubledStore:
    """Does what the store does that it is made of, but for its faults. All are off at first."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.unreadable: Exception | None = None
        self.readable = 0
        #: A commit that was done is answered when this is set.
        self.answering = trio.Event()
        self.answering.set()
        #: Set when a commit was done and waits for that.
        self.done = trio.Event()
        #: Called in the step in which a commit is answered.
        self.on_answer: Callable[[], object] | None = None
        #: Writes that are refused for ever, whoever asks; and whether commits of none are.
        self.refuses: tuple[type, ...] = ()
        self.refuses_renewals = False
        #: The boxes that share the log.
        self.sharers: Sequence[BoxRow] = ()

    def as_store(self) -> Store:
        """Itself: what is not written here is that of the store."""
        return cast("Store", self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def fail_reads(self, error: Exception, *, readable: int = 0) -> None:
        """From now on reads raise this, except for facts up to the position `readable`."""
        self.unreadable, self.readable = error, readable

    async def commit(self, batch: Sequence[Write[Any]]) -> list[Result | PenstockError]:
        if self._refuses(batch):
            await trio.lowlevel.checkpoint()
            raise Refused("write", "it never takes it", code="22P02")
        answers = await self._store.commit(batch)
        if not self.answering.is_set():
            self.done.set()
        await self.answering.wait()
        if self.on_answer is not None:
            self.on_answer()
        return answers

    def _refuses(self, batch: Sequence[Write[Any]]) -> bool:
        if self.refuses_renewals and not batch:
            return True
        return any(isinstance(write, self.refuses) for write in batch)

    async def read(
        self, run_id: str, after: int = 0, limit: int = 500, **named: Any
    ) -> list[Recorded]:
        await self._look(after)
        return self._readable(await self._store.read(run_id, after, limit, **named))

    async def read_all(
        self, after: int = 0, limit: int = 500, **named: Any
    ) -> list[Recorded]:
        await self._look(after)
        return self._readable(await self._store.read_all(after, limit, **named))

    async def run(self, run_id: str) -> RunRow | None:
        await self._look()
        return await self._store.run(run_id)

    async def runs(self, wanted: RunFilter) -> list[RunRow]:
        await self._look()
        return await self._store.runs(wanted)

    async def boxes(self) -> list[BoxRow]:
        await self._look()
        return list(self.sharers)

    async def _look(self, after: int = 2**63) -> None:
        await trio.lowlevel.checkpoint()
        if self.unreadable is not None and after >= self.readable:
            raise self.unreadable

    def _readable(self, facts: list[Recorded]) -> list[Recorded]:
        if self.unreadable is None:
            return facts
        return [fact for fact in facts if fact.position <= self.readable]
