"""PostgreSQL behind the seam: one connection, made when it is needed and anew once it was lost."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any, NoReturn
from uuid import uuid4

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrDumperUnknown

from penstock.log.postgresql.columns import (
    MANY,
    TYPES_OF,
    by_columns,
    columns_of,
    register_columns,
)
from penstock.log.postgresql.dialect import NOW, translate
from penstock.words.errors import LeaseLost, StartRefused, StoreBroken

#: Seconds a server may take for a statement, and one writer wait for another's turn.
STATEMENT_SECONDS, TURN_SECONDS = 10, 5
#: Seconds a transaction may stand still: a daemon that is stopped within one gives the turn back. And the
#: part of a lease that it may be at most, so that others renew theirs all the same.
IDLE_SECONDS, IDLE_PART = 10.0, 0.2
#: Seconds after which a call that got no answer has its connection cut. A server's own word comes first.
CALL_SECONDS = 15.0
CONNECT_SECONDS = 5
#: Seconds without a word after which one end asks whether the other is there; it has CALL_SECONDS to say so.
KEEPALIVE_SECONDS = 10
#: Bounds of sessions that not every server has, and since which version: we have our own.
NEWER_BOUNDS = {"idle_session_timeout": 140000, "transaction_timeout": 170000}
#: What the server is to take a page found by an index for, where one that follows another costs 1.
PAGE_COST = 1.1
#: How many times as long as when statements were planned a log may be, before they are planned anew; and the
#: fewest facts of which that counts.
PLANNED_TIMES, PLANNED_FACTS = 2, 50
#: Statements that a connection keeps prepared: all that a daemon ever sends.
PREPARED = 300

# What the rows of the two large tables take, about: what they hold, and as much for what is around it.
_SIZES = {
    "events": "octet_length(body) + 200",
    "specs": "octet_length(inputs) + octet_length(shown) + 400",
}
# Taking the turn, with what tells whether the log is still the one that we know. The inner questions are
# asked as of the statement's beginning, maybe before the turn is had: what they find is true or older.
_TURN = """
SELECT head, floor, numbered, epoch, changes, timeline, settling, untold,
    (SELECT count(*) FROM boxes WHERE state = 'here'),
    (SELECT commits FROM boxes WHERE box = ? AND life = ?),
    (SELECT event_id FROM events WHERE position = ?), current_setting('synchronous_commit')
FROM log FOR UPDATE
"""
# Boxes that may execute what this server knows nothing of: they have not said anything in this era.
_UNSETTLED = f"""
SELECT count(*) FROM boxes WHERE state = 'here' AND box <> ? AND until > {NOW} AND era <> ?
"""
# The server's own count of the times that another one took its place; a standby has none.
_TIMELINE = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
# A commit renews the lease of its daemon, and is none without one. Only under the turn: who takes over
# has that, and wants the row of the box then.
_SAVE = f"""
WITH renewed AS (
    UPDATE boxes SET seen = {NOW}, until = {NOW} + (lease_seconds * 1000000)::bigint, commits = commits + 1,
        era = ?
    WHERE box = ? AND life = ? AND state = 'here' AND until > {NOW} RETURNING 1
)
UPDATE log SET %s WHERE EXISTS (SELECT 1 FROM renewed)
"""
# Bytes of a row, and the fewest rows, by which room is looked for: more than is free in pages at hand.
_ROOM_ROW, _ROOM_ROWS = 1000, 16
# The newest fact once more, behind itself: whatever is on that table is asked.
_COPY_NEWEST = """
INSERT INTO events (position, run, sequence, event_id, at, type, clock, causation, code_version, body, checksum)
SELECT position + 1, run, sequence, decode(md5(random()::text), 'hex'), at, type, clock, causation, code_version,
    body, checksum FROM events ORDER BY position DESC LIMIT 1
