"""Room on the disk: what the write-ahead log may take of it, and whether there is some again.

Folding the log into the file makes the file grow by at most the log's size, and only then is the log's
own room free again. A log that has filled the disk alone can be folded no more, so it is never let
grow beyond what is left free.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

from penstock.words.errors import StoreAway

#: Bytes up to which a write-ahead log is left alone however full the disk is: folding costs two fsyncs.
SMALL_LOG = 1024 * 1024


def free_bytes(folder: Path) -> int:
    """Bytes that may still be written here. OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def must_fold(log: int, free: int) -> bool:
    """Whether a write-ahead log of so many bytes is too large for so many that are free."""
    return log > max(free, SMALL_LOG)


def fold_log(db: sqlite3.Connection, patience: int) -> None:
    """Fold the write-ahead log into the file, and give its room back. sqlite3.Error.

    Where a reader is in the way that is for the next time: it is not waited for. `patience` is the
    connection's own, in milliseconds.
    """
    db.execute("PRAGMA busy_timeout = 0")
    try:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        db.execute(f"PRAGMA busy_timeout = {patience}")


def try_room(log: Path, size: int) -> None:
    """StoreAway unless the disk has room for so many bytes, which it did not take before.

    A full disk may have room for a page, and for nothing that anybody wants written. The bytes go
    to a file without a name, at the place up to which the write-ahead log has grown, since a file
    may be limited too.
    """
    data = bytes(size)
    try:
        with tempfile.TemporaryFile(dir=log.parent, buffering=0) as file:
            file.seek(os.stat(log).st_size)
            while data:
                data = data[file.write(data) :]
            os.fsync(file.fileno())
    except OSError as error:
        why = f"the database did not answer: {error.strerror} (no room for what it is to take)"
        raise StoreAway(why) from None
