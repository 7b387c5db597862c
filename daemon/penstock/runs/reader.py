"""Reading runs: views of open runs from memory, of ended ones folded on demand, lists from rows.

What a pipeline reads is asked again when the store does not answer, as it is for a write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

import trio

from penstock.log.filters import RunFilter
from penstock.log.kept import AskRow, RunRow
from penstock.log.newest_output import shown_tail
from penstock.log.outage import retry_delay
from penstock.log.projections import RunView
from penstock.log.store import Store
from penstock.words.api import RunReply, RunSummary
from penstock.words.errors import RunNotFound, StoreUnavailable
from penstock.words.events import DAEMON_STREAM, LARGEST_EVENT_BYTES
from penstock.words.lifecycle import COMPLETED, FAILED, OPEN_STATES, OnRestart
from penstock.words.priority import Priority
from penstock.words.recorded import Recorded
from penstock.words.run_exit import RunExit, exit_json, exit_of_run
from penstock.words.surroundings import Surroundings

#: Facts read at once while an ended run is folded; the loop runs between two reads.
FOLD_PAGE = 500
#: The facts that hold what a run printed.
LOG_TYPES = frozenset({"log"})
#: Runs looked at for one page of a search for words, which no index helps: a tenth of a second, and
#: weeks of runs. A reader who is not content goes on with the next page.
MOST_SEARCHED = 20_000


@dataclass(frozen=True, slots=True)
class RunTerms:
    """What no fact of a run tells: its number, what a restart does to it, its executing seconds so far."""

    number: int
    on_restart: OnRestart
    used_seconds: float = 0.0


class Ancestor(NamedTuple):
    """What of a run matters to those below it."""

    kind: str
    parent_id: str | None


@dataclass(frozen=True, slots=True)
class Reader:
    """What surfaces may know of runs. Views and terms of open ones belong to the run table."""

    store: Store
    open_views: Mapping[str, RunView]
    open_terms: Mapping[str, RunTerms]

    async def view(self, run_id: str) -> RunView:
        """The run as its facts tell it. RunNotFound."""
        if (view := self.open_views.get(run_id)) is not None:
            await trio.lowlevel.checkpoint()
            return view
        view = await self.fold_stored(run_id)
        if not view.sequence or run_id == DAEMON_STREAM:
            raise RunNotFound(f"there is no run {run_id!r}", run_id=run_id)
        return view

    async def fold_stored(self, run_id: str, until: int | None = None) -> RunView:
        """The view folded from the store alone, up to a position; empty for an unknown run."""
        view = RunView(run_id)
        while facts := await self.store.read(run_id, view.position, FOLD_PAGE):
            for fact in facts:
                if until is not None and fact.position > until:
                    return view
                view.apply(fact)
        return view

    async def ancestor(self, run_id: str) -> Ancestor:
        """Of what kind this run is, and whose child, without its facts. RunNotFound."""
        if (view := self.open_views.get(run_id)) is not None:
            await trio.lowlevel.checkpoint()
            return Ancestor(view.kind, view.parent_id)
        row = await self.store.run(run_id)
        if row is None:
            raise RunNotFound(f"there is no run {run_id!r}", run_id=run_id)
        return Ancestor(row.kind, row.parent_id)

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

    async def look(self, run_id: str) -> tuple[RunView, RunTerms]:
        """The run as its facts tell it, and what is kept beside them. RunNotFound."""
        view = await self.view(run_id)
        if (terms := self.open_terms.get(run_id)) is not None:
            return view, terms
        row = await self.store.run(run_id)
        if row is None:
            raise RunNotFound(f"there is no run {run_id!r}", run_id=run_id)
        return view, terms_of(row)

    async def numbers(self, run_ids: Iterable[str]) -> dict[str, int]:
        """The number of each of these runs, as far as there are such."""
        numbers = {}
        for run_id in run_ids:
            with suppress(RunNotFound):
                numbers[run_id] = await self._number(run_id)
        return numbers

    async def _number(self, run_id: str) -> int:
        if (terms := self.open_terms.get(run_id)) is not None:
            await trio.lowlevel.checkpoint()
            return terms.number
        row = await self.store.run(run_id)
        if row is None:
            raise RunNotFound(f"there is no run {run_id!r}", run_id=run_id)
        return row.key

    async def reply(self, run_id: str) -> RunReply:
        """The run as every surface tells it. RunNotFound."""
        view, terms = await self.look(run_id)
        tail: tuple[str, ...] = ()
        if view.state == FAILED:
            read = partial(self.store.read, run_id, types=LOG_TYPES)
            tail = await shown_tail(read, view.position)
        return run_reply(view, terms, tail)

    async def list(self, wanted: RunFilter) -> tuple[list[dict[str, Any]], int | None]:
        """Runs as the list shows them, newest first, and where the next page begins.

        A page that looks for words ends after MOST_SEARCHED runs, however few of them have these.
        """
        if _looks_at_all(wanted):
            end = await self.store.place_of(wanted.before, MOST_SEARCHED)
            wanted = replace(wanted, above=end or 0)
        rows = await self.store.runs(wanted)
        more = None
        if len(rows) == wanted.limit:
            more = rows[-1].place
        elif wanted.above:
            more = wanted.above + 1
        listed = [run_summary(row, self.open_views.get(row.run_id)) for row in rows]
        return [summary.model_dump(mode="json") for summary in listed], more

    async def asks(
        self, run_id: str | None = None, *, only_open: bool = True
    ) -> Sequence[AskRow]:
        """Questions, newest last; of one run, or of all."""
        return await self.store.asks(run_id, only_open=only_open)

    def ask_details(self, row: AskRow) -> Mapping[str, Any]:
        """What one should see before one answers; empty once nobody can."""
        view = self.open_views.get(row.run_id)
        ask = None if view is None else view.asks.get(row.name)
        return {} if ask is None else ask.details


def _looks_at_all(wanted: RunFilter) -> bool:
    """Whether it is for words, among all runs there ever were."""
    return bool(wanted.words or wanted.without) and not (
        wanted.states and wanted.states.issubset(OPEN_STATES)
    )


def terms_of(row: RunRow) -> RunTerms:
    """What the store keeps of a run beside its facts."""
    return RunTerms(row.key, row.on_restart, row.used_seconds)


def run_reply(
    view: RunView, terms: RunTerms, output_tail: tuple[str, ...] = ()
) -> RunReply:
    """The one maker of a run's reply, for every surface."""
    kept = {
        "number": terms.number,
        "on_restart": terms.on_restart,
        "used_seconds": terms.used_seconds,
        "output_tail": output_tail,
    }
    return RunReply.model_validate({**view.to_json(), **kept})


