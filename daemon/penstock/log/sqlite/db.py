"""The seam between what is decided about a log and the engine that keeps it.

A statement costs a round trip where the engine is elsewhere, so what is called here is counted: a commit
has as many statements for one decision as for a hundred, see `transaction`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol


class Rows(Protocol):
    """What a query found."""

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Statements(Protocol):
    """What takes statements: a connection, whoever it belongs to."""

    def execute(self, sql: str, values: Any = (), /) -> Rows:
        """One statement; every value is a parameter."""
        ...


class Db(Statements, Protocol):
    """The one writing connection; a transaction lies between `lock` and `save`."""

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> object:
        """One statement for each of these rows, sent in one go."""
        ...

    def lock(self) -> None:
        """Begin, as the one writer: nobody else writes until `save`."""
        ...

    def save(self) -> None:
        """Commit: durable when it returns."""
        ...

    def meta(self, name: str) -> Any:
        """What the log says of itself under this name."""
        ...

    def set_meta(self, name: str, value: int) -> None:
        """Have it say something else."""
        ...


class SqliteDb:
    """The `Db` of a file of SQLite."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # Called a million times a day; a method around them would cost as much as they do.
        self.execute = connection.execute
        self.executemany = connection.executemany

    def lock(self) -> None:
        """Take the write lock at once: a reader that became a writer could be refused."""
        self._connection.execute("BEGIN IMMEDIATE")

    def save(self) -> None:
        self._connection.execute("COMMIT")

    def meta(self, name: str) -> Any:
        sql = "SELECT value FROM meta WHERE name = ?"
        return self._connection.execute(sql, (name,)).fetchone()[0]

    def set_meta(self, name: str, value: int) -> None:
        sql = "UPDATE meta SET value = ? WHERE name = ?"
        self._connection.execute(sql, (value, name))
