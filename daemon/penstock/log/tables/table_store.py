"""What a store does alike whichever engine keeps its tables: each verb in a thread that may wait for it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from queue import LifoQueue
from typing import Any, TypeVar

from penstock.concurrency.threads import RunBlocking
from penstock.log.kept import RunRow
from penstock.log.results import Result
from penstock.log.tables.queries import Readings, open_rows
from penstock.log.tables.run_head import damaged_row, load_open
from penstock.log.tables.transaction import Transaction
from penstock.log.writes import Write
from penstock.words.errors import LogDamaged, PenstockError
from penstock.words.recorded import Recorded

T = TypeVar("T")
R = TypeVar("R", bound=Result)


class TableStore(Readings):
    """The `Store` but for what an engine does its own way; the port says what each verb promises."""

    epoch: str
    #: What tells, while facts are read, that those to come are damaged.
    _damage_errors: tuple[type[Exception], ...] = (LogDamaged,)

    def __init__(
        self,
        transaction: Transaction,
        readers: Sequence[Any],
        run_blocking: RunBlocking,
        run_reading: RunBlocking,
    ) -> None:
        self._transaction = transaction
        self._run_blocking, self._run_reading = run_blocking, run_reading
        self._readers: LifoQueue[Any] = LifoQueue(len(readers))
        for db in readers:
            self._readers.put(db)
        self._broken: str | None = None
        self.damage: str | None = None

    @abstractmethod
    def _commit(self, batch: Sequence[Write[R]]) -> list[R | PenstockError]: ...

    @abstractmethod
    def _renew_epoch(self) -> str:
        """Give the log a new epoch, and tell it."""

    @abstractmethod
    def _close(self) -> None: ...

    @abstractmethod
    def _ask(self, db: Any, fn: Callable[..., T], *args: Any) -> T:
        """Call `fn` with this connection; what the engine raises is told in words of the port."""

    @abstractmethod
    def _find_columns(self, db: Any, keys: Sequence[int]) -> list[tuple[Any, ...]]:
        """Rows of SELECT_RUNS of these runs, as far as they can be read."""

    @abstractmethod
    def _each_fact(
        self, db: Any, sql: str, values: tuple[Any, ...], max_bytes: int
    ) -> Iterable[Recorded]:
        """Rows of SELECT_EVENTS within so many bytes, but always the first."""

    async def commit(self, batch: Sequence[Write[R]]) -> list[R | PenstockError]:
        return await self._run_blocking(self._commit, batch)

    async def renew_epoch(self) -> None:
        """Give the log a new epoch, because its positions no longer name what they named."""
        self.epoch = await self._run_blocking(self._renew_epoch)

    async def lose(self, run_id: str) -> None:
        await self._run_blocking(self._lose, run_id)

    def _lose(self, run_id: str) -> None:
        self._transaction.lost.add(run_id)
        # The next commit reads anew which runs are open.
        self._transaction.forget()

    async def aclose(self) -> None:
        await self._run_blocking(self._close)

    async def open_runs(self) -> list[RunRow]:
        return await self._read(self._open_runs)

    def _open_runs(self, db: Any) -> list[RunRow]:
        """Those whose rows can be read, here and by whoever records about them."""
        lost = self._transaction.lost
        keys, rows = open_rows(db, partial(self._find_columns, db))
        lost |= keys.values() - rows.keys()
        load_open(db, lost)
        self._note_lost()
        return [rows[run_id] for run_id in keys.values() if run_id not in lost]

    def _note_lost(self) -> None:
        if lost := self._transaction.lost:
            self._note_damage(damaged_row(min(lost)))

    def _note_damage(self, damaged: LogDamaged) -> LogDamaged:
        self.damage = self.damage or str(damaged)
        return damaged

    async def _read(self, fn: Callable[..., T], *args: Any) -> T:
        return await self._run_reading(self._with_reader, fn, *args)

    def _with_reader(self, fn: Callable[..., T], *args: Any) -> T:
        db = self._readers.get()
        try:
            return self._ask(db, fn, *args)
        except LogDamaged as error:
            self._note_damage(error)
            raise
        finally:
            self._readers.put(db)

    def _facts(
        self, db: Any, sql: str, values: tuple[Any, ...], max_bytes: int
    ) -> list[Recorded]:
        facts: list[Recorded] = []
        try:
            for fact in self._each_fact(db, sql, values, max_bytes):
                facts.append(fact)  # noqa: PERF402  (what came before the damage is kept)
        except self._damage_errors:
            # Who reads on meets it next time, at its first row.
            if not facts:
                raise
        return facts
