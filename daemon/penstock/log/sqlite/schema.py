"""The tables of the SQLite store, and what each step of a migration changes of older ones.

A new version is: the tables as they are from then on, a function for the older ones, and its line in
MIGRATIONS. What steps through them, and survives anything on the way, is `migrations`.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

from penstock.words.events import DAEMON_STREAM

#: PRAGMA application_id of our files ("Pnst"): any other database is not ours to write into.
APPLICATION = 0x506E7374


@dataclass(frozen=True, slots=True)
class Batches:
    """A step that goes through rows: too many for one transaction, or for one sitting.

    `prepare` is the first transaction and changes the tables; from then on the log has the new
    version and no older daemon takes it. Each call of `batch` is a transaction of its own: it is
    given the place to go on from (0 at first) and returns the next one, or None when it is done.
    Places grow; `end` tells the last one, for the progress.
    """

    prepare: Callable[[sqlite3.Connection], None]
    batch: Callable[[sqlite3.Connection, int], int | None]
    end: Callable[[sqlite3.Connection], int]


#: A step that is one transaction, or one of many.
Step: TypeAlias = Callable[[sqlite3.Connection], None] | Batches
Migrations: TypeAlias = Mapping[int, Step]

# The commas before `checksum`, `needs`, `origin` and `dismissed` stand where SQLite puts them when it adds the
# columns to an older file.
#
# Large and constant columns stand in `specs`: a fact rewrites its row of `runs`, and must not
# rewrite megabytes of inputs with it. Every index costs each commit of a new run a page, so those
# of few runs are partial.
TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE runs (
    key INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
    priority INTEGER NOT NULL, place INTEGER NOT NULL, state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '', life TEXT, token INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 0, group_name TEXT, parent_id TEXT, root_id TEXT NOT NULL,
    depth INTEGER NOT NULL, retry_of TEXT, open_prerequisites INTEGER NOT NULL DEFAULT 0,
    timeout REAL, used_seconds REAL NOT NULL DEFAULT 0, code_version INTEGER NOT NULL DEFAULT -1,
    cancel_requested TEXT, wants_slot INTEGER NOT NULL DEFAULT 0,
    sequence INTEGER NOT NULL DEFAULT 0, last_position INTEGER NOT NULL DEFAULT 0,
    clock TEXT NOT NULL DEFAULT '{}', host TEXT NOT NULL DEFAULT '', on_restart TEXT NOT NULL,
    preemptible INTEGER NOT NULL, created_at INTEGER NOT NULL, started_at INTEGER,
    ended_at INTEGER, outcome TEXT
, needs TEXT, origin TEXT NOT NULL DEFAULT '', dismissed INTEGER);
CREATE INDEX runs_in_line ON runs(priority, place) WHERE state IN ('queued', 'preempted');
CREATE INDEX runs_state ON runs(state) WHERE ended_at IS NULL;
CREATE INDEX runs_ended ON runs(ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX runs_place ON runs(place);
CREATE INDEX runs_parent ON runs(parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX runs_root ON runs(root_id) WHERE parent_id IS NOT NULL;
CREATE TABLE specs (
    key INTEGER PRIMARY KEY, digest BLOB NOT NULL, inputs BLOB NOT NULL, shown TEXT NOT NULL,
    labels TEXT NOT NULL, after TEXT NOT NULL
);
CREATE TABLE events (
    position INTEGER PRIMARY KEY, run INTEGER NOT NULL, sequence INTEGER NOT NULL,
    event_id BLOB NOT NULL UNIQUE, at INTEGER NOT NULL, type TEXT NOT NULL, clock TEXT NOT NULL,
    causation BLOB, code_version INTEGER NOT NULL, body BLOB NOT NULL
, checksum INTEGER);
CREATE INDEX events_run ON events(run);
CREATE TABLE prerequisites (
    prerequisite INTEGER NOT NULL, run INTEGER NOT NULL, PRIMARY KEY (prerequisite, run)
) WITHOUT ROWID;
CREATE TABLE asks (
    run INTEGER NOT NULL, name TEXT NOT NULL, question TEXT NOT NULL, choices TEXT NOT NULL,
    default_answer TEXT, expires_at INTEGER, state TEXT NOT NULL, answer TEXT, answered_by TEXT,
    raised_at INTEGER NOT NULL, PRIMARY KEY (run, name)
) WITHOUT ROWID;
CREATE INDEX asks_open ON asks(run) WHERE state = 'open';
CREATE TABLE tombstones (
    run_id TEXT PRIMARY KEY, reason TEXT NOT NULL, at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE pauses (name TEXT PRIMARY KEY, reason TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
"""

