"""A log in a schema of PostgreSQL, read or filled as a whole, without a daemon."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from typing import Any

import psycopg
from psycopg import sql as quoting

from penstock.log.postgresql.dialect import translate
from penstock.log.postgresql.engine import PostgresDb
from penstock.log.postgresql.ownership import check_server, place_of, refuse_others
from penstock.log.postgresql.schema import VERSION, prepare, versions_of
from penstock.log.postgresql.server_words import tell
from penstock.log.sqlite.schema import VERSION as TABLES_VERSION
from penstock.log.tables.output_window import Window
from penstock.log.tables.rows import SELECT_EVENTS, SELECT_RUNS
from penstock.log.tables.run_head import SELECT_HEADS
from penstock.log.tables.whole_log import ORDERS, SECRET_ORDERS
from penstock.words.errors import LogDamaged, NotFound, StartRefused

#: Seconds for a statement that goes through a whole table, and that whoever takes the rows may pause.
LONG_SECONDS = 3600
#: Rows that are fetched at once.
FETCHED = 500

# What a column of each type is given; anything else was never in such a log.
_TAKES: dict[str, tuple[type, ...]] = {
    "int8": (int, type(None)),
    "text": (str, type(None)),
    "bytea": (bytes, type(None)),
    "float8": (float, int, type(None)),
}
_WINDOWS = (
    "SELECT run_id, head, head_end, tail, edge FROM windows"
    " CROSS JOIN runs ON runs.key = windows.run"
)
_COLUMNS = (
    "SELECT column_name, udt_name FROM information_schema.columns"
    " WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position"
)
_NEXT_KEY = "SELECT setval(pg_get_serial_sequence('environments', 'key'), max(key)) FROM environments"
#: What the row of the log has of what a file keeps in rows of `meta`; what goes by another name there.
_META = {
    "epoch": "epoch",
    "head": "head",
    "floor": "floor",
    "numbered": "numbered",
    "log": "log_id",
}


class WholeSchema:
    """What a transaction sees of a log, as `WholeLog`; in one that writes, as `FillableLog`."""

    def __init__(self, db: PostgresDb) -> None:
        self._db = db
        # The one of this transaction: another would see, and keep, something else.
        self._connection = db.connection
        self.execute = db.execute
        self._names = map("whole_{}".format, count())

    def version(self) -> int:
        """A schema has the tables of the newest file, in its own types."""
        return TABLES_VERSION

    def meta(self) -> dict[str, Any]:
        found = self.execute("SELECT epoch, head, floor, numbered, log_id FROM log")
        row = found.fetchone()
        if row is None:
            raise LogDamaged("the log is damaged: its one row is missing")
        epoch, head, floor, numbered, log_id = row
        meta = {"epoch": epoch, "floor": floor, "head": head, "numbered": numbered}
        return meta if log_id == epoch else {**meta, "log": log_id}

    def tables(self) -> tuple[str, ...]:
        return (*ORDERS, *SECRET_ORDERS, "events")

    def rows(self, table: str, order: str) -> tuple[list[str], Iterator[Sequence[Any]]]:
        names = self.columns(table)
        wanted = f"SELECT {', '.join(names)} FROM {table} ORDER BY {order}"
        return names, self._stream(wanted)

    def _stream(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Rows that stay where they are until they are taken."""
        name = next(self._names)
        with psycopg.RawServerCursor(self._connection, name) as cursor:
            cursor.itersize = FETCHED
            cursor.execute(translate(sql), binary=True)
            yield from cursor

    def events(self) -> Iterator[tuple[Any, ...]]:
        return self._stream(f"{SELECT_EVENTS} ORDER BY position")

    def runs(self) -> Iterator[tuple[Any, ...]]:
        return self._stream(f"{SELECT_RUNS} WHERE runs.key > 0 ORDER BY runs.key")

    def heads(self) -> Iterator[tuple[Any, ...]]:
        return self._stream(SELECT_HEADS)

    def windows(self) -> dict[str, Window]:
        return {run_id: Window(*values) for run_id, *values in self.execute(_WINDOWS)}

    def own_check(self) -> list[str]:
        """Each table can be asked for, and no index is one that was left half made."""
        for table in self.tables():
            self.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()
        broken = self.execute(
            "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indrelid"
            " WHERE relnamespace = current_schema()::regnamespace AND NOT indisvalid ORDER BY 1"
        )
        return [f"the index {name} is not valid" for (name,) in broken]

    def damage_of(self, error: Exception) -> str | None:
        if self._db.tells_of_damage(error):
            assert isinstance(error, psycopg.Error)
            return tell(error)
        return None

    # -- to fill it

    def set_meta(self, name: str, value: Any) -> None:
        self.execute(f"UPDATE log SET {_META[name]} = ?", (value,))
        if name == "epoch":
            # An older epoch, if it had one, is set after it.
            self.execute("UPDATE log SET log_id = ?", (value,))

    def columns(self, table: str) -> list[str]:
        return list(self._types(table))

    def _types(self, table: str) -> dict[str, str]:
        found = self.execute(_COLUMNS, (self._db.schema, table)).fetchall()
        return dict(found)

    def insert(
        self, table: str, names: Sequence[str], rows: Iterable[Sequence[Any]]
    ) -> int:
        """By COPY: one round trip for all of them. TypeError for a value of another type than its column's."""
        types = self._types(table)
        kinds = [types[name] for name in names]
        command = quoting.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
            quoting.Identifier(table),
            quoting.SQL(", ").join(map(quoting.Identifier, names)),
        )
        written = 0
        with self._connection.cursor() as cursor, cursor.copy(command) as copy:
            copy.set_types(kinds)
            for row in rows:
                copy.write_row(list(map(_taken, row, kinds)))
                written += 1
        if table == "environments":
            # Its keys are the server's own, and the next one is none of these.
            self.execute(_NEXT_KEY)
        return written

    def odd_value(self, table: str) -> str | None:
        """Columns take what is of their type, and nothing else."""
        return None

    def refuses(self, error: Exception) -> bool:
        refusals = (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError)
        return isinstance(error, refusals)