"""
_DELETES = re.compile(rf"DELETE FROM ({'|'.join(_SIZES)}) ")


def channel_of(schema: str) -> str:
    """Where the server tells who listens that a log has new facts; names are short."""
    return f"penstock_{sha256(schema.encode()).hexdigest()[:16]}"


def _session_settings(schema: str, lease_seconds: float | None) -> dict[str, Any]:
    """What a session is told at its beginning."""
    idle = IDLE_SECONDS
    if lease_seconds is not None:
        idle = min(idle, lease_seconds * IDLE_PART)
    return {
        "search_path": f'"{schema}"',
        "statement_timeout": int(STATEMENT_SECONDS * 1000),
        "lock_timeout": int(TURN_SECONDS * 1000),
        "idle_in_transaction_session_timeout": int(idle * 1000),
        # Who waits for the turn sees then what was there when it was had.
        "default_transaction_isolation": "read committed",
        # What a turn asks for was written just now and lies in memory: a page by an index costs what one in
        # its order does. By the server's own, that of a disk that turns, thousands of facts are read for ten.
        "random_page_cost": PAGE_COST,
        # Asked by the server, which would else keep the session, and its lock, of a box that lost its
        # power until the system's own two hours are over; a quarter, if it has yet to be answered.
        "tcp_keepalives_idle": KEEPALIVE_SECONDS,
        "tcp_keepalives_interval": KEEPALIVE_SECONDS,
        "tcp_user_timeout": int(CALL_SECONDS * 1000),
    }


def _conninfo(url: str, life: str, settings: Mapping[str, Any]) -> str:
    """The address with our bounds: whoever names one of these in it means it; settings come last."""
    given = _read_address(url)
    if "," in str(given.get("host", "")):
        # Of several servers the one that writes; what another one reads may be old.
        given.setdefault("target_session_attrs", "read-write")
    bounds: dict[str, Any] = {
        "application_name": f"penstock {life}".strip(),
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": KEEPALIVE_SECONDS,
        "tcp_user_timeout": int(CALL_SECONDS * 1000),
    }
    ours = " ".join(
        "-c " + f"{name}={value}".replace(" ", r"\ ")
        for name, value in settings.items()
    )
    options = f"{given.pop('options', '')} {ours}".strip()
    # In any other the texts of others come as bytes, or not at all.
    fixed = {"client_encoding": "UTF8", "options": options}
    return make_conninfo("", **{**bounds, **given, **fixed})


def _lift_bounds(version: int) -> str:
    """What takes away bounds of newer servers that somebody may have set for all sessions; "" of an older one.

    That one would let nobody in who names them at the beginning.
    """
    bounds = [name for name, since in NEWER_BOUNDS.items() if version >= since]
    told = ", ".join(f"set_config('{name}', '0', false)" for name in bounds)
    return f"SELECT {told}" if told else ""


def _ask_timeline(made: psycopg.Connection[Any]) -> str:
    try:
        found = made.execute(_TIMELINE).fetchone()
    except psycopg.Error:
        return ""
    return "" if found is None else str(found[0])


def _read_address(url: str) -> dict[str, Any]:
    """What it says to libpq, by name. StartRefused for what libpq cannot read."""
    try:
        return dict(conninfo_to_dict(url))
    except psycopg.Error as error:
        raise StartRefused(
            f"`store` is no address that libpq can read: {' '.join(str(error).split())}"
        ) from None


class _Text(StrDumperUnknown):
    """A text without NUL, which PostgreSQL refuses: the facts are bytes, and have it still."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)


def _write(
    made: psycopg.Connection[Any], later: Sequence[tuple[str, list[Sequence[Any]]]]
) -> None:
    """All of it at once; many facts as one statement, which is half the work for both ends."""
    with made.pipeline():
        for text, rows in later:
            types = TYPES_OF.get(text) if len(rows) >= MANY else None
            cursor = made.cursor(binary=True)
            if types is None:
                cursor.executemany(translate(text), rows)
            else:
                cursor.execute(by_columns(text, types), columns_of(rows, types))


