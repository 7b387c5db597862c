"""A log that moves from one engine to another: every row of it, compared, and the same log afterwards.

Nothing is written anew: runs keep their numbers, facts their places, and the log its id and its epoch, so
that a client goes on where it was. What an export leaves out, environments and schedules, moves too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pydantic_core import from_json

from penstock.log.audit import audit_whole
from penstock.log.export import check_empty
from penstock.log.tables.rows import FOLDERS, to_json
from penstock.log.tables.whole_log import (
    ORDERS,
    SECRET_ORDERS,
    FillableLog,
    WholeLog,
)
from penstock.words.errors import Conflict, LogDamaged, StartRefused
from penstock.words.placement import BOX_LABEL

#: Rows between two words on the progress.
BETWEEN_WORDS = 1000

#: Told of a table, how many of its rows are done, and how many it has.
Progress = Callable[[str, int, int], None]

_TABLES = {**SECRET_ORDERS, **ORDERS, "events": "position"}


def copy_whole(source: WholeLog, target: FillableLog, progress: Progress) -> list[str]:
    """Copy a log into an empty one, within the transaction that fills it; what an audit found in both.

    Conflict if the target holds anything; StartRefused if a row cannot be taken, or is not what it was
    when it is read back.
    """
    check_empty(target)
    for table in _TABLES:
        target.execute(f"DELETE FROM {table}")
    for table, order in _TABLES.items():
        _copy_table(source, target, table, order, progress)
    _copy_folders(source, target)
    for name, value in _named(source).items():
        target.set_meta(name, value)
    for table, order in _TABLES.items():
        progress(f"{table}, compared", 0, 0)
        if digest_of(source, table, order) != digest_of(target, table, order):
            raise StartRefused(
                f"the rows of {table} are not what they were once they are read back; nothing was moved"
            )
    return _audited(source, target)


def _copy_table(
    source: WholeLog, target: FillableLog, table: str, order: str, progress: Progress
) -> None:
    (count,) = source.execute(f"SELECT count(*) FROM {table}").fetchone()
    names, rows = source.rows(table, order)

    def told() -> Iterator[Sequence[Any]]:
        for number, row in enumerate(rows):
            if number % BETWEEN_WORDS == 0:
                progress(table, number, count)
            yield row

    try:
        target.insert(table, names, told())
    except TypeError as error:
        # SQLite keeps any value in any column.
        raise StartRefused(
            f"a row of {table} is not what was written ({error}): `penstock audit` tells of which run;"
            " nothing was moved"
        ) from None


def _copy_folders(source: WholeLog, target: FillableLog) -> None:
    """What prunes could not remove on this box is tried again by the next."""
    rows = source.execute(f"SELECT name, value FROM meta WHERE {FOLDERS}").fetchall()
    target.insert("meta", ["name", "value"], rows)


def _named(log: WholeLog) -> dict[str, Any]:
    """What a log says of itself, and an older one by default; the epoch before the log's first one."""
    meta = log.meta()
    names = ("epoch", "head", "floor", "numbered", "log")
    return {name: meta[name] for name in names if name in meta}


def digest_of(log: WholeLog, table: str, order: str) -> str:
    """What all rows of a table are, whichever engine has them, and in which order their columns are."""
    names, rows = log.rows(table, order)
    places = [names.index(name) for name in sorted(names)]
    digest = hashlib.sha256()
    for row in rows:
        digest.update(repr([_plain(row[place]) for place in places]).encode())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """A value as both have it: texts have no NUL on a server."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def settle(target: FillableLog, box: str) -> None:
    """Tell a log that boxes share whose the runs of a file are: they were submitted at its one box.

    What is open stays there, where its files are: another box has not what it was given.
    """
    sql = (
        "SELECT key, needs FROM runs WHERE ended_at IS NULL AND origin = '' AND key > 0"
    )
    for key, needs in target.execute(sql).fetchall():
        pinned = {BOX_LABEL: box, **({} if needs is None else from_json(needs))}
        sql = "UPDATE runs SET needs = ? WHERE key = ?"
        target.execute(sql, (to_json(pinned), key))
    target.execute("UPDATE runs SET origin = ? WHERE origin = '' AND key > 0", (box,))
    target.execute("UPDATE schedules SET origin = ? WHERE origin = ''", (box,))


def _audited(source: WholeLog, target: WholeLog) -> list[str]:
    found = [str(finding) for finding in audit_whole(target).findings]
    if found and not set(found) <= {
        str(finding) for finding in audit_whole(source).findings
    }:
        raise StartRefused(
            f"the log keeps not every law once it is copied ({found[0]}); nothing was moved"
        )
    return found


def is_there(source: WholeLog, target: WholeLog) -> bool:
    """Whether the target is this log already, as it is or gone on: who moved it was ended half-way.

    Conflict if it is this log as it was earlier.
    """
    ours, theirs = source.meta(), target.meta()
    if _id_of(ours) != _id_of(theirs):
        return False
    behind = theirs["head"] < ours["head"] or theirs["epoch"] != ours["epoch"]
    if not behind and _fact_at(source, ours["head"]) == _fact_at(target, ours["head"]):
        return True
    raise Conflict(
        f"it holds another state of this log (it ends at {theirs['head']}, and this one at"
        f" {ours['head']}): drop what is there, or name another place"
    )


def _id_of(meta: dict[str, Any]) -> str:
    found = meta.get("log", meta["epoch"])
    if not isinstance(found, str):
        raise LogDamaged("the log is damaged: its id is malformed")
    return found


def _fact_at(log: WholeLog, position: int) -> bytes | None:
    sql = "SELECT event_id FROM events WHERE position = ?"
    found = log.execute(sql, (position,)).fetchone()
    return None if found is None else bytes(found[0])
