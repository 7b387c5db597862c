"""The mark in a file whose log was moved elsewhere: no daemon goes on with it, and none of it is lost."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from penstock.words.errors import StartRefused

#: The name in `meta` under which a log says where it was moved, and when.
MOVED = "moved"


def find_moved(db: sqlite3.Connection) -> str | None:
    """Where and when the log was moved, for people; None: it was not."""
    row = db.execute("SELECT value FROM meta WHERE name = ?", (MOVED,)).fetchone()
    return None if row is None else str(row[0])


def check_not_moved(db: sqlite3.Connection, path: Path) -> None:
    """StartRefused, with the way there and back, if the log was moved."""
    if (where := find_moved(db)) is not None:
        raise StartRefused(
            f"the log {path} was moved to {where}: name that as `store`. To go back to the file as it was"
            " then, `penstock migrate --undo`; what was recorded there since is not in it"
        )


def moved_to(path: Path) -> str | None:
    """As `find_moved`, of a file that a daemon may have; None also for what is no log."""
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as db:
            return find_moved(db)
    except sqlite3.Error:
        return None


def mark_moved(db: sqlite3.Connection, where: str) -> None:
    """Say so in the log, for good."""
    text = f"{where}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    db.execute("INSERT INTO meta (name, value) VALUES (?, ?)", (MOVED, text))


def unmark(db: sqlite3.Connection, log_id: str) -> None:
    """Take the log for one that goes on here, with a new epoch: it may have gone on there, too."""
    db.execute("BEGIN IMMEDIATE")
    db.execute("DELETE FROM meta WHERE name = ?", (MOVED,))
    db.execute("INSERT OR IGNORE INTO meta VALUES ('log', ?)", (log_id,))
    db.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (str(uuid4()),))
    db.execute("COMMIT")
