"""SQLite behind the seam: a file with one writing connection."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

from penstock.log.sqlite.damage import tells_of_damage
from penstock.log.sqlite.schema import used_bytes


class SqliteDb:
    """The `Db` of a file of SQLite. Nobody else writes into it, so nothing is ever to be forgotten."""

    may_claim = True

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # Called a million times a day; a method around them would cost as much as they do.
        self.execute = connection.execute
        self.executemany = connection.executemany

    def lock(self) -> bool:
        """Take the write lock at once: a reader that became a writer could be refused."""
        self._connection.execute("BEGIN IMMEDIATE")
        return True

    #: There are no others.
    untold = False

    def mark_untold(self) -> None:
        pass

    def save(self) -> None:
        self._connection.execute("COMMIT")

    def meta(self, name: str) -> Any:
        sql = "SELECT value FROM meta WHERE name = ?"
        return self._connection.execute(sql, (name,)).fetchone()[0]

    def set_meta(self, name: str, value: int) -> None:
        sql = "UPDATE meta SET value = ? WHERE name = ?"
        self._connection.execute(sql, (value, name))

    def clock(self) -> int:
        return time.time_ns() // 1000

    def used_bytes(self) -> int:
        return used_bytes(self._connection)

    def tells_of_damage(self, error: Exception) -> bool:
        return isinstance(error, sqlite3.Error) and tells_of_damage(error)
