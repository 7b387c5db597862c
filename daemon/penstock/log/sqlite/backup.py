"""The copy that is made of a log before it is migrated, and the room that both take."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from penstock.log.sqlite.schema import sync_folder, used_bytes
from penstock.words.errors import StartRefused

#: Bytes beyond what is copied and rewritten: the ends of files, and what else is written meanwhile.
SPARE_BYTES = 4 * 1024 * 1024


def free_bytes(folder: Path) -> int:
    """What our user may still write there."""
    return shutil.disk_usage(folder).free


def why_no_room(used: int, free: int, *, copies: bool) -> str:
    """Why a log of so many bytes cannot be migrated; empty if the disk has room.

    That is for its copy, and for every page written once more.
    """
    without = used + SPARE_BYTES
    needed = without + (used if copies else 0)
    if free >= needed:
        return ""
    way_out = "make room"
    if copies and free >= without:
        way_out += ", or set `migration_copy = false`, and there will be no way back"
    return f"takes {needed} free bytes, and there are {free}; {way_out}"


def copy_log(
    db: sqlite3.Connection, target: Path, on_file: Callable[[Path, int], None]
) -> Path:
    """The log as it is, whole, in a file of this name; for its owner's eyes only, as the log is.

    An earlier copy of the same log is replaced; beside any other file the name gets a number. The
    file that grows is told to `on_file`, with the bytes it may come to. Where it is then.
    """
    target = _free_name(db, target)
    new = target.with_name(f"{target.name}.new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    on_file(new, used_bytes(db))
    try:
        # As bytes: a folder's name may be no text.
        db.execute("VACUUM INTO CAST(? AS TEXT)", (os.fsencode(new),))
        # It syncs nothing by itself.
        _sync(new)
        new.rename(target)
    except sqlite3.Error as error:
        new.unlink(missing_ok=True)
        raise StartRefused(
            f"the log is to be migrated, and its copy {target} cannot be made: {error};"
            " the next start tries again, and with `migration_copy = false` without a copy"
        ) from error
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync_folder(target)
    return target


def _free_name(db: sqlite3.Connection, first: Path) -> Path:
    target, number = first, 1
    while target.exists() and not _is_earlier(target, db):
        number += 1
        target = first.with_name(f"{first.name}.{number}")
    return target


def _is_earlier(copy: Path, db: sqlite3.Connection) -> bool:
    """Whether a copy was made of this log when it was no longer than it is now."""
    sql = "SELECT value FROM meta WHERE name IN ('epoch', 'head') ORDER BY name"
    try:
        with closing(
            sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as other:
            (epoch,), (head,) = other.execute(sql).fetchall()
    except (sqlite3.Error, ValueError):
        return False
    (own_epoch,), (own_head,) = db.execute(sql).fetchall()
    return bool(epoch == own_epoch and head <= own_head)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
