"""What is read of a file as it stands, which may be of an older version and of another penstock."""

from __future__ import annotations

import sqlite3
from typing import Any

from penstock.log.sqlite.schema import newer_columns, tables_of
from penstock.log.tables.output_window import Window
from penstock.log.tables.rows import FOLDER_OF, SELECT_EVENTS
from penstock.words.errors import LogDamaged

_WINDOWS = (
    "SELECT run_id, head, head_end, tail, edge FROM windows"
    " CROSS JOIN runs ON runs.key = windows.run"
)


def show_as_todays(db: sqlite3.Connection) -> None:
    """Have this connection, which only reads, see in an older file the columns that rows have today."""
    for table in tables_of(db):
        there = {column[1] for column in db.execute(f"PRAGMA table_info({table})")}
        newer = [
            f"{'NULL' if usual is None else repr(usual)} AS {name}"
            for name, usual in newer_columns(table).items()
            if name not in there
        ]
        if newer:
            # What is temporary goes before what is in the file, and is nowhere in it.
            seen = f"SELECT *, {', '.join(newer)} FROM main.{table}"
            db.execute(f"CREATE TEMP VIEW {table} AS {seen}")


def select_events(db: sqlite3.Connection) -> str:
    """SELECT_EVENTS for a file that may be of an older schema, whose facts have no checksum."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return SELECT_EVENTS if version >= 3 else SELECT_EVENTS.replace("checksum", "NULL")


def find_meta(db: sqlite3.Connection) -> dict[str, Any]:
    """What the log says of itself: `epoch`, `head` and `floor`. LogDamaged if one is missing."""
    sql = "SELECT name, value FROM meta WHERE name NOT GLOB ?"
    meta = dict(db.execute(sql, (f"{FOLDER_OF}*",)))
    for name, kind in (("epoch", str), ("head", int), ("floor", int)):
        if not isinstance(meta.get(name), kind):
            raise LogDamaged(f"the log is damaged: its {name} is missing")
    return meta


def find_windows(db: sqlite3.Connection) -> dict[str, Window]:
    """The windows of a log by the ids of their runs; a log of an older version has none."""
    if "windows" not in tables_of(db):
        return {}
    return {run_id: Window(*values) for run_id, *values in db.execute(_WINDOWS)}
