"""What runs read of the log. A store that does not answer is asked again, as it is for a write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import trio

from penstock.log.projections import RunView
from penstock.log.recorder import retry_delay
from penstock.log.writes import RunFilter, RunRow
from penstock.runs.reading import Reading
from penstock.words.errors import StoreUnavailable
from penstock.words.events import LARGEST_EVENT_BYTES
from penstock.words.recorded import Recorded

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PatientReads:
    """Reads on behalf of a run, which must not fail where its writes would only wait.

    StoreUnavailable when the store has not answered for `patience` seconds. Surfaces read without
    patience: their clients are told at once.
    """

    reading: Reading
    patience: float

    async def read(
        self,
        run_id: str,
        after: int = 0,
        limit: int = 500,
        *,
        max_bytes: int = LARGEST_EVENT_BYTES,
        types: frozenset[str] | None = None,
    ) -> list[Recorded]:
        """As `Store.read`."""
        read = self.reading.store.read
        return await self._ask(
            partial(read, run_id, after, limit, max_bytes=max_bytes, types=types)
        )

    async def runs(self, wanted: RunFilter) -> list[RunRow]:
        """As `Store.runs`."""
        return await self._ask(partial(self.reading.store.runs, wanted))

    async def view(self, run_id: str) -> RunView:
        """The view of any run. RunNotFound."""
        return await self._ask(partial(self.reading.view, run_id))

    async def _ask(self, read: Callable[[], Awaitable[T]]) -> T:
        began = trio.current_time()
        while True:
            try:
                return await read()
            except StoreUnavailable:
                waited = trio.current_time() - began
                if waited >= self.patience:
                    raise
            await trio.sleep(retry_delay(waited))
