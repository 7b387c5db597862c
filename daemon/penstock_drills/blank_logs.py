"""Logs in memory for one story after another.

Making the tables costs as much as many facts, and so does preparing each statement anew. So a log
that was used is emptied, and keeps its connection and what SQLite has prepared for it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from penstock.log.sqlite.database import open_database

_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"


@dataclass(eq=False, slots=True)
class _Log:
    """A log, and the rows of each table when it was new."""

    db: sqlite3.Connection
    new: dict[str, list[tuple[Any, ...]]]

    def empty(self) -> None:
        """As it was when it was new, the id of the log too."""
        self.db.rollback()
        self.db.execute("BEGIN")
        for table, rows in self.new.items():
            self.db.execute(f"DELETE FROM {table}")
            if rows:
                marks = ",".join("?" * len(rows[0]))
                self.db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        self.db.execute("COMMIT")


@dataclass(eq=False, slots=True)
class BlankLogs:
    """Made by `open_blank_logs`."""

    _unused: list[_Log] = field(default_factory=list)

    @contextmanager
    def taken(self) -> Iterator[sqlite3.Connection]:
        """An empty log, for one story."""
        log = self._unused.pop() if self._unused else _make()
        try:
            yield log.db
        finally:
            log.empty()
            self._unused.append(log)

    def close(self) -> None:
        """Close those that nobody has taken."""
        while self._unused:
            self._unused.pop().db.close()


def _make() -> _Log:
    (db,) = open_database(None, 0)
    tables = [name for (name,) in db.execute(_TABLES).fetchall()]
    return _Log(db, {t: db.execute(f"SELECT * FROM {t}").fetchall() for t in tables})


@contextmanager
def open_blank_logs() -> Iterator[BlankLogs]:
    """As many logs as stories are told at once."""
    logs = BlankLogs()
    try:
        yield logs
    finally:
        logs.close()
