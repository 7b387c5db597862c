"""One transaction: what a commit has changed so far, before any of it is true.

Open runs are kept in memory, and what becomes of them is written once per commit, all new runs by one
statement, all that were changed alike by one more, all facts by another: a commit has as many
statements for one write as for a hundred. What must be asked of the tables all the same is asked by
`query`, which writes before. Whatever goes wrong, `forget` throws the memory away and the next commit
reads the tables again, so memory never knows more than the log.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import from_json

from penstock.log.checksum import checksum_of
from penstock.log.kept import RunRow
from penstock.log.new_events import NewEvent
from penstock.log.tables.catch_up import MOST_FACTS, UNTOLD, catch_up
from penstock.log.tables.db import Db, Rows
from penstock.log.tables.new_run import (
    INSERT_RUN,
    INSERT_SPEC,
    NEW_RUN,
    NewRun,
    whole_row,
)
from penstock.log.tables.open_runs import OpenRuns, load_open_runs
from penstock.log.tables.output_window import (
    PIECE,
    WindowLimits,
    empty_oldest,
    kept_size,
    load_window,
    save_window,
)
from penstock.log.tables.plans import WaitPlan, drop_plan, save_plan
from penstock.log.tables.recent_ids import RecentIds, find_positions
from penstock.log.tables.rows import (
    INSERT_EVENT,
    SELECT_EVENTS,
    find_columns,
    recorded,
    row_of,
    run_columns,
    to_json,
    to_micros,
)
from penstock.log.tables.run_head import KEPT, RunHead, damaged_row, load_head
from penstock.words.clocks import Clock, merge, next_count
from penstock.words.errors import LogDamaged, RunNotFound
from penstock.words.events import (
    DAEMON_STREAM,
    AnyEvent,
    Log,
    parse_event,
)
from penstock.words.printed import size_of
from penstock.words.recorded import Recorded

#: Rows of runs that wait in line and are kept whole, so that their claim need not read them: how
#: many, and how large the inputs of one may be.
MOST_WHOLE, LARGEST_WHOLE = 256, 8 * 1024


_HIGHEST_ID = "SELECT event_id FROM events ORDER BY event_id DESC LIMIT 1"
# Facts read at once of those that may have been recorded because of one.
_EFFECTS = 100

#: The fields of a row that its head has.
_OF_HEAD = (
    "sequence", "last_position", "code_version", "state", "life", "token", "attempt",
    "cancel_requested", "open_prerequisites", "used_seconds", "priority",
)  # fmt: skip


@functools.cache
def _update_of(names: tuple[str, ...]) -> str:
    return f"UPDATE runs SET {', '.join(f'{name} = ?' for name in names)} WHERE key = ?"


def same_fact(new_event: NewEvent, fact: Recorded) -> bool:
    """Whether a known id comes with what was recorded under it, emptied or not."""
    if (new_event.run_id, new_event.type) != (fact.run_id, fact.type):
        return False
    if new_event.body == fact.body:
        return True
    if fact.type != PIECE:
        return False
    kept, again = fact.event, parse_event(from_json(new_event.body))
    return (
        isinstance(kept, Log)
        and isinstance(again, Log)
        and kept.emptied is True
        and (kept.stream, kept.bytes) == (again.stream, size_of(again))
    )


class Transaction:
    """Writes of the open transaction of one connection. `life` is the process it ticks in clocks."""

    def __init__(
        self,
        db: Db,
        life: str,
        new_id: Callable[[], UUID],
        limits: WindowLimits,
    ) -> None:
        self.db = db
        self.limits = limits
        self.life = life
        self.new_id = new_id
        #: Counts writes, so that one refused after it wrote is noticed.
        self.writes = 0
        self._ticks = 0
        #: Open runs whose rows are not what was written: nothing is recorded about them any more.
        self.lost: set[str] = set()
        self.forget()

    def forget(self) -> None:
        """The transaction is gone: so is what it taught us."""
        self._head: int = -1
        self._ids: RecentIds | None = None
        self._forgotten = False
        self._heads: dict[str, RunHead] = {}
        self._open: OpenRuns | None = None
        self._next_key = 0
        #: What is paused: groups as `group:NAME`, and the whole queue as "".
        self.paused: set[str] = set()
        # Rows of runs in line, as they were put into the tables.
        self._whole: dict[int, dict[str, Any]] = {}
        self._start()

    def _start(self) -> None:
        #: The run of the past that a handler is changing, so that damage under it has a name.
        self.at_work: str | None = None
        # Runs that differ from their rows, new ones first, and how; what facts change is in the heads.
        self._new: dict[int, NewRun] = {}
        self._changed: dict[int, RunHead] = {}
        self._columns: dict[int, dict[str, Any]] = {}
        self._touched: dict[int, RunHead] = {}
        # Runs that printed something in this batch, and where the newest piece stands.
        self._windows: dict[int, tuple[RunHead, int]] = {}
        # Runs that were changed otherwise than by a fact.
        self._updated: list[RunHead] = []
        self._begun = self._head
        self._rows: list[tuple[Any, ...]] = []
        self._recorded = False
        # The facts of this batch by their ids; kept only where an id comes twice.
        self._pending: dict[int, Recorded] = {}
        self._known: dict[int, int] = {}
        self._repeats = False

    def begin(self, event_ids: Iterable[UUID]) -> None:
        """Start on a batch whose facts have these ids: the known ones are looked up in one go."""
        if not self.db.lock():
            self._look_again()
        self._start()
        if self._head < 0:
            self._head = self._begun = self.meta("head")
        if self._open is None:
            self._load()
        if self._ids is None or self._forgotten:
            self._forgotten = False
            highest = self.db.execute(_HIGHEST_ID).fetchone()
            self._ids = RecentIds(b"" if highest is None else highest[0])
        ids = [event_id.bytes for event_id in event_ids]
        self._repeats = len(set(ids)) < len(ids)
        known, old = self._ids.look_up(ids)
        for start in range(0, len(old), 500):
            known += find_positions(self.db, old[start : start + 500])
        self._known = {int.from_bytes(i): position for i, position in known}
        self._repeats = self._repeats or bool(known)

    def _look_again(self) -> None:
        """Another wrote: read what its facts touched, or, where they do not tell all, forget."""
        known, head = self._head, self.meta("head")
        if (
            self._open is None
            or self._ids is None
            or self._forgotten
            or self.db.untold
            or not known <= head <= known + MOST_FACTS
        ):
            self.forget()
            return
        told = catch_up(
            self.db, known, head, self._heads, self._open, self._ids, self.lost
        )
        self._head = head
        for key in told.keys & self._whole.keys():
            del self._whole[key]
        highest = max(told.keys, default=0)
        self._next_key = max(self._next_key, 1 + max(highest, self.meta("numbered")))
        if told.paused:
            self._load_pauses()

    def _load(self) -> None:
        self._open = load_open_runs(self.db, self.lost)
        self._heads = {head.run_id: head for head in self._open.all()}
        (highest,) = self.db.execute("SELECT max(key) FROM runs").fetchone()
        # The number of a run is typed by people, so that of a forgotten one is not given to another.
        self._next_key = 1 + max(highest, self.meta("numbered"))
        self._load_pauses()

    def _load_pauses(self) -> None:
        self.paused = {name for (name,) in self.db.execute("SELECT name FROM pauses")}

    def query(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        """Ask the tables of runs and facts, once they have all that this transaction did."""
        self.flush()
        return self.db.execute(sql, values)

    def flush(self) -> None:
        """Write what is kept in memory, so that queries see it."""
        if self._new:
            self._insert_new()
        if self._changed:
            self._update_changed()
        if self._rows:
            self.db.executemany(INSERT_EVENT, self._rows)
            self._rows = []

    def _insert_new(self) -> None:
        new, self._new = self._new, {}
        runs, specs = [], []
        for key, one in new.items():
            head = self._changed.pop(key)
            columns = {**one.row, **self._saved(head), **self._columns.pop(key, {})}
            runs.append(tuple([columns[name] for name in NEW_RUN]))
            specs.append(one.spec)
        self.db.executemany(INSERT_RUN, runs)
        self.db.executemany(INSERT_SPEC, specs)

    def _update_changed(self) -> None:
        """One statement for all that were changed alike."""
        alike: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
        for key, head in self._changed.items():
            columns = {**self._columns.get(key, {}), **self._saved(head)}
            alike.setdefault(tuple(columns), []).append((*columns.values(), key))
        self._changed, self._columns = {}, {}
        for names, rows in alike.items():
            self.db.executemany(_update_of(names), rows)

    def _saved(self, head: RunHead) -> dict[str, Any]:
        """The columns that every fact changes."""
        return {
            "sequence": head.sequence,
            "last_position": head.last_position,
            "clock": to_json(head.clock),
            "code_version": head.code_version,
        }

    def finish(self) -> None:
        """Write the rest, and how far the log has come; `save` makes it true."""
        self.flush()
        for head, newest in self._windows.values():
            window = head.window
            if window is not None and window.head_end:
                empty_oldest(self.db, head.key, window, newest, self.limits)
                save_window(self.db, head.key, window)
        if any(head.last_position <= self._begun for head in self._updated):
            self.db.mark_untold()
        # A commit that recorded nothing must not cost an fsync.
        if self._recorded:
            self.set_meta("head", self._head)

    def save(self) -> None:
        """Commit. Runs that have ended need no place in memory then."""
        self.db.save()
        for head in self._touched.values():
            if head.ended:
                self._heads.pop(head.run_id, None)
                self._whole.pop(head.key, None)
                self.open.awaited.discard(head.key)
        self._start()

    def meta(self, name: str) -> Any:
        return self.db.meta(name)

    def set_meta(self, name: str, value: int) -> None:
        self.db.set_meta(name, value)

    @property
    def next_position(self) -> int:
        """Where the next fact will stand."""
        return self._head + 1

    # -- runs

    def find(self, run_id: str) -> RunHead | None:
        """What handlers need of a run; None if there is none. LogDamaged if its row is damaged."""
        if (head := self._heads.get(run_id)) is not None:
            return head
        if run_id in self.lost:
            raise damaged_row(run_id)
        head = load_head(self.db, run_id)
        return head if head is None else self.add(head)

    def find_open(self, run_id: str) -> RunHead | None:
        """A run that has not ended; None also for one that is lost, which is left as it is."""
        return self._heads.get(run_id)

    def drop(self, run_id: str) -> None:
        """The run is forgotten, and its facts with their ids."""
        self.writes += 1
        self._forgotten = True
        # Whoever knows it as open will not find the fact that it ended.
        self.db.mark_untold()
        self._heads.pop(run_id, None)

    def add(self, head: RunHead) -> RunHead:
        """A run that was found in the tables, and has ended: open ones are known."""
        self._heads[head.run_id] = self._touched[head.key] = head
        return head

    def take_key(self) -> int:
        """The key of the next new run."""
        key, self._next_key = self._next_key, self._next_key + 1
        return key

    def insert(self, head: RunHead, new: NewRun) -> None:
        """Put a new run into the tables; its first fact follows."""
        self.writes += 1
        self.add(head)
        self.open.add(head)
        self._new[head.key] = new
        self._changed[head.key] = head
        if len(new.spec[2]) <= LARGEST_WHOLE and len(self._whole) < MOST_WHOLE:
            self._whole[head.key] = whole_row(new)

    @property
    def open(self) -> OpenRuns:
        """The runs that have not ended."""
        assert self._open is not None
        return self._open

    def get(self, run_id: str) -> RunHead:
        """As `find`; RunNotFound."""
        head = self.find(run_id)
        if head is None:
            raise RunNotFound(f"no run has the id {run_id!r}", run_id=run_id)
        return head

    def columns(self, heads: Sequence[RunHead]) -> dict[RunHead, dict[str, Any]]:
        """Whole rows as the tables have them; those of runs that were put in line are at hand.

        A run whose row is damaged is lost, and not among them.
        """
        found = {h.key: self._whole.pop(h.key) for h in heads if h.key in self._whole}
        if missing := [head.key for head in heads if head.key not in found]:
            self.flush()
            for columns in find_columns(self.db, missing):
                named = run_columns(columns)
                with suppress(LogDamaged):
                    row_of(named)
                    found[columns[0]] = named
        for head in heads:
            if head.key not in found:
                self.lost.add(head.run_id)
                self._heads.pop(head.run_id, None)
                self.open.lose(head)
        return {head: found[head.key] for head in heads if head.key in found}

    def made_row(self, head: RunHead, columns: dict[str, Any]) -> RunRow:
        """The row of these columns, and of those that the head has newer."""
        for name in _OF_HEAD:
            columns[name] = getattr(head, name)
        return row_of(columns)

    def update(self, head: RunHead, **columns: Any) -> None:
        """Change columns of a run that no fact changes by itself; written with the commit."""
        self.writes += 1
        if "state" in columns:
            self.open.move(head, columns["state"])
        for name, value in columns.items():
            if name in KEPT:
                setattr(head, name, value)
        if not columns.keys() <= UNTOLD:
            self._updated.append(head)
        self._touched[head.key] = self._changed[head.key] = head
        self._columns.setdefault(head.key, {}).update(columns)

    def arrange(self, head: RunHead, plan: WaitPlan | None) -> None:
        """Change how an open run waits in line; None: it waits no more."""
        self.writes += 1
        self._updated.append(head)
        if plan is None:
            drop_plan(self.db, head.key)
        else:
            save_plan(self.db, head.key, plan)
            head.place = plan.turn
        head.plan = plan

    def respecify(
        self, head: RunHead, digest: bytes, inputs: bytes, shown: str
    ) -> None:
        """Give a run that has not begun other inputs."""
        self.flush()
        self.writes += 1
        self._updated.append(head)
        self._whole.pop(head.key, None)
        sql = "UPDATE specs SET digest = ?, inputs = ?, shown = ? WHERE key = ?"
        self.db.execute(sql, (digest, inputs, shown, head.key))

    # -- facts

    @property
    def repeats(self) -> bool:
        """Whether any fact of this batch was recorded before, or comes twice."""
        return self._repeats

    def find_fact(self, event_id: UUID) -> Recorded | None:
        """The fact of this id, if it was recorded before or in this batch."""
        if not self._repeats:
            return None
        # By its number: the hash of a UUID costs ten times that of an int.
        found = self._pending.get(event_id.int)
        if found is None and event_id.int in self._known:
            sql = f"{SELECT_EVENTS} WHERE position = ?"
            found = recorded(
                self.db.execute(sql, (self._known[event_id.int],)).fetchone()
            )
        return found

    def find_cascade(self, event_id: UUID) -> tuple[Recorded, ...]:
        """A fact recorded before and what the same write recorded because of it; () if unknown.

        The facts of one write stand in a row, each caused by one before it.
        """
        first = self.find_fact(event_id)
        if first is None:
            return ()
        self.flush()
        facts, ids = [first], {event_id}
        sql = f"{SELECT_EVENTS} WHERE position > ? ORDER BY position LIMIT {_EFFECTS}"
        while rows := self.db.execute(sql, (facts[-1].position,)).fetchall():
            for columns in rows:
                fact = recorded(columns)
                if fact.causation_id not in ids:
                    return tuple(facts)
                facts.append(fact)
                ids.add(fact.event_id)
        return tuple(facts)

    def record(self, head: RunHead, new_event: NewEvent) -> Recorded:
        """Give the fact its place; it is written with the commit."""
        self.writes += 1
        self._head += 1
        head.sequence += 1
        head.last_position = self._head
        head.clock = clock = self._advance(head, new_event.clock)
        version = new_event.code_version
        if version is None:
            version = max(0, head.code_version)
        text = to_json(clock)
        fact = Recorded(
            self._head, head.run_id, head.sequence, new_event.event_id, new_event.at, text,
            new_event.causation_id, version, new_event.type, new_event.body, new_event.event,
        )  # fmt: skip
        cause, event_id = new_event.causation_id, new_event.event_id.bytes
        assert self._ids is not None
        self._ids.add(event_id, self._head)
        columns = (
            self._head, head.key, head.sequence, event_id, to_micros(new_event.at),
            new_event.type, text, cause.bytes if cause else None, version, new_event.body,
        )  # fmt: skip
        self._rows.append((*columns, checksum_of(*columns)))
        if self._repeats:
            self._pending[new_event.event_id.int] = fact
        self._recorded = True
        self._changed[head.key] = head
        return fact

    def make(
        self,
        head: RunHead,
        event: AnyEvent,
        at: datetime,
        *,
        event_id: UUID | None = None,
        cause: UUID | None = None,
    ) -> Recorded:
        """Record a fact that the store itself makes."""
        event_id = event_id or self.new_id()
        return self.record(head, NewEvent.of(head.run_id, event, at, event_id, cause))

    def keep_pieces(self, head: RunHead, facts: Iterable[Recorded]) -> None:
        """Take these new facts of a run into the window over its output, which may roll."""
        for fact in facts:
            if fact.type == PIECE:
                assert head.window is not None
                size = kept_size(fact.body)
                head.window.add(fact.position, size, self.limits.head_bytes)
                self._windows[head.key] = (head, fact.position)

    def open_window(self, head: RunHead) -> None:
        """Know what is kept of the run's output, before another piece is recorded."""
        if head.window is None:
            self.flush()
            head.window = load_window(self.db, head.key, self.limits)

    def daemon(self) -> RunHead:
        """The stream of facts about the daemon."""
        return self.get(DAEMON_STREAM)

    def _advance(self, head: RunHead, other: Clock) -> dict[str, int]:
        """The clock of the next fact: all that its run knows, all that its cause knew, and a tick.

        This life ticks once per fact, whatever the run, so its facts are in causal order. What a
        client says of our own count is not taken.
        """
        # The daemon's own stream would gather one process per start for ever.
        clock = {} if head.run_id == DAEMON_STREAM else head.clock
        self._ticks = next_count(max(self._ticks, clock.get(self.life, 0)), self.life)
        return {**(merge(clock, other) if other else clock), self.life: self._ticks}