def exit_of_row(row: RunRow) -> RunExit | None:
    """As `RunView.exit`, without the run's facts."""
    outcome = row.outcome or {}
    details, result = outcome.get("details") or {}, outcome.get("result")
    return exit_of_run(row.kind, row.state, row.reason, details, result)


def run_summary(row: RunRow, view: RunView | None) -> RunSummary:
    """The one maker of a list's entry; `view` is that of an open run, and knows what it does."""
    outcome = row.outcome or {}
    done = 1.0 if row.state == COMPLETED else None
    return RunSummary(
        run_id=row.run_id,
        number=row.key,
        kind=row.kind,
        state=row.state,
        priority=Priority(row.priority if view is None else view.priority).name,
        reason=row.reason if view is None else view.reason,
        progress=done if view is None else view.progress,
        step=None if view is None else view.step,
        model_doing="" if view is None else view.model_doing,
        result=outcome.get("result"),
        error=outcome.get("error"),
        **exit_json(exit_of_row(row)),
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        code_version=row.code_version,
        sequence=row.sequence,
        position=row.last_position,
        place=row.place,
        turn=None if view is None else view.turn,
        attempt=row.attempt,
        box=row.host,
        inputs=dict(row.shown),
        labels=dict(row.labels),
        after=row.after,
        group=row.group,
        parent_id=row.parent_id,
        retry_of=row.retry_of,
        not_before=None if view is None else view.not_before,
        stashed=view is not None and view.stashed,
        retries=0 if view is None else view.retries,
        retried=0 if view is None else view.retried,
        timeout=row.timeout,
        used_seconds=row.used_seconds,
        on_restart=row.on_restart,
        needs=dict(row.needs),
        origin=row.origin,
        cancel_requested=row.cancel_requested,
    )


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

    async def surroundings(self, run_id: str) -> Surroundings | None:
        """As `Store.surroundings`."""
        return await self._ask(partial(self.reader.store.surroundings, run_id))

    async def runs(self, wanted: RunFilter) -> list[RunRow]:
        """As `Store.runs`."""
        return await self._ask(partial(self.reader.store.runs, wanted))

    async def view(self, run_id: str) -> RunView:
        """The view of any run. RunNotFound."""
        return await self._ask(partial(self.reader.view, run_id))

    async def ancestor(self, run_id: str) -> Ancestor:
        """Of what kind this run is, and whose child. RunNotFound."""
        return await self._ask(partial(self.reader.ancestor, run_id))

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
