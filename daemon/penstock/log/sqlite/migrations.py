"""How a log of an older version becomes one of this version: step by step, and from where it was left.

A step is one transaction, or batches of a transaction each. How far the migration came stands in the
log itself, in the same commits: whatever ends the daemon, its next start goes on there. Before the
first step the log is copied whole, since nothing leads back from a newer version.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from penstock.log.sqlite.backup import copy_log, free_bytes, why_no_room
from penstock.log.sqlite.damage import tells_of_damage
from penstock.log.sqlite.schema import (
    APPLICATION,
    MIGRATIONS,
    READABLE_VERSIONS,
    VERSION,
    Batches,
    Migrations,
    Step,
    used_bytes,
)
from penstock.words.errors import LogDamaged, StartRefused

log = logging.getLogger("penstock.record")

#: The row of `meta` that a log has while it is being migrated.
MARK = "migration"
#: Seconds between two words on the progress: to the service manager, and in the daemon's log.
TELL_SECONDS, LOG_SECONDS = 1.0, 10.0
#: Instructions of SQLite's machine between two looks at the time: less than a millisecond.
LOOK_INSTRUCTIONS = 10_000


@dataclass(frozen=True, slots=True)
class MigrationPolicy:
    """How a log is migrated if it must be. `tell` and `stopped` are called in the store's thread."""

    #: Whether the log is copied before the first step (`migration_copy`).
    copy: bool = True
    #: Is told what is done, about once a second.
    tell: Callable[[str], None] = lambda _: None
    #: Whether to break off; the next start goes on.
    stopped: Callable[[], bool] = lambda: False
    free_bytes: Callable[[Path], int] = free_bytes


#: With a copy, and nobody who listens.
AS_USUAL = MigrationPolicy()


@dataclass(frozen=True, slots=True)
class _Mark:
    """How far a migration came: since which version, and in the step of now up to which place."""

    first: int
    #: None between two steps.
    place: int | None
    #: The log's head: a daemon of the older version may have gone on between two steps.
    head: int


def find_version(db: sqlite3.Connection, path: Path, *, version: int = VERSION) -> int:
    """The version of a log. StartRefused if it is newer than `version`, or no log of ours."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION:
        raise StartRefused(
            f"{path} is not a database of penstock; it was left as it is"
        )
    found: int = db.execute("PRAGMA user_version").fetchone()[0]
    if found > version:
        raise StartRefused(
            f"the database {path} has schema version {found}, made by a newer penstock;"
            f" this one knows versions up to {version}"
        )
    return found


def log_version(path: Path) -> int | None:
    """The version that a file says it has, of a daemon that may be running; None if it says none."""
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as db:
            (application,) = db.execute("PRAGMA application_id").fetchone()
            (version,) = db.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error:
        return None
    return version if application == APPLICATION else None


def readable_version(db: sqlite3.Connection, path: Path) -> int:
    """The version of a log whose rows are read as they stand. StartRefused if they cannot be."""
    found = find_version(db, path)
    if found not in READABLE_VERSIONS:
        raise StartRefused(
            f"the database {path} has schema version {found}, and this penstock reads {VERSION};"
            " the daemon migrates it when it starts"
        )
    mark = _find_mark(db)
    if mark is not None and mark.place is not None:
        raise StartRefused(
            f"the database {path} is in the middle of a migration to schema version {VERSION};"
            " the daemon goes on with it when it starts"
        )
    return found


def copy_of(path: Path, version: int) -> Path:
    """Where the copy of a log of this version lies, unless something else lay there."""
    return path.with_name(f"{path.name}.v{version}")


def needs_migration(
    db: sqlite3.Connection, found: int, *, version: int = VERSION
) -> bool:
    """Whether a log of this version is older, or was left in the middle of a step."""
    if found < version:
        return True
    mark = _find_mark(db)
    return mark is not None and mark.place is not None


def migrate(
    db: sqlite3.Connection,
    path: Path,
    policy: MigrationPolicy = AS_USUAL,
    *,
    version: int = VERSION,
    migrations: Migrations = MIGRATIONS,
) -> None:
    """Bring a log to `version`, or go on with it where it was left.

    StartRefused: it is newer, there is no room, or it could not be done; what was done is kept, and
    a step that failed has changed nothing.
    """
    found = find_version(db, path, version=version)
    if not needs_migration(db, found, version=version):
        return
    mark = _find_mark(db)
    head = _find_head(db)
    if mark is not None and mark.place is None and mark.head != head:
        mark = None
    first = found if mark is None else mark.first
    work = _Work(db, path, policy, first, version)
    work.say(f"migrating the log {path} from version {first} to {version}")
    copies = policy.copy and mark is None
    _check_room(work, copies=copies)
    with work.watched():
        copy = _copy(work) if copies else None
        with work.explained():
            if mark is not None and mark.place is not None:
                step = migrations[found - 1]
                assert isinstance(step, Batches)
                _go_through(work, step, found, mark)
            for number in range(found, version):
                _take_step(work, migrations[number], number + 1, head)
    work.say(f"the log {path} has version {version} now")
    # It may be of an earlier start, which did not come to its end.
    _tell_copy(path, copy or copy_of(path, first))


def _check_room(work: _Work, *, copies: bool) -> None:
    """StartRefused if the disk has not room for what is made, the copy included."""
    free = work.policy.free_bytes(work.path.parent)
    if why := why_no_room(used_bytes(work.db), free, copies=copies):
        raise StartRefused(
            f"to migrate the database {work.path} from version {work.first}"
            f" to {work.version} {why}"
        )


def _tell_copy(path: Path, copy: Path) -> None:
    """How to go back, if the log as it was is kept."""
    if copy.exists():
        log.info(
            "the log as it was is kept in %s; to go back, stop the daemon, remove %s-wal and %s-shm"
            " if they are there, move the copy to %s and start the penstock that wrote it",
            copy, path, path, path,
        )  # fmt: skip


class _BrokenOff(sqlite3.OperationalError):
    """A stop was heard between two batches."""


@dataclass(slots=True)
class _Work:
    """One migration under way: what it is at, told now and then."""

    db: sqlite3.Connection
    path: Path
    policy: MigrationPolicy
    first: int
    version: int
    #: What is done now, and how far it is, as a text.
    now: Callable[[], str] = lambda: ""
    _told: float = 0.0
    _logged: float = 0.0

    def say(self, text: str) -> None:
        """Something that is told whenever it is."""
        log.info("%s", text)
        self._told = self._logged = time.monotonic()
        self.policy.tell(text)

    def look(self) -> int:
        """Tell the progress if it is time for it; other than 0: SQLite breaks off."""
        moment = time.monotonic()
        if moment - self._told >= TELL_SECONDS:
            self._told = moment
            text = self.now()
            self.policy.tell(text)
            if moment - self._logged >= LOG_SECONDS:
                self._logged = moment
                log.info("%s", text)
        return int(self.policy.stopped())

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look while SQLite works."""
        self.db.set_progress_handler(self.look, LOOK_INSTRUCTIONS)
        try:
            yield
        finally:
            self.db.set_progress_handler(None, 0)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """What hinders a step, as a sentence. Damage of the file has its own, elsewhere."""
        try:
            yield
        except sqlite3.Error as error:
            if tells_of_damage(error):
                raise
            (reached,) = self.db.execute("PRAGMA user_version").fetchone()
            raise StartRefused(
                f"the migration of the database {self.path} from version {self.first} to"
                f" {self.version} broke off at version {reached}: {error};"
                " the next start goes on there"
            ) from error


