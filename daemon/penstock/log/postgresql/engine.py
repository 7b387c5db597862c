"""PostgreSQL behind the seam: one connection, made when it is needed and anew once it was lost."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NoReturn
from uuid import uuid4

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrDumperUnknown

from penstock.log.postgresql.dialect import translate
from penstock.words.errors import StoreBroken

#: Seconds a server may take for a statement, and one writer wait for another's turn.
STATEMENT_SECONDS, TURN_SECONDS = 10, 5
#: Seconds a transaction may stand still: a daemon that is stopped within one gives the turn back.
IDLE_SECONDS = 10
#: Seconds after which a call that got no answer has its connection cut. A server's own word comes first.
CALL_SECONDS = 15.0
CONNECT_SECONDS = 5
#: Seconds without a word after which one end asks whether the other is there; it has CALL_SECONDS to say so.
KEEPALIVE_SECONDS = 10
#: Statements that a connection keeps prepared: all that a daemon ever sends.
PREPARED = 300

# What the rows of the two large tables take, about: what they hold, and as much for what is around it.
_SIZES = {
    "events": "octet_length(body) + 200",
    "specs": "octet_length(inputs) + octet_length(shown) + 400",
}
# The lock of the one daemon that writes; its parameter is the schema.
_CLAIM = "(hashtext('penstock'), hashtext(?))"
_DELETES = re.compile(rf"DELETE FROM ({'|'.join(_SIZES)}) ")


class _Text(StrDumperUnknown):
    """A text without NUL, which PostgreSQL refuses: the facts are bytes, and have it still."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)


