"""Forgetting ended runs, oldest first, and tombstones."""

from __future__ import annotations

import sqlite3

from penstock.log.sqlite.environments import forget_unused
from penstock.log.sqlite.rows import to_micros
from penstock.log.sqlite.transaction import Transaction
from penstock.log.writes import Prune, Pruned

_OLDEST = (
    "SELECT key, run_id, ended_at, last_position FROM runs WHERE ended_at IS NOT NULL"
    " ORDER BY ended_at, key LIMIT 1"
)
_FORGET = (
    "DELETE FROM events WHERE run = ?",
    "DELETE FROM asks WHERE run = ?",
    "DELETE FROM prerequisites WHERE prerequisite = ?",
    "DELETE FROM prerequisites WHERE run = ?",
    "DELETE FROM specs WHERE key = ?",
    "DELETE FROM callers WHERE run = ?",
    "DELETE FROM runs WHERE key = ?",
)


def prune(transaction: Transaction, write: Prune) -> Pruned:
    """Forget what is too old or too much; positions are never used again."""
    transaction.flush()
    db = transaction.db
    (ended,) = db.execute(
        "SELECT count(*) FROM runs WHERE ended_at IS NOT NULL"
    ).fetchone()
    before, floor = to_micros(write.before), transaction.meta("floor")
    runs: list[str] = []
    more = False
    while oldest := db.execute(_OLDEST).fetchone():
        key, run_id, ended_at, last_position = oldest
        if (
            ended_at >= before
            and ended <= write.keep
            and used_bytes(db) <= write.max_bytes
        ):
            break
        if len(runs) == write.limit:
            more = True
            break
        for sql in _FORGET:
            db.execute(sql, (key,))
        transaction.drop(run_id)
        floor = max(floor, last_position + 1)
        ended -= 1
        runs.append(run_id)
    if runs:
        forget_unused(db)
    transaction.set_meta("floor", floor)
    _prune_tombstones(db, write)
    return Pruned(runs=tuple(runs), more=more)


def _prune_tombstones(db: sqlite3.Connection, write: Prune) -> None:
    db.execute(
        "DELETE FROM tombstones WHERE at < ?", (to_micros(write.tombstones_before),)
    )
    db.execute(
        "DELETE FROM tombstones WHERE run_id IN"
        " (SELECT run_id FROM tombstones ORDER BY at DESC LIMIT -1 OFFSET ?)",
        (write.max_tombstones,),
    )


def used_bytes(db: sqlite3.Connection) -> int:
    """Bytes of the pages in use; freed pages are used again and do not count."""
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    (size,) = db.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * size)
