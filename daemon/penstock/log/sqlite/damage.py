"""How it is noticed that a log is not what was written, and whether the daemon can go on.

A page of an ended run that cannot be read is the misfortune of whoever asks for that run, and so is
one of the specs or facts of a run that is open: that run is lost, and the others go on. A page that every
commit needs (rows of what is open, an index, the right edge of a table) ends the daemon: what it says from
then on could not be recorded.

A removed or replaced file goes on taking writes from whoever has it open, and gives none of them
back: what is acknowledged then is lost at the next start. So the names are looked up again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The disk, or a file system with checksums of its own, gave back something else than was written.
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_IOERR_CORRUPTFS", "SQLITE_IOERR_DATA")

# Right edges of what a commit adds to, and the rows of all that is open.
_NEEDED = (
    "SELECT * FROM meta",
    "SELECT * FROM runs INDEXED BY runs_state WHERE ended_at IS NULL",
    "SELECT * FROM asks INDEXED BY asks_open WHERE state = 'open'",
    "SELECT * FROM pauses",
    "SELECT * FROM events ORDER BY position DESC LIMIT 1",
    "SELECT event_id FROM events ORDER BY event_id DESC LIMIT 1",
    "SELECT run FROM events INDEXED BY events_run ORDER BY run DESC LIMIT 1",
    "SELECT * FROM runs ORDER BY key DESC LIMIT 1",
    "SELECT * FROM specs ORDER BY key DESC LIMIT 1",
)


def tells_of_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite found bytes in the file that it cannot have written."""
    name = getattr(error, "sqlite_errorname", None)
    # A text that is no UTF-8: it is the module that says so, and not the library.
    undecodable = name is None and type(error) is sqlite3.OperationalError
    return undecodable or (name or "").startswith(_DAMAGED)


def needed_is_whole(db: sqlite3.Connection) -> bool:
    """Whether all that the next commits look at can be read, so that damage lies in the past."""
    try:
        for sql in _NEEDED:
            db.execute(sql).fetchall()
    except sqlite3.Error:
        return False
    return True


def find_readable(
    find: Callable[[Sequence[int]], list[tuple[Any, ...]]], keys: Sequence[int]
) -> list[tuple[Any, ...]]:
    """What `find` finds of these keys, without those whose pages are damaged.

    Whoever shares a page is lost with it; the halves of the others are asked for again.
    """
    try:
        return find(keys)
    except sqlite3.Error as error:
        if not tells_of_damage(error):
            raise
    if len(keys) < 2:
        return []
    middle = len(keys) // 2
    return find_readable(find, keys[:middle]) + find_readable(find, keys[middle:])


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file by its name, and by what stood there when it was opened."""

    path: Path
    device: int
    inode: int

    def change(self) -> str | None:
        """What became of it, as a sentence; None while its name leads to the same file.

        A name that cannot be looked up (no permission, an I/O error) says nothing of the file.
        """
        try:
            found = os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return f"{self.path} was removed while the daemon had it open"
        except OSError:
            return None
        if (found.st_dev, found.st_ino) == (self.device, self.inode):
            return None
        return f"{self.path} was replaced while the daemon had it open"


def known_file(path: Path) -> KnownFile:
    """The file that stands at `path` now. OSError if there is none."""
    found = os.stat(path)
    return KnownFile(path, found.st_dev, found.st_ino)


def first_change(files: Iterable[KnownFile]) -> str | None:
    """What became of the first of these files that is not what it was; None if all are."""
    return next((why for file in files if (why := file.change()) is not None), None)