class PostgresDb:
    """A connection as handlers want it (`Db`); `box` and `life` are the daemon whose turn it takes.

    `on_renewed` is told of each renewal of its lease that was answered: when it was asked, in
    nanoseconds of CLOCK_BOOTTIME.
    """

    # The connection of a turn: a statement of it must not go out by another one.
    _turn: psycopg.Connection[Any] | None
    # The log's own row as the turn found it, and what its commit is to change.
    _row: dict[str, Any]
    _new: dict[str, int]
    # Bytes of the log, once they were counted.
    _used: int | None
    # What is sent with the next statement.
    _later: list[tuple[str, list[Sequence[Any]]]]

    def __init__(
        self,
        url: str,
        schema: str,
        box: str = "",
        life: str = "",
        on_renewed: Callable[[int], None] = lambda _asked_at: None,
        lease_seconds: float | None = None,
    ) -> None:
        self._settings = _session_settings(schema, lease_seconds)
        self._conninfo = _conninfo(url, life, self._settings)
        self.schema = schema
        self.box, self.life = box, life
        self.on_renewed = on_renewed
        self._connection: psycopg.Connection[Any] | None = None
        #: Since when a call is at work, by the monotonic clock; None: none is.
        self.busy_since: float | None = None
        #: Whether the connection was cut since it was made, because a call took too long.
        self.overdue = False
        #: Commits of this log, as of the last one that was seen, and as of the last one that was answered.
        self.changes = self.answered = -1
        #: Whether others changed since what their facts say nothing of.
        self.untold = False
        #: Commits of this daemon, as of the one that was tried last, and as of the last one answered.
        self.made = self.commits = 0
        # When the last commit was asked for, in nanoseconds of CLOCK_BOOTTIME.
        self._asked_at = 0
        #: What the log was called when it was opened, and the newest fact of it that was seen.
        self.epoch = ""
        #: Which server answers, as it counts itself; "" where it does not say.
        self.timeline = ""
        self.newest: tuple[int, bytes] = (0, b"")
        #: Whether, in this turn, no claim can be lost that another daemon executes.
        self.may_claim = True
        # Boxes whose daemons are there, this one among them.
        self._here = 1
        # How long the log was when the plans of this connection were thrown away last.
        self._planned = PLANNED_FACTS
        self._wrote = False
        self.end_turn()

    # -- the connection

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The connection, made if there is none. psycopg.Error if none can be had."""
        if self._connection is None or self._connection.closed:
            self._connection, self.overdue = None, False
            made = psycopg.connect(
                self._conninfo, autocommit=True, cursor_factory=psycopg.RawCursor
            )
            made.prepare_threshold = 0
            made.prepared_max = PREPARED
            made.adapters.register_dumper(int, Int8BinaryDumper)
            made.adapters.register_dumper(str, _Text)
            register_columns(made)
            self._begin_session(made)
            self._connection = made
        return self._connection

    def _begin_session(self, made: psycopg.Connection[Any]) -> None:
        self.busy_since = time.monotonic()
        try:
            if lifting := _lift_bounds(made.info.server_version):
                made.execute(lifting)
            if self.life:
                self.timeline = _ask_timeline(made)
        except psycopg.Error:
            made.close()
            raise
        finally:
            self.busy_since = None

    @property
    def connected(self) -> bool:
        return self._connection is not None and not self._connection.closed

    def cut(self) -> None:
        """End whatever the connection waits for, from another thread."""
        made = self._connection
        if made is not None and not made.closed:
            self.overdue = True
            with (
                suppress(OSError, psycopg.Error),
                socket.socket(fileno=os.dup(made.fileno())) as s,
            ):
                s.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it; the next statement makes another."""
        made, self._connection = self._connection, None
        if made is not None:
            made.close()

    def lost_settings(self) -> list[str]:
        """What the session was told at its beginning and has not: somebody stands between."""
        sql = (
            "SELECT name FROM json_each_text(?::json) AS told(name, value)"
            # A span of time is shown in another unit than it was told in.
            " WHERE value <> (SELECT CASE WHEN unit = 'ms' THEN setting ELSE current_setting(told.name) END"
            " FROM pg_settings WHERE pg_settings.name = told.name)"
        )
        told = {
            name: str(value)
            for name, value in self._settings.items()
            # Over a Unix socket those of TCP mean nothing.
            if not name.startswith("tcp_")
        }
        return [name for (name,) in self.execute(sql, (json.dumps(told),))]

    def may_look(self) -> bool:
        """Whether what is not found is not there; who may not use a schema finds nothing in it."""
        sql = "SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = ?"
        try:
            found = self.execute(sql, (self.schema,)).fetchone()
        except psycopg.Error:
            # The next one who finds nothing asks again.
            return False
        return found is None or bool(found[0])

    # -- statements

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Any:
        self._wrote = self._wrote or not sql.startswith("SELECT")
        if self._used is not None and (found := _DELETES.match(sql)):
            return self._delete(sql, _SIZES[found[1]], values)
        return self._send(sql, values)

    def _send(self, sql: str, values: Sequence[Any]) -> Any:
        made = self._turn or self.connection
        self.flush()
        self.busy_since = time.monotonic()
        try:
            # Not within: a server forgets after a pipeline that a transaction may not stand still for long,
            # until the next statement.
            return made.execute(translate(sql), values or None, binary=True)
        finally:
            self.busy_since = None

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> None:
        """Within a turn it goes out before the next statement, with all that waits, at once."""
        assert self._turn is not None
        self._wrote = True
        self._later.append((sql, list(rows)))

    def flush(self) -> None:
        """Send what waits for the next statement, within a turn."""
        if (later := self._later) and (made := self._turn):
            self._later = []
            self.busy_since = time.monotonic()
            try:
                _write(made, later)
            finally:
                self.busy_since = None

    # -- a turn

    def begin(self) -> None:
        """Begin a transaction without asking whose the log is; `end_turn` once it is over."""
        self._turn = self.connection
        self.execute("BEGIN")

    def saw(self, position: int, event_id: bytes) -> None:
        """A fact that stands there for ever, unless the server loses what it acknowledged."""
        if position > self.newest[0]:
            self.newest = position, event_id

    def lock(self) -> bool:
        """Take the turn. LeaseLost, StoreBroken: this daemon must write nothing more."""
        self.begin()
        newest = self.newest
        values = (self.box, self.life, newest[0])
        columns = self.execute(_TURN, values).fetchone()
        if columns is None:
            raise StoreBroken(f"the log of the schema {self.schema!r} is empty")
        *meta, self._here, commits, found, durable = columns
        names = (
            "head", "floor", "numbered", "epoch", "changes", "timeline", "settling", "untold",
        )  # fmt: skip
        self._row = dict(zip(names, meta, strict=True))
        self._new, self._wrote = {}, False
        if self._row["epoch"] != self.epoch:
            raise StoreBroken(
                "the log has another epoch: another daemon found that commits were lost, or an older copy"
            )
        if commits is None:
            raise self._lease_lost()
        changes, known = self._row["changes"], self.changes
        if why := self._lost(changes, commits, newest, found):
            self._tell_lost(why)
        self.untold = self._row["untold"] > known
        self.changes = self.answered = changes
        if durable == "off":
            # Turned off since the start, which would have been refused.
            self.execute("SET LOCAL synchronous_commit = on")
        self._settle()
        self._plan_anew()
        return bool(changes == known)

    def _plan_anew(self) -> None:
        """Have the server forget its plans once the log has grown much.

        It keeps what it found best when the tables were small, which is to read them whole, until it
        looks at them of its own accord: for a minute, or for good where nothing does.
        """
        head = int(self._row["head"])
        if head >= self._planned * PLANNED_TIMES:
            # Not by `execute`: a turn that does no more than this writes nothing.
            self._send("DISCARD PLANS", ())
            self._planned = head

    def _settle(self) -> None:
        """Whether claims must wait, asked under the turn: who had it before may have noted a failover."""
        settling = bool(self._row["settling"])
        if self._row["timeline"] != self.timeline:
            self.note_failover()
            settling = True
        self.may_claim = True
        if settling:
            (others,) = self.execute(_UNSETTLED, (self.box, self.era)).fetchone()
            self.may_claim = not others
            if self.may_claim:
                self._new["settling"] = 0

    @property
    def era(self) -> str:
        """What a box has seen that renewed its lease in it: this epoch, on this server."""
        return f"{self.epoch} {self.timeline}"

    def note_failover(self) -> None:
        """Another server answers than before, which may lack what the others did last.

        So their leases count anew, and nobody claims until each of them has renewed its own, and so has
        found that it lacks nothing, or is gone: a run whose claim was lost would be executed twice.
        """
        self.execute("UPDATE log SET timeline = ?", (self.timeline,))
        self._count_leases_anew()

    def _count_leases_anew(self) -> None:
        self.execute("UPDATE log SET settling = 1")
        self.execute(
            f"UPDATE boxes SET until = greatest(until, {NOW} + (lease_seconds * 1000000)::bigint)"
            " WHERE state = 'here' AND box <> ?",
            (self.box,),
        )

    def _lost(
        self, changes: int, commits: int, newest: tuple[int, bytes], found: bytes | None
    ) -> str | None:
        """What the server had acknowledged and has not; None: nothing. Facts may be pruned since."""
        if changes < self.answered:
            return f"{self.answered - changes} commits"
        if commits < self.commits:
            return f"{self.commits - commits} commits of this daemon"
        if self._row["head"] < newest[0] or found not in {None, newest[1]}:
            return "facts"
        return None

    def _tell_lost(self, what: str) -> NoReturn:
        """The server is one that never had them: places in the log do not name what they named."""
        self.renew_epoch()
        self.execute("COMMIT")
        raise StoreBroken(
            f"the server lost {what} that it had acknowledged (a standby that lagged?); the log"
            " has a new epoch, and clients begin anew"
        )

    def renew_epoch(self) -> str:
        """Give the log a new epoch, within a turn; the one before is kept among those it had."""
        epoch = str(uuid4())
        sql = "UPDATE log SET past = past || epoch || ' ', epoch = ?"
        self.execute(sql, (epoch,))
        self._count_leases_anew()
        return epoch

    def _lease_lost(self) -> LeaseLost:
        """The turn is given back; who is there instead is told, if the server still answers."""
        self.rollback()
        why = "its lease is over"
        with suppress(psycopg.Error):
            sql = "SELECT life, state FROM boxes WHERE box = ?"
            found = self.execute(sql, (self.box,)).fetchone()
            if found is None:
                why = "nobody knows its box any more"
            elif found[0] != self.life:
                why = f"another one is there by now, {found[0]}"
        return LeaseLost(
            f"this daemon is not that of the box {self.box} any more: {why}"
        )

    def mark_untold(self) -> None:
        self._new["untold"] = self.changes + 1

    def save(self) -> None:
        """Commit, and with it renew the lease; a turn in which nothing was written costs no disk.

        LeaseLost: nothing was written.
        """
        if not (self._wrote or self._new):
            self.rollback()
            return
        names = ["changes", *self._new]
        sql = _SAVE % ", ".join(f"{name} = ?" for name in names)
        values = [
            self.era,
            self.box,
            self.life,
            self.changes + 1,
            *self._new.values(),
        ]
        if self._here > 1 and "head" in self._new:
            # Others are there, and wait for facts.
            sql += " RETURNING pg_notify(?, ?)"
            values += [channel_of(self.schema), self.box]
        # Whatever is heard of it from here on: this many there are once it is done, and so long the lease is.
        self._asked_at = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.made = self.commits + 1
        if not self.execute(sql, values).rowcount:
            raise self._lease_lost()
        self.changes += 1
        self.execute("COMMIT")
        self.answered, self.commits = self.changes, self.made
        self.end_turn()
        self.on_renewed(self._asked_at)

    def own_commits(self) -> int:
        """How many commits of this daemon were done; within a turn there is none on its way."""
        sql = "SELECT commits FROM boxes WHERE box = ? AND life = ?"
        found = self.execute(sql, (self.box, self.life)).fetchone()
        if found is None:
            raise self._lease_lost()
        self.commits = int(found[0])
        if self.commits == self.made:
            # It renewed the lease too, though its answer was lost.
            self.on_renewed(self._asked_at)
        return self.commits

    def leave(self) -> None:
        """The daemon ends; if what it executed was let go, its box may be another's at once.

        Else its runs are its own until the lease is over: their processes may still be ending.
        """
        with suppress(psycopg.Error):
            sql = (
                "UPDATE boxes SET state = 'left' WHERE box = ? AND life = ? AND state = 'here' AND NOT"
                " EXISTS (SELECT 1 FROM runs WHERE ended_at IS NULL AND key > 0 AND runs.life = boxes.life)"
            )
            self.execute(sql, (self.box, self.life))

    def rollback(self) -> None:
        """Give the turn back; a connection that does not answer is closed."""
        self._later = []
        try:
            if self.connected and self._turn is not None:
                self.execute("ROLLBACK")
        except psycopg.Error:
            self.close()
        finally:
            self.end_turn()

    def end_turn(self) -> None:
        """The transaction is over, however it ended."""
        self._turn, self._row, self._new, self._used = None, {}, {}, None
        self._later = []

    def meta(self, name: str) -> Any:
        if name in self._new:
            return self._new[name]
        if self._row:
            return self._row[name]
        return self.execute(f"SELECT {name} FROM log").fetchone()[0]

    def set_meta(self, name: str, value: int) -> None:
        self._new[name] = value

    def clock(self) -> int:
        return int(self.execute(f"SELECT {NOW}").fetchone()[0])

    def used_bytes(self) -> int:
        """By what rows hold: pages of deleted rows stay until they are vacuumed.

        Within a turn they are counted once, and what is deleted from then on is taken off.
        """
        if self._used is not None:
            return self._used
        used = 0
        for table, size in _SIZES.items():
            sql = f"SELECT coalesce(sum({size}), 0)::bigint FROM {table}"
            used += int(self.execute(sql).fetchone()[0])
        if self._turn is not None:
            self._used = used
        return used

    def rehearse(self, size: int) -> psycopg.Error | None:
        """Why the server would not take a fact, and so many bytes; both are tried, and taken back at once.

        The turn goes on all the same, unless its session was lost, which is raised: a lease is renewed by a
        server that takes nothing else.
        """
        refused = None
        self.execute("SAVEPOINT rehearsal")
        try:
            if size:
                self._take_room(size)
            self.execute(_COPY_NEWEST)
            # What somebody has checked at the end of a commit is so now.
            self.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg.Error as error:
            refused = error
        self.execute("ROLLBACK TO SAVEPOINT rehearsal")
        return refused

    def _take_room(self, size: int) -> None:
        """A full disk may have room in pages that are there, and for nothing that anybody wants written.

        The table is made where the others are, is in no write-ahead log, and goes with its bytes at once.
        """
        rows = size // _ROOM_ROW + _ROOM_ROWS
        self.execute(
            f"CREATE UNLOGGED TABLE room AS SELECT repeat('x', {_ROOM_ROW})"
            f" FROM generate_series(1, {rows})"
        )

    def _delete(self, sql: str, size: str, values: Sequence[Any]) -> Any:
        gone = f"WITH gone AS ({sql} RETURNING {size} AS size)"
        found = self._send(
            f"{gone} SELECT coalesce(sum(size), 0)::bigint FROM gone", values
        )
        assert self._used is not None
        self._used -= found.fetchone()[0]
        return found

    def tells_of_damage(self, error: Exception) -> bool:
        # Data or an index corrupted: the server's own words for it.
        return isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith(
            "XX00"
        )
