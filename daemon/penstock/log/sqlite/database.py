"""Opening the database: the lock that proves the one daemon, what a start refuses, and settings."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from penstock.log.sqlite.elsewhere import check_not_moved
from penstock.log.sqlite.migrations import (
    AS_USUAL,
    MigrationPolicy,
    find_version,
    migrate,
    needs_migration,
)
from penstock.log.sqlite.older_logs import find_meta
from penstock.log.sqlite.schema import check_tables, create, create_file
from penstock.log.tables.rows import command_line
from penstock.words.errors import LogDamaged, LogInUse, StartRefused
from penstock.words.holder import MOST_BYTES, parse_holder
from penstock.words.plain_files import open_plain

#: Tries to take the lock, and seconds between them: a client that looks who holds it holds it too,
#: for some microseconds.
TRIES = 10
BETWEEN_TRIES = 0.02


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock while inside. LogInUse names the pid of who holds it, StartRefused what
    is amiss with the file.

    The kernel lets go of the lock when its holder is gone, however it ended, so the file may stay:
    removing it would let two daemons lock two files of one name. A link is not followed: what it
    names would be overwritten.
    """
    try:
        fd = open_plain(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StartRefused(f"the lock file {path} is a link; remove it") from None
        raise StartRefused(
            f"the lock file {path} cannot be opened: {error.strerror}"
        ) from None
    try:
        _take(fd, path)
        yield
    finally:
        os.close(fd)


def _take(fd: int, path: Path) -> None:
    try:
        _lock(fd)
    except BlockingIOError:
        holder = parse_holder(os.pread(fd, MOST_BYTES, 0))
        raise LogInUse(
            f"another daemon ({holder}) holds the lock {path}", pid=holder.pid
        ) from None
    except OSError as error:
        raise StartRefused(
            f"the lock file {path} cannot be locked: {error.strerror}"
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)


@contextmanager
def hold_inode(path: Path) -> Iterator[None]:
    """Hold `lock_inode` while inside."""
    fd = lock_inode(path)
    try:
        yield
    finally:
        os.close(fd)


def lock_inode(path: Path) -> int:
    """Lock the database file itself: a descriptor, whose lock lasts until it is closed.

    LogInUse if another holds it; OSError if the file cannot be opened. The lock is flock's,
    since SQLite uses those of fcntl on the same file, and the two kinds do not see each other. But
    closing any descriptor of a file drops all fcntl locks that this process has on it: close this
    one after SQLite's, and never ask twice in one process while SQLite has the file open.
    """
    # O_NONBLOCK: whatever stands there, opening it does not wait.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found, locked = os.stat(path), os.fstat(fd)
        if (found.st_dev, found.st_ino) != (locked.st_dev, locked.st_ino):
            raise StartRefused(f"the database {path} was replaced just now")
    except BlockingIOError:
        os.close(fd)
        raise LogInUse(
            f"another daemon has the database {path} open, under another lock file"
        ) from None
    except BaseException:
        os.close(fd)
        raise
    return fd


def _lock(fd: int) -> None:
    """Lock it; BlockingIOError if somebody holds it all the time."""
    for left in range(TRIES - 1, -1, -1):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not left:
                raise
            time.sleep(BETWEEN_TRIES)
        else:
            return


#: File systems of other machines: their locks and shared memory are not what SQLite's log needs.
NETWORK_TYPES = frozenset({
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "coda", "ncpfs", "lustre", "glusterfs",
    "fuse.glusterfs", "fuse.sshfs", "fuse.s3fs", "fuse.rclone",
})  # fmt: skip

#: Milliseconds to wait for another process that reads the file (a backup, a person with sqlite3).
BUSY_MILLISECONDS = 5000
#: Pages of 4 KiB in the log between checkpoints: long stalls stay rare, and the log under 32 MiB.
CHECKPOINT_PAGES = 8000
#: KiB of pages a connection keeps in memory.
WRITER_CACHE = 64 * 1024
READER_CACHE = 8 * 1024


# The files that SQLite keeps beside a database.
_BESIDE = ("-wal", "-shm", "-journal")


class FileConnection(sqlite3.Connection):
    """A connection that may hold the lock on its file's own inode, for as long as it is open."""

    #: The descriptor that holds it; None for none.
    lock: int | None = None
    #: The version of the older log that this is a copy of; None for a log itself.
    copy_of: int | None = None

    def close(self) -> None:
        """Close it, and only then let go of the lock, as `lock_inode` says."""
        super().close()
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None


def open_database(
    path: Path | None,
    readers: int,
    *,
    alone: bool = True,
    migration: MigrationPolicy = AS_USUAL,
) -> list[sqlite3.Connection]:
    """The writing connection, then the reading ones (none for a database in memory).

    StartRefused says in one sentence, with the path, why the file cannot be used. `alone`: nobody
    else has it open so while these connections are; close the writing one last. Who is not alone
    migrates nothing: of an older log they get one connection, to a copy that is gone with it.
    """
    if path is None:
        db = _connect(":memory:", WRITER_CACHE)
        create(db)
        return [db]
    connections: list[sqlite3.Connection] = []
    try:
        _check_place(path)
        if not path.exists():
            create_file(path)
        _open_into(connections, path, readers, migration if alone else None)
    except (sqlite3.Error, OSError, LogDamaged) as error:
        _close(connections)
        raise StartRefused(_explain(path, error)) from error
    except BaseException:
        _close(connections)
        raise
    return connections


def _open_into(
    connections: list[sqlite3.Connection],
    path: Path,
    readers: int,
    migration: MigrationPolicy | None,
) -> None:
    """Open them one after another, so that whoever called can close those that are open.

    Without a `migration` one is not alone: see `open_database`.
    """
    writing = _connect(path, WRITER_CACHE)
    connections.append(writing)
    if migration is not None:
        # Before anything is written: a file that another daemon has open is not even migrated.
        writing.lock = lock_inode(path)
    version = find_version(writing, path)
    if migration is not None:
        check_not_moved(writing, path)
    if needs_migration(writing, version):
        if migration is None:
            connections[:] = [_read_older(writing, path)]
            return
        migrate(writing, path, migration)
    _set_up(writing, path)
    for _ in range(readers):
        connections.append(_connect(path, READER_CACHE))
        connections[-1].execute("PRAGMA query_only = ON")


def _close(connections: list[sqlite3.Connection]) -> None:
    for connection in reversed(connections):
        connection.close()


def _connect(path: Path | str, cache: int) -> FileConnection:
    """A connection that any thread may use, one at a time."""
    db = sqlite3.connect(
        path,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
        factory=FileConnection,
    )
    try:
        db.create_function("fold", 1, str.casefold, deterministic=True)
        db.create_function("command_line", 2, command_line, deterministic=True)
        db.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        # The first look into the file: what is no database is found out here.
        db.execute(f"PRAGMA cache_size = -{cache}")
    except BaseException:
        db.close()
        raise
    return db


def _read_older(db: sqlite3.Connection, path: Path) -> FileConnection:
    """A log as this version has it, copied to a temporary file without a name; `db` is closed."""
    with closing(db):
        copy = _connect("", READER_CACHE)
        try:
            db.backup(copy)
            copy.copy_of = find_version(copy, path)
            migrate(copy, path, MigrationPolicy(copy=False))
            _check_whole(copy, path)
        except BaseException:
            copy.close()
            raise
    return copy


def _set_up(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    # FULL: an acknowledged fact survives a power cut, not only a crash of the daemon.
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    # What is forgotten may hold secrets: a page that was freed must not keep them.
    db.execute("PRAGMA secure_delete = ON")
    # A file that may only be read opens without a word; asking for the write lock finds it out.
    db.execute("BEGIN IMMEDIATE")
    db.execute("ROLLBACK")
    _check_whole(db, path)


def _check_whole(db: sqlite3.Connection, path: Path) -> None:
    """What can be known cheaply of a big file: it is as long as it says, and its ends agree.

    SQLite itself refuses a file shorter than its header says. Each table can be asked for. Above the floor the log has no holes,
    so its last event has the position of the head.
    """
    meta = find_meta(db)
    check_tables(db)
    (last,) = db.execute("SELECT max(position) FROM events").fetchone()
    db.execute("SELECT count(*) FROM runs WHERE ended_at IS NULL").fetchone()
    last = last or 0
    if last > meta["head"] or (meta["head"] >= meta["floor"] and last < meta["head"]):
        why = f"its last event is {last} and its head {meta['head']}"
        raise StartRefused(
            f"the database {path} is damaged: {why}; it was left as it is"
        )


def _check_place(path: Path) -> None:
    mounts = Path("/proc/self/mountinfo").read_text(
        encoding="utf-8", errors="surrogateescape"
    )
    if (kind := network_type(path.resolve(), mounts)) is not None:
        raise StartRefused(
            f"the database {path} lies on a network file system ({kind})"
        )
    for file in (path, *(path.with_name(path.name + end) for end in _BESIDE)):
        if file.is_symlink():
            # SQLite writes beside what it leads to, where nobody looks for what was removed.
            raise StartRefused(
                f"the database {path} cannot be used: {file} is a link; name the folder that it"
                " leads to as the state folder"
            )
        # A FIFO in the place of a log reads as a disk that fails for ever.
        if file.exists() and not file.is_file():
            raise StartRefused(f"the database {path} cannot be used: {file} is no file")
    log = path.with_name(f"{path.name}-wal")
    if not path.exists() and log.exists():
        # SQLite would play the old log into a new file.
        raise StartRefused(
            f"the database {path} is missing, but its log {log} is there: put the database back,"
            f" or move {log} away for a new one"
        )


def network_type(path: Path, mounts: str) -> str | None:
    """The type of the network file system that `path` lies on; None on a local one."""
    best, found = -1, ""
    for line in mounts.splitlines():
        head, _, tail = line.partition(" - ")
        # Spaces and the like stand there as octal numbers.
        point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), head.split(" ")[4])
        depth = len(Path(point).parts)
        # Of two mounts on one point the later one is seen.
        if depth >= best and path.is_relative_to(point):
            best, found = depth, tail.split(" ")[0]
    return found if found in NETWORK_TYPES else None


def _explain(path: Path, error: sqlite3.Error | OSError | LogDamaged) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if isinstance(error, LogDamaged):
        return f"the database {path} cannot be used: {error}; it was left as it is"
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return f"the database {path} is damaged ({error}); it was left as it is"
    if isinstance(error, OSError):
        return f"the database {path} cannot be opened: {error.strerror}"
    return f"the database {path} cannot be opened and written: {error}"