# Of a run that printed more than is kept of its beginning: see `window`.
_WINDOWS = """
CREATE TABLE windows (
    run INTEGER PRIMARY KEY, head INTEGER NOT NULL, head_end INTEGER NOT NULL,
    tail INTEGER NOT NULL, edge INTEGER NOT NULL
);
"""

# What programs get of their callers stands apart from all that is told of a run. `environment` is
# NULL where the log came from an export, which has none. No index finds the runs of an environment:
# only what is forgotten asks, once a commit.
_ENVIRONMENTS = """
CREATE TABLE environments (
    key INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, environ BLOB NOT NULL
);
CREATE TABLE callers (run INTEGER PRIMARY KEY, umask INTEGER, environment INTEGER);
"""
_NEW_IN_4 = _WINDOWS + _ENVIRONMENTS
# It holds the labels whole, so that who looks for some reads no page of the large columns beside
# them. Runs without labels, which most are, cost it nothing.
_LABELS = "CREATE INDEX specs_labels ON specs(labels) WHERE labels <> '{}';"
# Of runs that do not simply wait in line, of slots that were given at run time, and of what is to be
# run again and again. The environment of a schedule is told by nothing, as that of a run.
_NEW_IN_7 = """
CREATE TABLE plans (
    run INTEGER PRIMARY KEY, turn INTEGER NOT NULL, not_before INTEGER, stashed INTEGER NOT NULL
);
CREATE TABLE slots (name TEXT PRIMARY KEY, slots INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE schedules (
    name TEXT PRIMARY KEY, timing TEXT NOT NULL, zone TEXT NOT NULL, request TEXT NOT NULL,
    shown TEXT NOT NULL, made_at INTEGER NOT NULL, due INTEGER NOT NULL, last_run TEXT,
    skipped INTEGER NOT NULL DEFAULT 0, umask INTEGER, environ BLOB
);
"""
# What a run asks of its box, and where it was submitted: of runs and of schedules. `dismissed` is where the
# fact stands that somebody has seen the run's failure.
_ADDED_IN_8: tuple[tuple[str, str, str | None], ...] = (
    ("runs", "needs TEXT", None),
    ("runs", "origin TEXT NOT NULL DEFAULT ''", ""),
    ("schedules", "origin TEXT NOT NULL DEFAULT ''", ""),
    ("runs", "dismissed INTEGER", None),
)
#: Few runs are in it, so it costs the others nothing.
DISMISSALS = (
    "CREATE INDEX runs_dismissed ON runs(dismissed) WHERE dismissed IS NOT NULL;"
)
_ORIGIN = "environ BLOB\n, origin TEXT NOT NULL DEFAULT '');"
TABLES += (
    _NEW_IN_4 + _LABELS + _NEW_IN_7.replace("environ BLOB\n);", _ORIGIN) + DISMISSALS
)

_TABLE_NAMES = tuple(re.findall(r"CREATE TABLE (\w+)", TABLES))
#: What files of older versions, which only readers leave as they are, do not have yet.
_SINCE = {
    table: version
    for version, tables in ((4, _NEW_IN_4), (7, _NEW_IN_7))
    for table in re.findall(r"CREATE TABLE (\w+)", tables)
}

_DAEMON = (
    "INSERT INTO runs (key, run_id, kind, priority, place, state, root_id, depth, on_restart,"
    " preemptible, created_at) VALUES (0, :run, '', 0, 0, '', :run, 0, 'fail', 0, 0)"
)


