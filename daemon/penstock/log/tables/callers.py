"""The environments of callers: kept with the runs they belong to, beside all that is told of them.

Runs of one shell share one row: an environment has some KiB, and most runs of a day come from a few.
"""

from __future__ import annotations

import hashlib

from penstock.log.kept import RunSpec
from penstock.log.tables.db import Statements
from penstock.words.errors import LogDamaged
from penstock.words.surroundings import Surroundings

_FIND = (
    "SELECT environ, umask, environment FROM callers"
    " LEFT JOIN environments ON environments.key = callers.environment"
    " WHERE run = (SELECT key FROM runs WHERE run_id = ?)"
)
_INHERIT = (
    "INSERT INTO callers (run, umask, environment) SELECT ?, umask, environment FROM callers"
    " WHERE run = (SELECT key FROM runs WHERE run_id = ?)"
)
_UNUSED = "key NOT IN (SELECT environment FROM callers WHERE environment IS NOT NULL)"

#: For the audit: runs whose environment is not there, with their last positions; and how many
#: environments are kept that no run has.
LOST_ENVIRONMENTS = (
    "SELECT coalesce(run_id, ''), coalesce(last_position, 0) FROM callers"
    # NULL is not in a table without rows either.
    " LEFT JOIN runs ON runs.key = run WHERE runs.key IS NULL OR environment IS NOT NULL"
    " AND environment NOT IN (SELECT key FROM environments)"
)
COUNT_UNUSED = f"SELECT count(*) FROM environments WHERE {_UNUSED}"


def keep_surroundings(db: Statements, key: int, spec: RunSpec) -> None:
    """Keep what a new run was given; a child and a retry have what the run they come from has."""
    given = spec.surroundings
    if given is None:
        if source := spec.retry_of or spec.parent_id:
            db.execute(_INHERIT, (key, source))
        return
    environment = None if given.environ is None else _key_of(db, given.environ)
    sql = "INSERT INTO callers (run, umask, environment) VALUES (?, ?, ?)"
    db.execute(sql, (key, given.umask, environment))


def _key_of(db: Statements, environ: bytes) -> int:
    digest = hashlib.sha256(environ).digest()
    sql = "SELECT key FROM environments WHERE digest = ?"
    if known := db.execute(sql, (digest,)).fetchone():
        return int(known[0])
    sql = "INSERT INTO environments (digest, environ) VALUES (?, ?) RETURNING key"
    return int(db.execute(sql, (digest, environ)).fetchone()[0])


def find_surroundings(db: Statements, run_id: str) -> Surroundings | None:
    """What a run was given; None for one whose caller gave nothing. LogDamaged if it is lost."""
    found = db.execute(_FIND, (run_id,)).fetchone()
    if found is None:
        return None
    environ, umask, environment = found
    if environ is None and environment is not None:
        why = f"the log is damaged: the environment of the run {run_id!r} is missing"
        raise LogDamaged(why, run_id=run_id)
    return Surroundings(environ, umask)


def forget_unused(db: Statements) -> None:
    """Remove the environments that no run has any more."""
    db.execute(f"DELETE FROM environments WHERE {_UNUSED}")
