"""Reading runs: views of open runs from memory, of ended ones folded on demand, lists from rows.

What a pipeline reads is asked again when the store does not answer, as it is for a write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import trio

from penstock.log.projections import RunView
from penstock.log.recorder import retry_delay
from penstock.log.store import Store
from penstock.log.writes import AskRow, RunFilter, RunRow
from penstock.words.errors import RunNotFound, StoreUnavailable
from penstock.words.events import DAEMON_STREAM, LARGEST_EVENT_BYTES
from penstock.words.priority import Priority
from penstock.words.recorded import Recorded
from penstock.words.values import format_time

#: Facts read at once while an ended run is folded; the loop runs between two reads.
FOLD_PAGE = 500


@dataclass(frozen=True, slots=True)
class Reader:
    """What surfaces may know of runs. `open_views` belongs to the run table."""

    store: Store
    open_views: Mapping[str, RunView]

    async def view(self, run_id: str) -> RunView:
        """The run as its facts tell it. RunNotFound."""
        if (view := self.open_views.get(run_id)) is not None:
            await trio.lowlevel.checkpoint()
            return view
        view = await self.fold_stored(run_id)
        if not view.sequence or run_id == DAEMON_STREAM:
            raise RunNotFound(f"there is no run {run_id!r}", run_id=run_id)
        return view

    async def fold_stored(self, run_id: str) -> RunView:
        """The view folded from the store alone; empty for an unknown run."""
        view = RunView(run_id)
        while facts := await self.store.read(run_id, view.position, FOLD_PAGE):
            for fact in facts:
                view.apply(fact)
        return view

    def is_open(self, run_id: str) -> bool:
        return run_id in self.open_views

    def open_view(self, run_id: str) -> RunView:
        """The view of an open run; RunNotFound when it is not open."""
        try:
            return self.open_views[run_id]
        except KeyError:
            raise RunNotFound(
                f"the run {run_id!r} is not open", run_id=run_id
            ) from None

    async def known(self, run_id: str) -> bool:
        return run_id in self.open_views or await self.store.run(run_id) is not None

    async def list(self, wanted: RunFilter) -> tuple[list[dict[str, Any]], int | None]:
        """Runs as the list shows them, newest first, and where the next page begins."""
        rows = await self.store.runs(wanted)
        more = rows[-1].place if len(rows) == wanted.limit else None
        return [self._listed(row) for row in rows], more

    def _listed(self, row: RunRow) -> dict[str, Any]:
        listed = row_json(row)
        if (view := self.open_views.get(row.run_id)) is not None:
            listed |= {
                "progress": view.progress,
                "step": view.step,
                "reason": view.reason,
            }
        return listed

    async def asks(
        self, run_id: str | None = None, *, only_open: bool = True
    ) -> Sequence[AskRow]:
        """Questions, newest last; of one run, or of all."""
        return await self.store.asks(run_id, only_open=only_open)


def row_json(row: RunRow) -> dict[str, Any]:
    """A run's row as lists show it."""
    outcome = row.outcome or {}
    return {
        "run_id": row.run_id,
        "kind": row.kind,
        "state": row.state,
        "priority": Priority(row.priority).name,
        "reason": row.reason,
        "progress": 1.0 if row.state == "completed" else None,
        "step": None,
        "result": outcome.get("result"),
        "error": outcome.get("error"),
        "created_at": format_time(row.created_at),
        "started_at": format_time(row.started_at) if row.started_at else None,
        "ended_at": format_time(row.ended_at) if row.ended_at else None,
        "code_version": row.code_version,
        "sequence": row.sequence,
        "position": row.last_position,
        "place": row.place,
        "attempt": row.attempt,
        "inputs": dict(row.shown),
        "labels": dict(row.labels),
        "after": list(row.after),
        "group": row.group,
        "parent_id": row.parent_id,
        "retry_of": row.retry_of,
        "timeout": row.timeout,
        "used_seconds": row.used_seconds,
    }


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PatientReads:
    """Reads on behalf of a run, which must not fail where its writes would only wait.

    StoreUnavailable when the store has not answered for `patience` seconds. Surfaces read without
    patience: their clients are told at once.
    """

    reader: Reader
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
        read = self.reader.store.read
        return await self._ask(
            partial(read, run_id, after, limit, max_bytes=max_bytes, types=types)
        )

    async def runs(self, wanted: RunFilter) -> list[RunRow]:
        """As `Store.runs`."""
        return await self._ask(partial(self.reader.store.runs, wanted))

    async def view(self, run_id: str) -> RunView:
        """The view of any run. RunNotFound."""
        return await self._ask(partial(self.reader.view, run_id))

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