def _taken(value: Any, kind: str) -> Any:
    """A value as its column takes it; a text with no NUL."""
    if type(value) not in _TAKES[kind]:
        raise TypeError(f"{type(value).__name__} where a column has {kind}")
    if kind == "float8" and value is not None:
        return float(value)
    return value.replace("\0", "\ufffd") if kind == "text" and value else value


@contextmanager
def read_whole_schema(url: str, schema: str) -> Iterator[WholeSchema]:
    """A log that daemons may be using, as one moment of it; nothing is written, a standby will do.

    NotFound if there is none; StartRefused if it cannot be read, or is of another version than this.
    """
    db, where = PostgresDb(url, schema), place_of(url, schema)
    with closing(db), _told(where, "read"):
        _be_patient(db)
        db.begin()
        db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        _check_version(db, where)
        yield WholeSchema(db)


@contextmanager
def fill_whole_schema(url: str, schema: str) -> Iterator[WholeSchema]:
    """A log that is made if there is none, for nobody else meanwhile; all that is written, or nothing.

    StartRefused if the server would not keep it, LogInUse if a daemon has it.
    """
    db, where = PostgresDb(url, schema), place_of(url, schema)
    with closing(db), _told(where, "filled"):
        check_server(db, where)
        _be_patient(db)
        db.begin()
        prepare(db, schema)
        # Nobody becomes a box of it before this is over.
        db.execute("SELECT 1 FROM log FOR UPDATE").fetchone()
        refuse_others(db, where)
        yield WholeSchema(db)
        db.execute("UPDATE log SET changes = changes + 1")
        db.execute("COMMIT")


@contextmanager
def _told(where: str, done: str) -> Iterator[None]:
    """What a server says, as a sentence that names the log. What the caller asks for it knows itself."""
    try:
        yield
    except psycopg.Error as error:
        raise StartRefused(
            f"the log in the {where} cannot be {done}: {tell(error)}"
        ) from error


def _be_patient(db: PostgresDb) -> None:
    """Whole tables take longer than what a daemon asks for, and who takes the rows may pause."""
    for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
        db.execute("SELECT set_config(?, ?, false)", (name, f"{LONG_SECONDS}s"))


def _check_version(db: PostgresDb, where: str) -> None:
    try:
        needed, found = versions_of(db)
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        raise NotFound(f"there is no log in the {where}") from None
    except TypeError:
        raise LogDamaged(
            f"the log in the {where} is damaged: its one row is missing"
        ) from None
    # What a newer release added to them is passed over.
    if needed <= VERSION <= found:
        return
    what = (
        "made by a newer penstock" if needed > VERSION
        else "of an older penstock; the daemon migrates it when it starts"
    )  # fmt: skip
    raise StartRefused(
        f"the log in the {where} has version {found}, {what}; this one reads {VERSION}"
    )