def _index_fewer(db: sqlite3.Connection) -> None:
    """Version 2: no index of open runs by place, and one of trees that knows children only."""
    db.execute("DROP INDEX runs_open")
    db.execute("DROP INDEX runs_root")
    db.execute("CREATE INDEX runs_root ON runs(root_id) WHERE parent_id IS NOT NULL")


def _add_checksums(db: sqlite3.Connection) -> None:
    """Version 3: each fact has a checksum; those recorded before have none, which NULL says."""
    db.execute("ALTER TABLE events ADD COLUMN checksum INTEGER")


def _add_windows_and_environments(db: sqlite3.Connection) -> None:
    """Version 4: what is kept of outputs that roll, and the environments of callers.

    Runs that are older are counted when they print, and have no environment.
    """
    for statement in _NEW_IN_4.split(";"):
        db.execute(statement)


def _index_labels(db: sqlite3.Connection) -> None:
    """Version 5: labels are found without reading what stands beside them."""
    db.execute(_LABELS)


def _number_runs(db: sqlite3.Connection) -> None:
    """Version 6: a run's key is its number, which people type; that of a forgotten run is not given again."""
    db.execute(
        "INSERT OR REPLACE INTO meta SELECT 'numbered', ifnull(max(key), 0) FROM runs"
    )


def _add_plans(db: sqlite3.Connection) -> None:
    """Version 7: delays, places, slots and schedules, of which older logs have none."""
    for statement in _NEW_IN_7.split(";"):
        db.execute(statement)


def _add_placement(db: sqlite3.Connection) -> None:
    """Version 8: what runs ask of a box, and who was dismissed; older ones asked for nothing."""
    for table, column, _ in _ADDED_IN_8:
        db.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
    db.execute(DISMISSALS)


#: version → the step that makes the next one of it.
MIGRATIONS: Migrations = {
    1: _index_fewer,
    2: _add_checksums,
    3: _add_windows_and_environments,
    4: _index_labels,
    5: _number_runs,
    6: _add_plans,
    7: _add_placement,
}

#: The version of the tables above; PRAGMA user_version of the file.
VERSION = max(MIGRATIONS) + 1

#: Versions whose rows are those of this one, to whoever only reads: between them only indexes have
#: changed, checksums, which older facts have none of, and tables and columns that older logs have
#: nothing for.
READABLE_VERSIONS = frozenset(range(1, VERSION + 1))


def newer_columns(table: str) -> dict[str, str | None]:
    """Columns that rows of older versions have not, and what stands in them then."""
    return {
        column.partition(" ")[0]: usual
        for of, column, usual in _ADDED_IN_8
        if of == table
    }


def create(db: sqlite3.Connection) -> None:
    """Make the tables of an empty database, and the id of its log."""
    db.execute("BEGIN IMMEDIATE")
    for statement in TABLES.split(";"):
        db.execute(statement)
    db.executemany(
        "INSERT INTO meta VALUES (?, ?)",
        [("epoch", str(uuid4())), ("head", 0), ("floor", 1), ("numbered", 0)],
    )
    db.execute(_DAEMON, {"run": DAEMON_STREAM})
    db.execute(f"PRAGMA application_id = {APPLICATION}")
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")


def tables_of(db: sqlite3.Connection) -> tuple[str, ...]:
    """The tables that a database of its version has."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return tuple(t for t in _TABLE_NAMES if version >= _SINCE.get(t, 1))


def check_tables(db: sqlite3.Connection) -> None:
    """sqlite3.Error names the first table that the database lacks."""
    for table in tables_of(db):
        db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()


def used_bytes(db: sqlite3.Connection) -> int:
    """Bytes of the pages in use; freed pages are used again and do not count."""
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    (size,) = db.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * size)


def create_file(path: Path) -> None:
    """Make the database file whole or not at all, for its owner's eyes only: it holds inputs."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(new, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = EXTRA")
        create(db)
    new.rename(path)
    sync_folder(path)


def sync_folder(path: Path) -> None:
    """Make a rename in the file's folder survive a power cut."""
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
