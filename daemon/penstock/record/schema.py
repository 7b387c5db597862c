"""The tables of the SQLite store, their version, and what a start refuses."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

from penstock.errors import StartRefused
from penstock.events import DAEMON_STREAM

#: The version of the tables below; PRAGMA user_version of the file.
VERSION = 1

# Large and constant columns stand in `specs`: a fact rewrites its row of `runs`, and must not
# rewrite megabytes of inputs with it.
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
);
CREATE INDEX runs_in_line ON runs(priority, place) WHERE state IN ('queued', 'preempted');
CREATE INDEX runs_held ON runs(state) WHERE state IN ('running', 'waiting');
CREATE INDEX runs_ended ON runs(ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX runs_open ON runs(place) WHERE ended_at IS NULL;
CREATE INDEX runs_place ON runs(place);
CREATE INDEX runs_parent ON runs(parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX runs_root ON runs(root_id);
CREATE TABLE specs (
    key INTEGER PRIMARY KEY, digest BLOB NOT NULL, inputs BLOB NOT NULL, shown TEXT NOT NULL,
    labels TEXT NOT NULL, after TEXT NOT NULL
);
CREATE TABLE events (
    position INTEGER PRIMARY KEY, run INTEGER NOT NULL, sequence INTEGER NOT NULL,
    event_id BLOB NOT NULL UNIQUE, at INTEGER NOT NULL, type TEXT NOT NULL, clock TEXT NOT NULL,
    causation BLOB, code_version INTEGER NOT NULL, body BLOB NOT NULL
);
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

_DAEMON = (
    "INSERT INTO runs (key, run_id, kind, priority, place, state, root_id, depth, on_restart,"
    " preemptible, created_at) VALUES (0, ?1, '', 0, 0, '', ?1, 0, 'fail', 0, 0)"
)

#: version → what makes the next one of it. Each runs in the transaction that raises the version.
MIGRATIONS: Mapping[int, Callable[[sqlite3.Connection], None]] = {}


def create(db: sqlite3.Connection) -> None:
    """Make the tables of an empty database, and the id of its log."""
    db.execute("BEGIN IMMEDIATE")
    for statement in TABLES.split(";"):
        db.execute(statement)
    db.executemany(
        "INSERT INTO meta VALUES (?, ?)",
        [("epoch", str(uuid4())), ("head", 0), ("floor", 1)],
    )
    db.execute(_DAEMON, (DAEMON_STREAM,))
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")


def prepare(db: sqlite3.Connection, path: Path | None) -> None:
    """Bring the database to VERSION: create, migrate, or StartRefused."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version == 0 and tables == 0:
        create(db)
    elif version > VERSION:
        why = f"has schema version {version}, made by a newer penstock; this one knows {VERSION}"
        raise StartRefused(f"the database {path} {why}")


def connect(path: Path | None) -> sqlite3.Connection:
    """A connection with our settings; any thread may use it, one at a time."""
    db = sqlite3.connect(
        path or ":memory:",
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    db.create_function("fold", 1, str.casefold, deterministic=True)
    # The writer is the only one; a wait is only for a reader of an export or a backup.
    db.execute("PRAGMA busy_timeout = 5000")
    db.execute("PRAGMA cache_size = -65536")
    return db


def open_database(path: Path | None, readers: int) -> list[sqlite3.Connection]:
    """The writing connection, then the reading ones (none for a database in memory)."""
    db = connect(path)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        # FULL: an acknowledged fact survives a power cut, not only a crash of the daemon.
        db.execute("PRAGMA synchronous = FULL")
        # Pages of 4 KiB: a checkpoint per 32 MiB, not per 4, keeps long stalls rare.
        db.execute("PRAGMA wal_autocheckpoint = 8000")
        prepare(db, path)
    except BaseException:
        db.close()
        raise
    return [db, *(connect(path) for _ in range(readers if path else 0))]