class PostgresDb:
    """A connection as handlers want it (`Db`); `life` is the daemon whose turn it takes."""

    def __init__(self, url: str, schema: str, life: str = "") -> None:
        settings = {
            "search_path": f'"{schema}"',
            "statement_timeout": int(STATEMENT_SECONDS * 1000),
            "lock_timeout": int(TURN_SECONDS * 1000),
            "idle_in_transaction_session_timeout": int(IDLE_SECONDS * 1000),
            # Asked by the server, which would else keep the session, and its lock, of a box that lost its
            # power until the system's own two hours are over; a quarter, if it has yet to be answered.
            "tcp_keepalives_idle": KEEPALIVE_SECONDS,
            "tcp_keepalives_interval": KEEPALIVE_SECONDS,
            "tcp_user_timeout": int(CALL_SECONDS * 1000),
        }
        given = conninfo_to_dict(url)
        if "," in str(given.get("host", "")):
            # Of several servers the one that writes; what another one reads may be old.
            given.setdefault("target_session_attrs", "read-write")
        ours = " ".join(f"-c {name}={value}" for name, value in settings.items())
        bounds: dict[str, Any] = {
            "application_name": f"penstock {life}".strip(),
            "connect_timeout": CONNECT_SECONDS,
            "keepalives_idle": KEEPALIVE_SECONDS,
            "tcp_user_timeout": int(CALL_SECONDS * 1000),
        }
        # Whoever names one of these in the address means it; settings of the session come last.
        options = f"{given.pop('options', '')} {ours}".strip()
        self._conninfo = make_conninfo("", **{**bounds, **given, "options": options})
        self.schema = schema
        self._settings = settings
        self._life = life
        self._connection: psycopg.Connection[Any] | None = None
        #: Since when a call is at work, by the monotonic clock; None: none is.
        self.busy_since: float | None = None
        #: Commits of this log, as of the last one that was seen, and as of the last one that was answered.
        self.changes = self.answered = -1
        # The session that holds the advisory lock.
        self._claimed: psycopg.Connection[Any] | None = None
        # The connection of a turn: a statement of it must not go out by another one.
        self._turn: psycopg.Connection[Any] | None = None
        self._used: int | None = None
        self._row: dict[str, Any] = {}
        self._new: dict[str, int] = {}
        self._wrote = False

    # -- the connection

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The connection, made if there is none. psycopg.Error if none can be had."""
        if self._connection is None or self._connection.closed:
            self._connection = None
            made = psycopg.connect(
                self._conninfo, autocommit=True, cursor_factory=psycopg.RawCursor
            )
            made.prepare_threshold = 0
            made.prepared_max = PREPARED
            made.adapters.register_dumper(int, Int8BinaryDumper)
            made.adapters.register_dumper(str, _Text)
            self._connection = made
        return self._connection

    @property
    def connected(self) -> bool:
        return self._connection is not None and not self._connection.closed

    def cut(self) -> None:
        """End whatever the connection waits for, from another thread."""
        made = self._connection
        if made is not None and not made.closed:
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

    # -- statements

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Any:
        self._wrote = self._wrote or not sql.startswith("SELECT")
        if self._used is not None and (found := _DELETES.match(sql)):
            return self._delete(sql, _SIZES[found[1]], values)
        return self._send(sql, values)

    def _send(self, sql: str, values: Sequence[Any]) -> Any:
        self.busy_since = time.monotonic()
        try:
            made = self._turn or self.connection
            return made.execute(translate(sql), values or None, binary=True)
        finally:
            self.busy_since = None

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Any:
        self._wrote = True
        self.busy_since = time.monotonic()
        try:
            cursor = (self._turn or self.connection).cursor(binary=True)
            cursor.executemany(translate(sql), rows)
        finally:
            self.busy_since = None
        return cursor

    # -- a turn

    def begin(self) -> None:
        """Begin a transaction without asking whose the log is; `end_turn` once it is over."""
        self._turn = self.connection
        self.execute("BEGIN")

    def try_claim(self) -> bool:
        """Whether this session is the one that writes: the server gives that back with the session."""
        sql = f"SELECT pg_try_advisory_lock{_CLAIM}"
        (held,) = self.execute(sql, (self.schema,)).fetchone()
        self._claimed = self._turn if held else None
        return bool(held)

    def wait_to_claim(self) -> bool:
        """As `try_claim`, for a start: it waits a second for the session of who has just ended.

        Its client hears of that session's end before the server is done with it.
        """
        self.execute("SAVEPOINT claim")
        self.execute("SET LOCAL lock_timeout = '1s'")
        try:
            self.execute(f"SELECT pg_advisory_lock{_CLAIM}", (self.schema,))
        except psycopg.errors.LockNotAvailable:
            self.execute("ROLLBACK TO SAVEPOINT claim")
            return False
        self.execute("SET LOCAL lock_timeout TO DEFAULT")
        self._claimed = self._turn
        return True

    def let_go(self) -> None:
        """The daemon ends in order: another box may have the log, too."""
        with suppress(psycopg.Error):
            sql = "UPDATE log SET owner = '', changes = changes + 1 WHERE owner = ?"
            self.execute(sql, (self._life,))

    def lock(self) -> bool:
        """Take the turn. StoreBroken if the log is another daemon's by now."""
        self.begin()
        if self._claimed is not self._turn:
            # A new session, and the server may not know yet that the old one is gone: the row
            # tells whose the log is, and no commit waits for that.
            self.try_claim()
        sql = "SELECT head, floor, numbered, epoch, changes, owner, box FROM log FOR UPDATE"
        columns = self.execute(sql).fetchone()
        if columns is None:
            raise StoreBroken(f"the log of the schema {self.schema!r} is empty")
        names = ("head", "floor", "numbered", "epoch", "changes", "owner", "box")
        self._row = dict(zip(names, columns, strict=True))
        self._new, self._wrote = {}, False
        self._check_owner()
        found, known = self._row["changes"], self.changes
        if found < self.answered:
            self._tell_lost(self.answered - found)
        self.changes = self.answered = found
        return bool(found == known)

    def _check_owner(self) -> None:
        owner, box = self._row["owner"], self._row["box"]
        if owner != self._life:
            other = f"{box} ({owner})" if owner else "nobody"
            raise StoreBroken(f"the log is not this daemon's any more, but of {other}")

    def _tell_lost(self, count: int) -> NoReturn:
        """The server is one that never had them: places in the log do not name what they named."""
        self.execute("UPDATE log SET epoch = ?", (str(uuid4()),))
        self.execute("COMMIT")
        raise StoreBroken(
            f"the server lost {count} commits that it had acknowledged (a standby that lagged?); the log"
            " has a new epoch, and clients begin anew"
        )

    def save(self) -> None:
        """Commit; a turn in which nothing was written costs no disk."""
        if not (self._wrote or self._new):
            self.rollback()
            return
        names = ["changes", *self._new]
        sql = f"UPDATE log SET {', '.join(f'{name} = ?' for name in names)}"
        self.execute(sql, (self.changes + 1, *self._new.values()))
        # From here on it may be done, whatever is heard of it.
        self.changes += 1
        self.execute("COMMIT")
        self.answered = self.changes
        self.end_turn()

    def rollback(self) -> None:
        """Give the turn back; a connection that does not answer is closed."""
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

    def meta(self, name: str) -> Any:
        if name in self._new:
            return self._new[name]
        if self._row:
            return self._row[name]
        return self.execute(f"SELECT {name} FROM log").fetchone()[0]

    def set_meta(self, name: str, value: int) -> None:
        self._new[name] = value

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