def _take_step(work: _Work, step: Step, target: int, head: int) -> None:
    """Make version `target` of the one before."""
    began = time.monotonic()
    work.now = lambda: (
        f"migrating the log to version {target}: {time.monotonic() - began:.0f} s"
    )
    place = 0 if isinstance(step, Batches) else None
    with _transaction(work.db) as db:
        step.prepare(db) if isinstance(step, Batches) else step(db)
        db.execute(f"PRAGMA user_version = {target}")
        mark = _Mark(work.first, place, head)
        _set_mark(db, None if place is None and target == work.version else mark)
    if isinstance(step, Batches):
        _go_through(work, step, target, mark)
    work.say(f"the log has come to version {target}")


def _go_through(work: _Work, step: Batches, target: int, mark: _Mark) -> None:
    """The batches of a step, from the place of the mark on."""
    place: int | None = mark.place or 0
    end = step.end(work.db) or 1
    work.now = lambda: (
        f"migrating the log to version {target}: {min(place or end, end) / end:.0%}"
    )
    while place is not None:
        with _transaction(work.db) as db:
            place = step.batch(db, place)
            done = place is None and target == work.version
            _set_mark(db, None if done else _Mark(mark.first, place, mark.head))
        if work.look():
            raise _BrokenOff("interrupted")


def _copy(work: _Work) -> Path:
    def on_file(file: Path, size: int) -> None:
        work.now = lambda: (
            f"copying the log of version {work.first}: {file.stat().st_size / size:.0%}"
        )

    copy = copy_log(work.db, copy_of(work.path, work.first), on_file)
    work.say(f"the log of version {work.first} is copied to {copy}")
    return copy


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All of it or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        db.rollback()
        raise


def _find_mark(db: sqlite3.Connection) -> _Mark | None:
    row = db.execute("SELECT value FROM meta WHERE name = ?", (MARK,)).fetchone()
    try:
        return None if row is None else _Mark(*json.loads(row[0]))
    except (ValueError, TypeError):
        raise LogDamaged("the mark of its migration is malformed") from None


def _set_mark(db: sqlite3.Connection, mark: _Mark | None) -> None:
    if mark is None:
        db.execute("DELETE FROM meta WHERE name = ?", (MARK,))
        return
    text = json.dumps([mark.first, mark.place, mark.head])
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (MARK, text))


def _find_head(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT value FROM meta WHERE name = 'head'").fetchone()
    return row[0] if row is not None and isinstance(row[0], int) else 0
