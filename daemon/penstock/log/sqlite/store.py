"""The store of one box: SQLite, one writer, a few readers, every commit on the disk."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import (
    AsyncIterator,
    Callable,
    Iterable,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import UUID, uuid4

import trio

from penstock.concurrency.threads import RunBlocking, run_in_thread
from penstock.log.filters import RunFilter
from penstock.log.kept import Bounds, Opening, RunRow
from penstock.log.results import Result
from penstock.log.sqlite.damage import (
    KnownFile,
    find_readable,
    first_change,
    known_file,
    needed_is_whole,
    tells_of_damage,
)
from penstock.log.sqlite.database import BUSY_MILLISECONDS, open_database
from penstock.log.sqlite.engine import SqliteDb
from penstock.log.sqlite.migrations import AS_USUAL, MigrationPolicy
from penstock.log.sqlite.older_logs import find_meta
from penstock.log.sqlite.room import fold_log, free_bytes, must_fold, try_room
from penstock.log.sqlite.schema import used_bytes
from penstock.log.store import Sharing
from penstock.log.tables.handlers import event_ids, handle
from penstock.log.tables.output_window import LIMITS, WindowLimits
from penstock.log.tables.queries import READERS, open_rows
from penstock.log.tables.rows import find_columns, find_runs, page, run_row
from penstock.log.tables.table_store import TableStore
from penstock.log.tables.transaction import Transaction
from penstock.log.writes import Write, size_of_batch
from penstock.words.errors import (
    LogDamaged,
    PenstockError,
    StartRefused,
    StoreAway,
    StoreBroken,
    StoreUnavailable,
)
from penstock.words.recorded import Recorded
from penstock.words.values import new_event_id

T = TypeVar("T")
R = TypeVar("R", bound=Result)

# After a failed fsync the kernel may have dropped the pages: nothing written since can be trusted.
# A file that is no database any more has lost its first page, which everything needs.
_BROKEN = ("SQLITE_IOERR_FSYNC", "SQLITE_IOERR_DIR_FSYNC", "SQLITE_NOTADB")
_UNAVAILABLE = (
    "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_READONLY",
    "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_NOMEM", "SQLITE_AUTH", "SQLITE_PROTOCOL",
)  # fmt: skip


def threads(count: int) -> RunBlocking:
    """Runs functions in at most `count` threads of Trio; a cancel waits for the function's end.

    For who opens a log for a moment; a daemon keeps threads, see `open_threads`.
    """
    limiter = trio.CapacityLimiter(count)

    async def run(fn: Callable[..., T], /, *args: Any) -> T:
        return await run_in_thread(fn, *args, limiter=limiter)

    return run


@asynccontextmanager
async def open_sqlite(
    path: Path | Literal[":memory:"],
    *,
    life: str,
    run_blocking: RunBlocking,
    run_reading: RunBlocking | None = None,
    new_id: Callable[[], UUID] = new_event_id,
    alone: bool = True,
    beside: Sequence[Path] = (),
    migration: MigrationPolicy = AS_USUAL,
    limits: WindowLimits = LIMITS,
    free: Callable[[Path], int] = free_bytes,
) -> AsyncIterator[SqliteStore]:
    """Open the store, made or migrated as needed. StartRefused says in one sentence why not.

    `run_blocking` runs one function at a time; `run_reading` at most READERS (None: reads go the
    way of commits). A database in memory has one connection, and reads go the way of commits.

    `alone`: nobody else opens this file so meanwhile; once it, its log or a file `beside` it (the
    lock) is removed or replaced, nothing is acknowledged any more. Not alone may be who only reads.
    `limits`: what is kept of a run's output. `free`: the bytes that are free in the log's folder.
    """
    file = None if path == ":memory:" else Path(path)
    connections, files = await run_blocking(
        _open, file, READERS if run_reading else 0, alone, beside, migration
    )
    store = SqliteStore(
        connections,
        life=life,
        run_blocking=run_blocking,
        run_reading=run_reading,
        new_id=new_id,
        files=files,
        limits=limits,
        free=free,
    )
    try:
        yield store
    finally:
        # Closing folds the write-ahead log into the file: brief, and wanted even when cancelled.
        with trio.CancelScope(shield=True):
            await store.aclose()


def _open(
    path: Path | None,
    readers: int,
    alone: bool,
    beside: Sequence[Path],
    migration: MigrationPolicy,
) -> tuple[list[sqlite3.Connection], tuple[KnownFile, ...]]:
    """The connections, and the files that must stay what they are."""
    connections = open_database(path, readers, alone=alone, migration=migration)
    if path is None or not alone:
        return connections, ()
    parts = [path.with_name(f"{path.name}{end}") for end in ("", "-wal", "-shm")]
    try:
        return connections, tuple(known_file(part) for part in [*parts, *beside])
    except OSError as error:
        for connection in reversed(connections):
            connection.close()
        why = f"a file of the database {path} is gone: {error}"
        raise StartRefused(why) from None


class SqliteStore(TableStore):
    """The `Store` of a SQLite file; the port says what each verb promises."""

    #: One daemon has the file.
    sharing: Sharing | None = None
    #: Nobody notes them in it: whoever gives it another is the one who has seen them.
    past_epochs: frozenset[str] = frozenset()
    _damage_errors = (LogDamaged, sqlite3.DatabaseError)

    def __init__(
        self,
        connections: Sequence[sqlite3.Connection],
        *,
        life: str,
        run_blocking: RunBlocking,
        run_reading: RunBlocking | None,
        new_id: Callable[[], UUID],
        files: Sequence[KnownFile] = (),
        limits: WindowLimits = LIMITS,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self._db, *readers = connections
        super().__init__(
            Transaction(SqliteDb(self._db), life, new_id, limits),
            readers or [self._db],
            run_blocking,
            run_reading if readers and run_reading else run_blocking,
        )
        #: The version of the older log that is read through a copy; None for a log itself.
        self.copy_of: int | None = getattr(self._db, "copy_of", None)
        self._files = tuple(files)
        self._free_bytes = free
        #: Bytes of the largest batch that was not taken since one was.
        self._refused_bytes = 0
        self._all = tuple(connections)
        self.epoch: str = self._transaction.meta("epoch")
        #: Made with the log, and kept when its epoch changes.
        self.log_id: str = _log_id(self._db) or self.epoch

    def _commit(self, batch: Sequence[Write[R]]) -> list[R | PenstockError]:
        if self._broken is not None:
            raise StoreBroken(self._broken)
        transaction = self._transaction
        tried = False
        if self._refused_bytes and not batch:
            self._keep_room(full=True)
        try:
            transaction.begin(event_ids(batch))
            results = [handle(transaction, write) for write in batch]
            if not batch:
                # Only what writes finds out whether the store takes writes.
                transaction.set_meta("head", transaction.next_position - 1)
                self._try_room()
            transaction.finish()
            tried = True
            transaction.save()
        except sqlite3.Error as error:
            at_work = transaction.at_work
            self._undo()
            if not tried and tells_of_damage(error) and self._lose_unreadable():
                return self._commit(batch)
            self._refused_bytes = max(self._refused_bytes, size_of_batch(batch))
            raise self._translate(
                error, self._db, tried=tried, run_id=at_work
            ) from error
        except LogDamaged as error:
            self._undo()
            raise self._note_damage(error) from None
        except BaseException:
            self._undo()
            raise
        self._refused_bytes = 0
        self._note_lost()
        # What went into a removed file is in no log: nobody may be answered that it is.
        self._check_files()
        self._keep_room()
        return results

    async def recall(self, head: int) -> None:
        """Of a file nothing is lost on the way: what was written and not told is beyond this life.

        The results, claimed runs above all, are read from the log by the next one.
        """
        if (await self.bounds()).head > head:
            raise StoreBroken("the store wrote facts and did not say so")

    def _try_room(self) -> None:
        """StoreAway unless the disk has room for what it did not take before."""
        if self._refused_bytes and self._files:
            try_room(self._files[1].path, self._refused_bytes)

    def _keep_room(self, *, full: bool = False) -> None:
        """Fold the write-ahead log while there is room to do so, or because there is none.

        StoreBroken if the disk is not to be trusted any more; whatever else is amiss is met by who writes.
        """
        if not self._files:
            return
        log = self._files[1].path
        try:
            if full or must_fold(os.stat(log).st_size, self._free_bytes(log.parent)):
                fold_log(self._db, BUSY_MILLISECONDS)
        except OSError:
            return
        except sqlite3.Error as error:
            broken = self._translate(error, self._db)
            if isinstance(broken, StoreBroken):
                raise broken from error

    async def check_files(self) -> None:
        """StoreBroken, from now on, if a file of the log was removed or replaced."""
        if self._files:
            await self._run_reading(self._check_files)

    def _check_files(self) -> None:
        if self._broken is None and (why := first_change(self._files)) is not None:
            self._broken = f"the log is no longer what it was: {why}"
        if self._broken is not None:
            raise StoreBroken(self._broken)

    def _undo(self) -> None:
        self._transaction.forget()
        # On most faults SQLite has rolled back already; then this does nothing.
        with suppress(sqlite3.Error):
            self._db.rollback()

    def _translate(
        self,
        error: sqlite3.Error,
        db: sqlite3.Connection,
        *,
        tried: bool = False,
        run_id: str | None = None,
    ) -> Exception:
        """What the port says of SQLite's error; `tried`: a commit had begun, and may be done.

        `run_id` is the run that damage was met under, where that is known.
        """
        name = getattr(error, "sqlite_errorname", "")
        try:
            # SQLite calls a removed file an I/O error, or read-only, which would be tried again.
            self._check_files()
        except StoreBroken as broken:
            return broken
        if tells_of_damage(error):
            if needed_is_whole(db):
                return self._note_damage(_damaged(error, run_id))
            return self._break(f"the database is damaged: {error} ({name})")
        if name.startswith(_BROKEN):
            return self._break(
                f"the database can no longer be trusted: {error} ({name})"
            )
        if name.startswith(_UNAVAILABLE):
            unavailable = StoreUnavailable if tried else StoreAway
            return unavailable(
                f"the database did not answer: {error} ({name})", code=name
            )
        return error

    def _break(self, why: str) -> StoreBroken:
        self._broken = why
        return StoreBroken(why)

    def _ask(self, db: sqlite3.Connection, fn: Callable[..., T], *args: Any) -> T:
        try:
            return fn(db, *args)
        except sqlite3.Error as error:
            raise self._translate(error, db) from error

    def _each_fact(
        self, db: sqlite3.Connection, sql: str, values: tuple[Any, ...], max_bytes: int
    ) -> Iterable[Recorded]:
        return page(db.execute(sql, values), max_bytes)

    def _find_columns(
        self, db: sqlite3.Connection, keys: Sequence[int]
    ) -> list[tuple[Any, ...]]:
        return find_readable(partial(find_columns, db), keys)

    def _list(self, db: sqlite3.Connection, wanted: RunFilter) -> list[RunRow]:
        """What can be read of a list; one damaged row must not hide all the others."""
        rows: list[RunRow] = []
        try:
            for columns in find_runs(db, wanted):
                try:
                    rows.append(run_row(columns))
                except LogDamaged as error:
                    self._note_damage(error)
        except sqlite3.DatabaseError as error:
            if not rows:
                raise
            self._translate(error, db)
        return rows

    async def opening(self) -> Opening:
        """In several reads: nobody else writes."""
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

    def _lose_unreadable(self) -> bool:
        """Whether open runs were found that lie on a damaged page, and are lost from now on.

        Asked outside of a transaction: one that met damage takes no more statements.
        """
        try:
            keys, rows = open_rows(self._db, partial(self._find_columns, self._db))
        except sqlite3.Error:
            return False
        found = keys.values() - rows.keys() - self._transaction.lost
        self._transaction.lost |= found
        return bool(found)

    async def bounds(self) -> Bounds:
        return await self._read(_bounds)

    async def size(self) -> int:
        return await self._read(used_bytes)

    def _renew_epoch(self) -> str:
        epoch = str(uuid4())
        try:
            self._db.execute("BEGIN IMMEDIATE")
            # The first epoch was the log's id.
            self._db.execute(
                "INSERT OR IGNORE INTO meta VALUES ('log', ?)", (self.log_id,)
            )
            self._db.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (epoch,))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            raise self._translate(error, self._db) from error
        return epoch

    def _close(self) -> None:
        for connection in reversed(self._all):
            connection.close()


def _damaged(error: sqlite3.Error, run_id: str | None) -> LogDamaged:
    if run_id is None:
        return LogDamaged(f"the log is damaged: {error}")
    return LogDamaged(
        f"the log is damaged under the run {run_id!r}: {error}", run_id=run_id
    )


def _log_id(db: sqlite3.Connection) -> str | None:
    """The id of a log whose epoch has changed; None while it is the first one."""
    found = db.execute("SELECT value FROM meta WHERE name = 'log'").fetchone()
    return None if found is None else found[0]


def _bounds(db: sqlite3.Connection) -> Bounds:
    # One query: two would let a commit fall between them.
    meta = find_meta(db)
    return Bounds(meta["floor"], meta["head"])
