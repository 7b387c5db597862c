"""A log in a file of SQLite, read or filled as a whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from penstock.log.sqlite.damage import tells_of_damage
from penstock.log.sqlite.database import open_database
from penstock.log.sqlite.migrations import readable_version
from penstock.log.sqlite.older_logs import (
    find_meta,
    find_windows,
    select_events,
    show_as_todays,
)
from penstock.log.sqlite.schema import check_tables, tables_of
from penstock.log.tables.output_window import Window
from penstock.log.tables.rows import SELECT_RUNS
from penstock.log.tables.run_head import SELECT_HEADS
from penstock.words.errors import NotFound

# Lines of the engine's own check that are reported; a torn file gives thousands.
_MOST_TOLD = 20

#: What SQLite may hold in a column that is declared so.
_STORED_AS = {
    "INTEGER": {"integer", "null"}, "REAL": {"real", "integer", "null"}, "TEXT": {"text", "null"},
    "BLOB": {"blob", "null"},
}  # fmt: skip

_REFUSALS = (
    sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.DataError,
)  # fmt: skip


class WholeFile:
    """What a connection sees of a log, as `WholeLog`; in a writing transaction, as `FillableLog`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.execute = db.execute

    def version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def meta(self) -> dict[str, Any]:
        return find_meta(self._db)

    def tables(self) -> tuple[str, ...]:
        return tables_of(self._db)

    def rows(self, table: str, order: str) -> tuple[list[str], Iterator[Sequence[Any]]]:
        # As they stand in the file, whatever `show_as_todays` shows.
        cursor = self._db.execute(f"SELECT * FROM main.{table} ORDER BY {order}")
        return [column[0] for column in cursor.description], cursor

    def events(self) -> Iterator[tuple[Any, ...]]:
        return self._db.execute(f"{select_events(self._db)} ORDER BY position")

    def runs(self) -> Iterator[tuple[Any, ...]]:
        return self._db.execute(f"{SELECT_RUNS} WHERE runs.key > 0 ORDER BY runs.key")

    def heads(self) -> Iterator[tuple[Any, ...]]:
        return self._db.execute(SELECT_HEADS)

    def windows(self) -> dict[str, Window]:
        return find_windows(self._db)

    def own_check(self) -> list[str]:
        """Pages, order of rows, and every index against its table."""
        check_tables(self._db)
        try:
            rows = self._db.execute(f"PRAGMA integrity_check({_MOST_TOLD})").fetchall()
        except sqlite3.Error as error:
            return [str(error)]
        # One row may hold several lines, under a heading that names the file.
        lines = [line for (text,) in rows for line in text.splitlines()]
        reported = [line for line in lines if not line.startswith("***")]
        return [] if reported == ["ok"] else reported

    def damage_of(self, error: Exception) -> str | None:
        damaged = isinstance(error, sqlite3.Error) and tells_of_damage(error)
        return str(error) if damaged else None

    # -- to fill it

    def set_meta(self, name: str, value: Any) -> None:
        sql = (
            "INSERT INTO meta (name, value) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        )
        self._db.execute(sql, (name, value))

    def columns(self, table: str) -> list[str]:
        return [column[1] for column in self._db.execute(f"PRAGMA table_info({table})")]

    def insert(
        self, table: str, names: Sequence[str], rows: Iterable[Sequence[Any]]
    ) -> int:
        marks = ", ".join("?" * len(names))
        sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"
        return max(self._db.executemany(sql, rows).rowcount, 0)

    def odd_value(self, table: str) -> str | None:
        """Columns take any value."""
        for _, name, declared, *_ in self._db.execute(f"PRAGMA table_info({table})"):
            kinds = _STORED_AS.get(declared)
            sql = f"SELECT DISTINCT typeof({name}) FROM {table}"
            if kinds and (odd := {kind for (kind,) in self._db.execute(sql)} - kinds):
                return f"{odd.pop()} for {name} in {table}"
        return None

    def refuses(self, error: Exception) -> bool:
        return isinstance(error, _REFUSALS)


@contextmanager
def read_whole_file(path: Path) -> Iterator[WholeFile]:
    """A database that a daemon may be using, as one moment of it; nothing is written.

    NotFound without a file; StartRefused if it is of a version whose rows are not those of this one.
    """
    if not path.is_file():
        raise NotFound(f"there is no database {path}")
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
        db.execute("BEGIN")
        readable_version(db, path)
        show_as_todays(db)
        yield WholeFile(db)


@contextmanager
def fill_whole_file(path: Path) -> Iterator[WholeFile]:
    """A database that is made if there is none; all that is written into it, or nothing.

    The caller holds the lock of the log.
    """
    (db,) = open_database(path, 0)
    with closing(db):
        db.execute("BEGIN IMMEDIATE")
        try:
            yield WholeFile(db)
            db.execute("COMMIT")
        except BaseException:
            db.rollback()
            raise
