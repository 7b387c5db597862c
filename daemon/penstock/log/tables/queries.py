"""The verbs of the port that only read, for a store that has connections to read by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from penstock.log.filters import RunFilter
from penstock.log.kept import AskRow, BoxRow, RunRow, ScheduleRow, TreeRun
from penstock.log.tables.callers import find_surroundings
from penstock.log.tables.db import Statements
from penstock.log.tables.rows import (
    BOX_OF,
    DRAIN_OF,
    SELECT_EVENTS,
    SELECT_OPEN_KEYS,
    SELECT_RUNS,
    WORDS,
    find_asks,
    find_place,
    find_tree,
    group_of_key,
    run_row,
    to_json,
)
from penstock.log.tables.schedules import find_box_slots, find_schedules, find_slots
from penstock.words.errors import LogDamaged
from penstock.words.events import LARGEST_EVENT_BYTES
from penstock.words.recorded import Recorded
from penstock.words.run_id import MOST_DISMISSED
from penstock.words.surroundings import Surroundings

T = TypeVar("T")

#: Reads that go on at once; each has a connection of its own.
READERS = 4


class Readings(ABC):
    """What is read the same way whichever engine keeps the tables; `Store` says what each promises."""

    @abstractmethod
    async def _read(self, fn: Callable[..., T], *args: Any) -> T:
        """Call `fn` with a connection that reads, in a thread."""

    @abstractmethod
    def _facts(
        self, db: Any, sql: str, values: tuple[Any, ...], max_bytes: int
    ) -> list[Recorded]:
        """Rows of SELECT_EVENTS within so many bytes, but always the first."""

    @abstractmethod
    def _list(self, db: Any, wanted: RunFilter) -> list[RunRow]:
        """See `Store.runs`."""

    async def read(
        self,
        run_id: str,
        after: int = 0,
        limit: int = 500,
        *,
        max_bytes: int = LARGEST_EVENT_BYTES,
        types: frozenset[str] | None = None,
    ) -> list[Recorded]:
        where = " WHERE events.run = (SELECT key FROM runs WHERE run_id = ?) AND position > ?"
        values: list[object] = [run_id, after]
        if types is not None:
            where += f" AND type IN {WORDS}"
            values.append(to_json(sorted(types)))
        sql = f"{SELECT_EVENTS}{where} ORDER BY position LIMIT ?"
        with _naming(run_id):
            return await self._read(self._facts, sql, (*values, limit), max_bytes)

    async def read_all(
        self, after: int = 0, limit: int = 500, *, max_bytes: int = LARGEST_EVENT_BYTES
    ) -> list[Recorded]:
        sql = f"{SELECT_EVENTS} WHERE position > ? ORDER BY position LIMIT ?"
        return await self._read(self._facts, sql, (after, limit), max_bytes)

    async def run(self, run_id: str) -> RunRow | None:
        sql = f"{SELECT_RUNS} WHERE run_id = ? AND runs.key > 0"
        with _naming(run_id):
            rows = await self._read(_rows, sql, (run_id,))
        return rows[0] if rows else None

    async def runs(self, wanted: RunFilter) -> list[RunRow]:
        return await self._read(self._list, wanted)

    async def place_of(self, before: int | None, count: int) -> int | None:
        return await self._read(find_place, before, count)

    async def tree(self, run_id: str) -> list[TreeRun]:
        return await self._read(find_tree, run_id)

    async def surroundings(self, run_id: str) -> Surroundings | None:
        return await self._read(find_surroundings, run_id)

    async def asks(
        self, run_id: str | None = None, *, only_open: bool = True
    ) -> list[AskRow]:
        return await self._read(find_asks, run_id, only_open)

    async def paused(self) -> Mapping[str | None, str]:
        return await self._read(paused_in)

    async def draining(self) -> Mapping[str | None, str]:
        return await self._read(draining_in)

    async def dismissed(self) -> Sequence[str]:
        return await self._read(dismissed_in)

    async def drained(self) -> frozenset[str]:
        return await self._read(drained_in)

    async def slots(self) -> Mapping[str | None, int]:
        return await self._read(find_slots)

    async def box_slots(self) -> Mapping[str, int]:
        return await self._read(find_box_slots)

    async def schedules(self) -> list[ScheduleRow]:
        return await self._read(find_schedules)

    async def boxes(self) -> list[BoxRow]:
        return []


def open_rows(
    db: Statements, find: Callable[[Sequence[int]], list[tuple[Any, ...]]]
) -> tuple[dict[int, str], dict[str, RunRow]]:
    """The open runs in line, by key, and those of them whose rows can be read, by id.

    `find` finds rows of SELECT_RUNS by their keys.
    """
    keys = dict(db.execute(SELECT_OPEN_KEYS).fetchall())
    rows: dict[str, RunRow] = {}
    for columns in find(list(keys)):
        with suppress(LogDamaged):
            row = run_row(columns)
            rows[row.run_id] = row
    return keys, rows


@contextmanager
def _naming(run_id: str) -> Iterator[None]:
    """Damage that was met while one run was read names that run."""
    try:
        yield
    except LogDamaged as error:
        if "run_id" in error.facts:
            raise
        raise LogDamaged(
            f"the run {run_id!r} cannot be read: {error}; `penstock audit` tells more",
            run_id=run_id,
        ) from error


def _rows(db: Statements, sql: str, values: tuple[Any, ...]) -> list[RunRow]:
    return [run_row(columns) for columns in db.execute(sql, values)]


def paused_in(db: Statements) -> Mapping[str | None, str]:
    """Paused groups and why; the key None is the whole queue."""
    rows = _held(db, "")
    others = (BOX_OF, DRAIN_OF)
    return {
        group_of_key(name): reason
        for name, reason in rows.items()
        if not name.startswith(others)
    }


def draining_in(db: Statements) -> Mapping[str | None, str]:
    """Groups that take no new runs, and the box where that was said; the key None is the whole queue."""
    return {group_of_key(name): box for name, box in _held(db, DRAIN_OF).items()}


def drained_in(db: Statements) -> frozenset[str]:
    """Boxes that start nothing more."""
    return frozenset(_held(db, BOX_OF))


def _held(db: Statements, begins: str) -> dict[str, str]:
    """What the table of pauses has under names that begin so, without that."""
    rows = db.execute("SELECT name, reason FROM pauses").fetchall()
    return {
        name.removeprefix(begins): reason
        for name, reason in rows
        if name.startswith(begins)
    }


def dismissed_in(db: Statements) -> list[str]:
    """Runs whose failures somebody has seen, the newest last."""
    sql = (
        "SELECT run_id FROM runs WHERE dismissed IS NOT NULL"
        " ORDER BY dismissed DESC, key DESC LIMIT ?"
    )
    rows = db.execute(sql, (MOST_DISMISSED,)).fetchall()
    return [run_id for (run_id,) in reversed(rows)]
