"""The whole log as lines of JSON, and back: a copy that any tool can read.

First a header; then the rows of other tables than that of events, so that an import brings back queues,
inputs and questions too; then the events, each in its wire form. Left out is what holds environments:
theirs, and the schedules.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from penstock.log.checksum import checksum_of
from penstock.log.left_out import leave_out
from penstock.log.sqlite.database import open_database
from penstock.log.sqlite.migrations import readable_version
from penstock.log.sqlite.older_logs import find_meta, select_events
from penstock.log.sqlite.schema import READABLE_VERSIONS, newer_columns, tables_of
from penstock.log.tables.rows import (
    INSERT_EVENT,
    SELECT_RUNS,
    recorded,
    run_row,
    to_json,
    to_micros,
)
from penstock.log.tables.run_head import load_head
from penstock.words.errors import Conflict, LogDamaged, NotFound, Refused
from penstock.words.lifecycle import STATES

# What a line of an export may be, all of it somebody's mistake and none of it ours: no JSON, JSON too
# deep to read, of other members, of other types, of numbers that no column holds.
_DAMAGE = (
    ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError,
    sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.DataError,
    LogDamaged,
)  # fmt: skip

#: What SQLite may hold in a column that is declared so.
_STORED_AS = {
    "INTEGER": {"integer", "null"}, "REAL": {"real", "integer", "null"}, "TEXT": {"text", "null"},
    "BLOB": {"blob", "null"},
}  # fmt: skip

_FORMAT = "penstock-log"
_TABLES = {
    "runs": "key",
    "specs": "key",
    "prerequisites": "prerequisite, run",
    "asks": "run, name",
    "tombstones": "run_id",
    "pauses": "name",
    "windows": "run",
    "callers": "run",
    "plans": "run",
    "slots": "name",
}


def export_file(path: Path, out: BinaryIO, *, with_secrets: bool = False) -> int:
    """Write the log of a database that a daemon may be using; the number of events.

    StartRefused if it is of a version whose rows are not those of this one.

    Values of inputs that no surface shows are left out, unless `with_secrets`.
    """
    if not path.is_file():
        raise NotFound(f"there is no database {path}")
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
    )
    try:
        readable_version(db, path)
        count = 0
        for line in export_lines(db, with_secrets=with_secrets):
            out.write(line + b"\n")
            count += line.startswith(b'{"position"')
        return count
    finally:
        db.close()


def import_file(path: Path, source: BinaryIO) -> int:
    """Read an export into a database that holds nothing yet; the number of events.

    The caller holds the database's lock. Conflict if it is not empty, Refused for a file that is no
    export, is of another schema, or is cut short; nothing is written then.
    """
    (db,) = open_database(path, 0)
    try:
        return import_lines(db, source)
    finally:
        db.close()


def export_lines(db: sqlite3.Connection, *, with_secrets: bool) -> Iterator[bytes]:
    """The log as it stands now, whatever is written meanwhile."""
    db.execute("BEGIN")
    try:
        meta = find_meta(db)
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (events,) = db.execute("SELECT count(*) FROM events").fetchone()
        header = {"format": _FORMAT, "schema": version, **meta, "events": events}
        yield to_json(header).encode()
        there = tables_of(db)
        for table, order in _TABLES.items():
            if table not in there:
                continue
            cursor = db.execute(f"SELECT * FROM {table} ORDER BY {order}")
            names = [column[0] for column in cursor.description]
            for row in cursor:
                values = dict(zip(names, row, strict=True))
                if table == "specs" and not with_secrets:
                    _leave_out(values)
                if table == "callers":
                    # Whose run it was had an environment; what it held is nobody else's business.
                    values["environment"] = None
                texts = {name: _to_text(value) for name, value in values.items()}
                yield to_json({"table": table, "row": texts}).encode()
        for row in db.execute(f"{select_events(db)} ORDER BY position"):
            yield recorded(row).wire()
    finally:
        db.execute("ROLLBACK")


def import_lines(db: sqlite3.Connection, lines: Iterable[bytes]) -> int:
    """See `import_file`."""
    source = iter(lines)
    db.execute("BEGIN IMMEDIATE")
    try:
        (head,) = db.execute("SELECT value FROM meta WHERE name = 'head'").fetchone()
        (runs,) = db.execute("SELECT count(*) FROM runs WHERE key > 0").fetchone()
        if head or runs:
            raise Conflict(
                "the database is not empty; an export is read into an empty one only"
            )
        header = _read_header(source)
        for name in ("epoch", "head", "floor"):
            db.execute("UPDATE meta SET value = ? WHERE name = ?", (header[name], name))
        # An older log has none: its runs have the highest number.
        if isinstance(numbered := header.get("numbered"), int):
            db.execute("UPDATE meta SET value = ? WHERE name = 'numbered'", (numbered,))
        if "log" in header:
            # Of a log whose epoch has changed: the marks of it still know this one.
            db.execute("INSERT INTO meta VALUES ('log', ?)", (header["log"],))
        for table in _TABLES:
            db.execute(f"DELETE FROM {table}")
        events = db.executemany(INSERT_EVENT, _read_rows(db, source)).rowcount
        if max(events, 0) != header["events"]:
            raise Refused(
                "import", f"holds {max(events, 0)} of {header['events']} events"
            )
        # An export has no environments, whoever wrote it.
        db.execute("UPDATE callers SET environment = NULL")
        _check_read(db)
        db.execute("COMMIT")
    except _DAMAGE as error:
        db.rollback()
        raise Refused("import", f"is damaged: {error}") from error
    except BaseException:
        db.rollback()
        raise
    return max(events, 0)


def _check_read(db: sqlite3.Connection) -> None:
    """LogDamaged, Refused unless what was written can be read: columns take any value."""
    find_meta(db)
    for table in _TABLES:
        for _, name, declared, *_ in db.execute(f"PRAGMA table_info({table})"):
            kinds = _STORED_AS.get(declared)
            sql = f"SELECT DISTINCT typeof({name}) FROM {table}"
            if kinds and (odd := {kind for (kind,) in db.execute(sql)} - kinds):
                raise Refused("import", f"has {odd.pop()} for {name} in {table}")
    for (state,) in db.execute("SELECT DISTINCT state FROM runs WHERE key > 0"):
        if state not in STATES:
            raise Refused("import", f"has a run in the unknown state {state!r}")
    for columns in db.execute(SELECT_RUNS):
        load_head(db, run_row(columns).run_id)


def _read_header(source: Iterator[bytes]) -> dict[str, Any]:
    header = json.loads(next(source, b"{}"))
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise Refused("import", "is no export of penstock")
    if header["schema"] not in READABLE_VERSIONS:
        known = " and ".join(map(str, sorted(READABLE_VERSIONS)))
        raise Refused(
            "import", f"has schema version {header['schema']}; this one reads {known}"
        )
    return header


def _read_rows(
    db: sqlite3.Connection, source: Iterator[bytes]
) -> Iterator[tuple[Any, ...]]:
    """The rows of the events; those of other tables, which come first, are written on the way."""
    for line in source:
        data = json.loads(line, parse_constant=_refuse_constant)
        if "table" in data:
            _insert(db, data["table"], data["row"])
        else:
            yield _event_row(db, data, line)


def _refuse_constant(name: str) -> float:
    """NaN and the infinities are no JSON, and NaN would be taken for no number at all."""
    raise ValueError(f"{name} is no number")


def _insert(db: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    known = [column[1] for column in db.execute(f"PRAGMA table_info({table})")]
    row = {**newer_columns(table), **row}
    if table not in _TABLES or sorted(row) != sorted(known):
        raise Refused("import", f"has rows this version does not know ({table})")
    marks = ", ".join("?" * len(known))
    values = [_from_text(row[name]) for name in known]
    db.execute(f"INSERT INTO {table} VALUES ({marks})", values)


def _event_row(
    db: sqlite3.Connection, data: dict[str, Any], line: bytes
) -> tuple[Any, ...]:
    found = db.execute(
        "SELECT key FROM runs WHERE run_id = ?", (data["run_id"],)
    ).fetchone()
    if found is None:
        raise Refused("import", f"has an event of the unknown run {data['run_id']!r}")
    # The fact byte for byte: quotes within the texts before it are escaped, so this is its start.
    body = line.rstrip().split(b',"event":', 1)[1][:-1]
    cause = data["causation_id"]
    if type(data["position"]) is not int or type(data["sequence"]) is not int:
        raise Refused("import", "has an event whose place is no whole number")
    columns = (
        data["position"], found[0], data["sequence"], UUID(data["event_id"]).bytes,
        to_micros(datetime.fromisoformat(data["at"])), data["event"]["type"],
        to_json(data["clock"]), UUID(cause).bytes if cause else None, data["code_version"], body,
    )  # fmt: skip
    return (*columns, checksum_of(*columns))


def _leave_out(spec: dict[str, Any]) -> None:
    """Take out of a row of `specs` what no surface shows."""
    if not spec["shown"]:
        return
    kept = leave_out(spec["inputs"], json.loads(spec["shown"]))
    if kept is not None:
        # From the digest a short secret could be guessed.
        spec.update(inputs=kept, digest=b"")


def _to_text(value: Any) -> Any:
    """Bytes have no form in JSON but this one."""
    return (
        {"base64": base64.b64encode(value).decode()}
        if isinstance(value, bytes)
        else value
    )


def _from_text(value: Any) -> Any:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value
