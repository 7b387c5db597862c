"""The store on PostgreSQL: the handlers of every engine, by a connection that may be lost.

A commit whose answer was lost is neither done twice nor taken back: the row of the log counts
commits, so the next turn tells whether that one was done, and what it did is still at hand.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import trio

from penstock.concurrency.deferred import DeferredFailure
from penstock.concurrency.threads import RunBlocking
from penstock.log.filters import RunFilter
from penstock.log.kept import Bounds, BoxRow, Opening, RunRow
from penstock.log.outage import waited_for
from penstock.log.postgresql.dialect import within_bytes
from penstock.log.postgresql.engine import CALL_SECONDS, PostgresDb
from penstock.log.postgresql.ownership import (
    UNHEARD,
    Owner,
    StartPatience,
    open_log,
    place_of,
)
from penstock.log.postgresql.server_words import meaning_of, tell
from penstock.log.postgresql.sharing import PostgresSharing, find_boxes
from penstock.log.postgresql.sqlstates import Meaning, leaves_unsure
from penstock.log.results import Result
from penstock.log.tables.handlers import event_ids, handle
from penstock.log.tables.output_window import LIMITS, WindowLimits
from penstock.log.tables.queries import (
    READERS,
    dismissed_in,
    drained_in,
    draining_in,
    paused_in,
)
from penstock.log.tables.rows import (
    command_line,
    find_columns,
    find_runs,
    recorded,
    run_row,
    to_json,
)
from penstock.log.tables.schedules import find_box_slots, find_slots
from penstock.log.tables.table_store import TableStore
from penstock.log.tables.transaction import Transaction
from penstock.log.writes import Write, size_of_batch
from penstock.words.errors import (
    PenstockError,
    Refused,
    StartRefused,
    StoreAway,
    StoreBroken,
    StoreUnavailable,
)
from penstock.words.events import LARGEST_EVENT_BYTES
from penstock.words.recorded import Recorded
from penstock.words.values import new_event_id

T = TypeVar("T")
R = TypeVar("R", bound=Result)

#: Seconds between two looks at calls that get no answer.
LOOK_SECONDS = 1.0
#: Seconds that make a count of the log's bytes a long one, and how many times as long it holds.
LONG_COUNT, BETWEEN_COUNTS = 1.0, 20
#: Runs read at once by a search for words.
PAGE = 100

_READ_ONLY, _NO_RIGHT, _DISK_FULL = "25006", "42501", "53100"
# What reads meet that is the fault of what a client gave; anything else of that meaning is no client's.
_GIVEN = ("22", "54")


@asynccontextmanager
async def open_postgresql(
    url: str,
    *,
    schema: str,
    owner: Owner,
    run_blocking: RunBlocking,
    run_reading: RunBlocking,
    new_id: Callable[[], UUID] = new_event_id,
    limits: WindowLimits = LIMITS,
    on_renewed: Callable[[int], None] = lambda _asked_at: None,
    on_broken: Callable[[str], None] = lambda _why: None,
    why_over: Callable[[], str | None] = lambda: None,
    patience: StartPatience = UNHEARD,
) -> AsyncIterator[PostgresStore]:
    """Open the store, made or migrated as needed. StartRefused says in one sentence why not.

    `run_blocking` runs one function at a time; `run_reading` at most READERS. `on_renewed` is told, in a
    thread, of each renewal of the lease: when it was asked, in nanoseconds of CLOCK_BOOTTIME; `on_broken`
    of the reason for which nothing more will be written. `why_over` says why the daemon's own count of its
    lease is over, None while it is not: its processes are being ended by then, and nothing is recorded of it.
    `patience` is for the first turn.
    """
    writer = PostgresDb(
        url, schema, owner.box, owner.life, on_renewed, owner.lease_seconds
    )
    listener = PostgresDb(url, schema)
    readers = [PostgresDb(url, schema) for _ in range(READERS)]
    # Around the start and the end as well, which no cancel reaches: both are calls of the server.
    async with _cutting_overdue((writer, listener, *readers)):
        await run_blocking(open_log, writer, owner, place_of(url, schema), patience)
        store = PostgresStore(
            writer, readers, listener, owner=owner, run_blocking=run_blocking,
            run_reading=run_reading, new_id=new_id, limits=limits, on_broken=on_broken, why_over=why_over,
        )  # fmt: skip
        try:
            await run_blocking(store.load_names)
            yield store
        finally:
            # Every call in it has its bound.
            with trio.CancelScope(shield=True):
                await store.aclose()


@asynccontextmanager
async def _cutting_overdue(dbs: Sequence[PostgresDb]) -> AsyncIterator[None]:
    """Calls without an answer are ended until the block is left; its failure comes out as it is."""
    failed, cutting = DeferredFailure(), trio.CancelScope(shield=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cut_overdue, dbs, cutting)
        try:
            with failed:
                yield
        finally:
            cutting.cancel(reason="the log is closed")
    failed.reraise()


async def _cut_overdue(dbs: Sequence[PostgresDb], cutting: trio.CancelScope) -> None:
    """End calls that a server took and does not answer: a box that is off says nothing."""
    with cutting:
        while True:
            await trio.sleep(LOOK_SECONDS)
            for db in dbs:
                since = db.busy_since
                if since is not None and time.monotonic() - since > CALL_SECONDS:
                    db.cut()


class PostgresStore(TableStore):
    """The `Store` of a schema of PostgreSQL; the port says what each verb promises."""

    #: Made with the log, and kept when its epoch changes.
    log_id: str

    def __init__(
        self,
        writer: PostgresDb,
        readers: Sequence[PostgresDb],
        listener: PostgresDb,
        *,
        owner: Owner,
        run_blocking: RunBlocking,
        run_reading: RunBlocking,
        new_id: Callable[[], UUID],
        limits: WindowLimits = LIMITS,
        on_broken: Callable[[str], None] = lambda _why: None,
        why_over: Callable[[], str | None] = lambda: None,
    ) -> None:
        transaction = Transaction(writer, owner.life, new_id, limits)
        super().__init__(transaction, readers, run_blocking, run_reading)
        self._db = writer
        self._on_broken, self._why_over = on_broken, why_over
        self._all = (writer, listener, *readers)
        #: What is known of the other daemons that write this log.
        self.sharing = PostgresSharing(
            owner.box,
            owner.lease_seconds,
            listener,
            writer,
            self._read_own,
            run_reading,
        )
        #: The results of a commit that got no answer, and the count of commits that it made.
        self._unsure: tuple[list[Any], int] | None = None
        #: The size of the log, when it was counted, and the seconds which that took.
        self._counted = (0, 0.0, 0.0)
        #: Whether the server said no to what was written last, and the bytes that its disk had no room for.
        self._refused, self._refused_bytes = False, 0

    def load_names(self) -> None:
        """Learn what the log is called; once, at the start."""
        try:
            found = self._db.execute("SELECT epoch, log_id, past FROM log").fetchone()
        except psycopg.Error as error:
            raise StartRefused(f"the log cannot be read: {tell(error)}") from None
        self.epoch, self.log_id, past = found
        #: Epochs that the log had before: who has seen one of them has nothing newer.
        self.past_epochs = frozenset(past.split())

    # -- writing

    def _commit(self, batch: Sequence[Write[R]]) -> list[R | PenstockError]:
        self._check()
        transaction, results = self._transaction, list[R | PenstockError]()
        # Whether what was given to us is at work, and whether all may be done.
        given = tried = False
        refused: psycopg.Error | None = None
        try:
            self._begin(batch)
            given = True
            results = [handle(transaction, write) for write in batch]
            if not batch:
                # Only what writes finds out whether the store takes writes.
                transaction.set_meta("head", transaction.next_position - 1)
                refused = self._rehearse()
            transaction.finish()
            self._db.flush()
            self._check()
            given, tried = False, True
            transaction.save()
        except psycopg.Error as error:
            # A server that says no has done nothing; one that says nothing may have.
            tried = tried and leaves_unsure(error.sqlstate)
            self._unsure = (results, self._db.made) if tried else None
            self._undo()
            self._note_refused(error, batch)
            raise self._translate(error, self._db, tried=tried, given=given) from error
        except BaseException as error:
            self._undo()
            if isinstance(error, StoreBroken):
                self._break(str(error))
            raise
        if refused is not None:
            # That was the lease, and nothing else was to be written.
            raise self._translate(refused, self._db, given=False) from refused
        self._refused, self._refused_bytes = False, 0
        self._note_lost()
        self._note_newest(results)
        return results

    def _begin(self, batch: Sequence[Write[R]]) -> None:
        ids = list(event_ids(batch))
        connected = self._db.connected
        try:
            self._transaction.begin(ids)
        except psycopg.Error as error:
            lost = connected and meaning_of(error) is Meaning.SESSION
            if not lost or self._db.overdue:
                raise
            # It was lost while nobody looked: that says nothing of the server as it is now.
            self._undo()
            self._db.close()
            self._transaction.begin(ids)

    def _note_refused(self, error: psycopg.Error, batch: Sequence[Write[R]]) -> None:
        if not batch or not error.sqlstate or meaning_of(error) is Meaning.SESSION:
            return
        self._refused = True
        if error.sqlstate == _DISK_FULL:
            self._refused_bytes = max(self._refused_bytes, size_of_batch(batch))

    def _rehearse(self) -> psycopg.Error | None:
        """Why the server would not take a fact, if it did not take what was written last."""
        return self._db.rehearse(self._refused_bytes) if self._refused else None

    def _note_newest(self, results: Sequence[R | PenstockError]) -> None:
        for result in reversed(results):
            if isinstance(result, Result) and result.recorded:
                newest = result.recorded[-1]
                self._db.saw(newest.position, newest.event_id.bytes)
                return

    async def recall(self, head: int) -> list[Any] | None:
        return await self._run_blocking(self._recall)

    def _recall(self) -> list[Any] | None:
        """Under our turn the server has settled whatever was sent before it."""
        self._check()
        if self._unsure is None:
            return None
        results, made = self._unsure
        try:
            self._db.lock()
            # Others may have written since, so that only what this daemon did itself tells.
            done = self._db.own_commits() == made
        except psycopg.Error as error:
            # First: within what failed nothing can be asked, and what is gone would be waited for.
            self._db.rollback()
            raise self._translate(error, self._db, given=False) from error
        except StoreBroken as error:
            self._break(str(error))
            raise
        finally:
            self._db.rollback()
        self._unsure = None
        if not done:
            return None
        self._note_newest(results)
        return results

    def _check(self) -> None:
        if why := self._broken or self._why_over():
            raise self._break(why)

    def _break(self, why: str) -> StoreBroken:
        """From now on nothing is written, for the first reason that there was."""
        self._broken = self._broken or why
        self._on_broken(self._broken)
        return StoreBroken(self._broken)

    def _undo(self) -> None:
        self._transaction.forget()
        self._db.rollback()

    def _translate(
        self,
        error: psycopg.Error,
        db: PostgresDb,
        *,
        given: bool,
        tried: bool = False,
    ) -> PenstockError:
        """What the port says of an error of `db`.

        `given`: it may be the fault of what somebody gave, who can be told. `tried`: a commit had begun, and
        may be done.
        """
        code, why, meaning = error.sqlstate or "", tell(error), meaning_of(error)
        if meaning is Meaning.SESSION or code == _READ_ONLY:
            # A session keeps the default that it began with, too; another one asks anew.
            db.close()
        if meaning is Meaning.DAMAGED:
            return self._break(f"the database is damaged: {why}")
        if meaning is Meaning.MISSING:
            if not db.may_look():
                return StoreAway(
                    f"the database took nothing: no right to use the schema {db.schema}",
                    code=_NO_RIGHT,
                )
            return self._break(f"the log is no longer what it was: {why}")
        if meaning is Meaning.REFUSED and given:
            return Refused("value", f"the database never takes it: {why}", code=code)
        unavailable = StoreUnavailable if tried else StoreAway
        # A server that says no has answered.
        what = "took nothing" if code else "did not answer"
        return unavailable(f"the database {what}: {why}", code=code)

    async def check_files(self) -> None:
        """StoreBroken, from now on, if the lease is lost, the epoch another, or tables are gone."""
        try:
            why = await self._read_own(self.sharing.why_not_ours, self.epoch)
        except StoreUnavailable:
            return
        if why is not None:
            self._break(why)
        self._check()

    def _renew_epoch(self) -> str:
        try:
            self._db.lock()
            epoch = self._db.renew_epoch()
            self._db.save()
        except psycopg.Error as error:
            self._undo()
            raise self._translate(error, self._db, given=False) from error
        self._db.epoch = epoch
        return epoch

    # -- reading

    def _ask(self, db: PostgresDb, fn: Callable[..., T], *args: Any) -> T:
        try:
            if db.connected:
                try:
                    return fn(db, *args)
                except psycopg.Error as error:
                    # It was lost while nobody looked: that says nothing of the server as it is now.
                    if db.connected and meaning_of(error) is not Meaning.SESSION:
                        raise
                    db.close()
            return fn(db, *args)
        except psycopg.Error as error:
            raise self._translate(error, db, given=_is_given(error)) from error

    async def _read_own(self, fn: Callable[..., T], *args: Any) -> T:
        """As `_read`, with values that no client gave: nobody can be told that they are refused."""
        try:
            return await self._read(fn, *args)
        except Refused as error:
            raise waited_for(error) from error

    def _each_fact(
        self, db: PostgresDb, sql: str, values: tuple[Any, ...], max_bytes: int
    ) -> Iterable[Recorded]:
        return map(recorded, db.execute(within_bytes(sql), (*values, max_bytes)))

    def _find_columns(
        self, db: PostgresDb, keys: Sequence[int]
    ) -> list[tuple[Any, ...]]:
        return find_columns(db, keys)

    def _list(self, db: PostgresDb, wanted: RunFilter) -> list[RunRow]:
        """Words are looked for here, in the text and the alphabet of every other store."""
        if not (wanted.words or wanted.without):
            return [run_row(columns) for columns in find_runs(db, wanted)]
        found: list[RunRow] = []
        pages = replace(wanted, words=(), without=(), limit=PAGE)
        while len(found) < wanted.limit:
            page = [run_row(columns) for columns in find_runs(db, pages)]
            found += [row for row in page if _says(row, wanted)]
            if len(page) < PAGE:
                break
            pages = replace(pages, before=page[-1].place)
        return found[: wanted.limit]

    async def read_all(
        self, after: int = 0, limit: int = 500, *, max_bytes: int = LARGEST_EVENT_BYTES
    ) -> list[Recorded]:
        try:
            facts = await super().read_all(after, limit, max_bytes=max_bytes)
        except Refused as error:
            raise waited_for(error) from error
        if facts:
            self._db.saw(facts[-1].position, facts[-1].event_id.bytes)
        return facts

    async def boxes(self) -> list[BoxRow]:
        return await self._read_own(find_boxes)

    async def opening(self) -> Opening:
        return await self._read_own(self._opening)

    def _opening(self, db: PostgresDb) -> Opening:
        """By one picture: another daemon may write meanwhile."""
        db.begin()
        try:
            db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return Opening(
                _bounds(db),
                self._open_runs(db),
                paused_in(db),
                draining_in(db),
                drained_in(db),
                dismissed_in(db),
                find_slots(db),
                find_box_slots(db),
            )
        finally:
            db.rollback()

    async def bounds(self) -> Bounds:
        return await self._read_own(_bounds)

    async def size(self) -> int:
        return await self._read_own(self._size)

    def _size(self, db: PostgresDb) -> int:
        """Counted by reading all rows: of a large log a while ago is near enough."""
        size, counted, took = self._counted
        now = time.monotonic()
        if took > LONG_COUNT and now - counted < took * BETWEEN_COUNTS:
            return size
        size = db.used_bytes()
        self._counted = size, now, time.monotonic() - now
        return size

    def _close(self) -> None:
        # Who was fenced, or ends because of its log, has not seen to it that nothing of it runs: its lease runs out.
        if self._broken is None and self._why_over() is None:
            self._db.leave()
        for db in self._all:
            db.close()


def _is_given(error: psycopg.Error) -> bool:
    """Whether a read was refused for a value in it, which may be a client's."""
    return (error.sqlstate or _GIVEN[0]).startswith(_GIVEN)


def _bounds(db: PostgresDb) -> Bounds:
    floor, head = db.execute("SELECT floor, head FROM log").fetchone()
    return Bounds(floor, head)


def _says(row: RunRow, wanted: RunFilter) -> bool:
    """Whether a run has all the words that are wanted, and none of the others."""
    labels, asked = (
        to_json(dict(row.labels)),
        command_line("", to_json(row.shown).encode()),
    )
    text = "\n".join((row.run_id, row.kind, row.state, labels, asked)).casefold()
    return all(word.casefold() in text for word in wanted.words) and not any(
        word.casefold() in text for word in wanted.without
    )
