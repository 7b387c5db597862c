"""Forgetting ended runs, oldest first, and tombstones; and which of their folders are still there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from penstock.log.results import Pruned
from penstock.log.tables.callers import forget_unused
from penstock.log.tables.db import Db
from penstock.log.tables.rows import FOLDER_OF, FOLDERS, to_micros
from penstock.log.tables.transaction import Transaction
from penstock.log.writes import Prune
from penstock.words.errors import LogDamaged

#: Folders that are still to be removed and are remembered; of more, the oldest are left for good.
MOST_FOLDERS = 1000

#: What is forgotten beside runs, in words.
ENVIRONMENTS = "environments of forgotten runs"
TOMBSTONES = "tombstones"

_OLDEST = (
    "SELECT key, run_id, ended_at, last_position FROM runs WHERE ended_at IS NOT NULL"
    " AND (ended_at, key) > (?, ?) ORDER BY ended_at, key LIMIT 1"
)
# Before whatever ended.
_FIRST = (-(2**63), -(2**63))
_FORGET = (
    "DELETE FROM events WHERE run = ?",
    "DELETE FROM asks WHERE run = ?",
    "DELETE FROM prerequisites WHERE prerequisite = ?",
    "DELETE FROM prerequisites WHERE run = ?",
    "DELETE FROM specs WHERE key = ?",
    "DELETE FROM windows WHERE run = ?",
    "DELETE FROM callers WHERE run = ?",
    "DELETE FROM plans WHERE run = ?",
    "DELETE FROM runs WHERE key = ?",
)


def prune(transaction: Transaction, write: Prune) -> Pruned:
    """Forget what is too old or too much; positions are never used again."""
    transaction.flush()
    _keep_numbers(transaction)
    forgotten = _forget_oldest(transaction, write)
    runs, db = forgotten.runs, transaction.db
    if runs and ENVIRONMENTS not in write.skip_beside:
        with _naming(db, ENVIRONMENTS):
            forget_unused(db)
    transaction.set_meta("floor", forgotten.floor)
    if TOMBSTONES not in write.skip_beside:
        with _naming(db, TOMBSTONES):
            _prune_tombstones(db, write)
    folders = _remember_folders(db, write, runs, forgotten.floor)
    return Pruned(
        runs=tuple(runs),
        more=forgotten.more,
        folders=folders,
        damaged=tuple(forgotten.damaged),
    )


def _keep_numbers(transaction: Transaction) -> None:
    """Note the highest number there was; what is forgotten now may have it."""
    (highest,) = transaction.db.execute("SELECT max(key) FROM runs").fetchone()
    if highest > transaction.meta("numbered"):
        transaction.set_meta("numbered", highest)


@dataclass(slots=True)
class _Forgotten:
    """What a round of forgetting came to."""

    #: The log's floor.
    floor: int
    runs: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    #: There was more to forget than a round may.
    more: bool = False


def _forget_oldest(transaction: Transaction, write: Prune) -> _Forgotten:
    """Forget ended runs, the oldest first, until what is left is neither too old nor too much."""
    db, before = transaction.db, to_micros(write.before)
    (left,) = db.execute(
        "SELECT count(*) FROM runs WHERE ended_at IS NOT NULL"
    ).fetchone()
    done = _Forgotten(transaction.meta("floor"))
    for key, run_id, ended_at, last_position in _oldest_first(db):
        if not (isinstance(ended_at, int) and isinstance(last_position, int)):
            # What is no number sorts last, so nothing whole comes after it.
            done.damaged.append(str(run_id))
            continue
        if (
            ended_at >= before
            and left <= write.keep
            and db.used_bytes() <= write.max_bytes
        ):
            break
        if len(done.runs) == write.limit:
            done.more = True
            break
        left -= 1
        if run_id in write.skip:
            done.damaged.append(run_id)
            continue
        _forget(transaction, key, run_id)
        done.floor = max(done.floor, last_position + 1)
        done.runs.append(run_id)
    return done


def _oldest_first(db: Db) -> Iterator[tuple[Any, ...]]:
    """The ended runs one by one, each read only when it is asked for: it may be forgotten then."""
    place: tuple[Any, ...] = _FIRST
    while oldest := db.execute(_OLDEST, place).fetchone():
        key, _run_id, ended_at, _last_position = oldest
        place = (ended_at, key)
        yield oldest


@contextmanager
def _naming(db: Db, beside: str) -> Iterator[None]:
    """LogDamaged with what the log is damaged under; no engine takes more in that transaction."""
    try:
        yield
    except Exception as error:
        if not db.tells_of_damage(error):
            raise
        why = f"the log is damaged under the {beside}: {error}"
        raise LogDamaged(why, beside=beside) from None


def _forget(transaction: Transaction, key: int, run_id: str) -> None:
    """All rows of one run; an error in them is the damage of this run."""
    transaction.at_work = run_id
    for sql in _FORGET:
        transaction.db.execute(sql, (key,))
    transaction.at_work = None
    transaction.drop(run_id)


_RUN_OF = f"substr(name, {len(FOLDER_OF) + 1})"


def _remember_folders(
    db: Db, write: Prune, runs: list[str], floor: int
) -> tuple[str, ...]:
    """The forgotten runs whose folders are still to be removed, kept with the log.

    The floor grows with every round: what is highest was forgotten last.
    """
    gone = [(FOLDER_OF + run_id,) for run_id in write.removed]
    db.executemany("DELETE FROM meta WHERE name = ?", gone)
    left: list[tuple[Any, ...]] = [(FOLDER_OF + run_id, floor) for run_id in runs]
    db.executemany(
        "INSERT INTO meta (name, value) VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        left,
    )
    # Whoever took the id of a forgotten run has its folder too.
    db.execute(
        f"DELETE FROM meta WHERE {FOLDERS} AND {_RUN_OF} IN (SELECT run_id FROM runs)"
    )
    db.execute(
        f"DELETE FROM meta WHERE {FOLDERS} AND name NOT IN (SELECT name FROM meta"
        f" WHERE {FOLDERS} ORDER BY value DESC, name LIMIT ?)",
        (MOST_FOLDERS,),
    )
    found = db.execute(f"SELECT {_RUN_OF} FROM meta WHERE {FOLDERS} ORDER BY name")
    return tuple(run_id for (run_id,) in found)


def _prune_tombstones(db: Db, write: Prune) -> None:
    db.execute(
        "DELETE FROM tombstones WHERE at < ?", (to_micros(write.tombstones_before),)
    )
    db.execute(
        "DELETE FROM tombstones WHERE run_id NOT IN"
        " (SELECT run_id FROM tombstones ORDER BY at DESC LIMIT ?)",
        (write.max_tombstones,),
    )
