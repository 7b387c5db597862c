"""The whole log as lines of JSON, and back: a copy that any tool can read.

First a header; then the rows of other tables than that of events, so that an import brings back queues,
inputs and questions too; then the events, each in its wire form. Left out is what holds environments:
theirs, and the schedules.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby, islice
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from penstock.log.checksum import checksum_of
from penstock.log.left_out import leave_out
from penstock.log.sqlite.schema import READABLE_VERSIONS, newer_columns
from penstock.log.sqlite.whole_file import fill_whole_file, read_whole_file
from penstock.log.tables.rows import (
    EVENT_COLUMNS,
    recorded,
    run_row,
    to_json,
    to_micros,
)
from penstock.log.tables.run_head import head_of
from penstock.log.tables.whole_log import ORDERS, FillableLog, WholeLog
from penstock.words.errors import Conflict, LogDamaged, Refused
from penstock.words.lifecycle import STATES

# What a line of an export may be, all of it somebody's mistake and none of it ours: no JSON, JSON too
# deep to read, of other members, of other types, of numbers that no column holds.
_DAMAGE = (
    ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError, struct.error,
    LogDamaged,
)  # fmt: skip

_FORMAT = "penstock-log"
#: Rows of one table, or facts, that are written at once.
_AT_ONCE = 500


def export_file(path: Path, out: BinaryIO, *, with_secrets: bool = False) -> int:
    """Write the log of a database that a daemon may be using; the number of events.

    NotFound without a file; StartRefused if it is of a version whose rows are not those of this one.
    """
    with read_whole_file(path) as log:
        return export_log(log, out, with_secrets=with_secrets)


def export_log(log: WholeLog, out: BinaryIO, *, with_secrets: bool = False) -> int:
    """Write a log; the number of events.

    Values of inputs that no surface shows are left out, unless `with_secrets`.
    """
    count = 0
    for line in export_lines(log, with_secrets=with_secrets):
        out.write(line + b"\n")
        count += line.startswith(b'{"position"')
    return count


def import_file(path: Path, source: BinaryIO) -> int:
    """Read an export into a database that holds nothing yet; the number of events.

    The caller holds the database's lock. Conflict if it is not empty, Refused for a file that is no
    export, is of another schema, or is cut short; nothing is written then.
    """
    with fill_whole_file(path) as log:
        return import_lines(log, source)


def export_lines(log: WholeLog, *, with_secrets: bool) -> Iterator[bytes]:
    """The log as it stands now, whatever is written meanwhile."""
    (events,) = log.execute("SELECT count(*) FROM events").fetchone()
    header = {
        "format": _FORMAT,
        "schema": log.version(),
        **log.meta(),
        "events": events,
    }
    yield to_json(header).encode()
    there = log.tables()
    for table, order in ORDERS.items():
        if table not in there:
            continue
        names, rows = log.rows(table, order)
        for row in rows:
            values = dict(zip(names, row, strict=True))
            if table == "specs" and not with_secrets:
                _leave_out(values)
            if table == "callers":
                # Whose run it was had an environment; what it held is nobody else's business.
                values["environment"] = None
            texts = {name: _to_text(value) for name, value in values.items()}
            yield to_json({"table": table, "row": texts}).encode()
    for row in log.events():
        yield recorded(row).wire()


def import_lines(log: FillableLog, lines: Iterable[bytes]) -> int:
    """Read an export into a log within the transaction that fills it; see `import_file`."""
    source = iter(lines)
    check_empty(log)
    try:
        header = _read_header(source)
        _take_header(log, header)
        for table in ORDERS:
            log.execute(f"DELETE FROM {table}")
        events = _read_rows(log, source)
        if events != header["events"]:
            raise Refused("import", f"holds {events} of {header['events']} events")
        # An export has no environments, whoever wrote it.
        log.execute("UPDATE callers SET environment = NULL")
        _check_read(log)
    except _DAMAGE as error:
        raise Refused("import", f"is damaged: {error}") from error
    except Exception as error:
        if log.refuses(error):
            raise Refused("import", f"is damaged: {error}") from error
        raise
    return events


def check_empty(log: WholeLog) -> None:
    """Conflict unless nothing was ever recorded in it."""
    (runs,) = log.execute("SELECT count(*) FROM runs WHERE key > 0").fetchone()
    if log.meta()["head"] or runs:
        raise Conflict(
            "the log is not empty; a whole one is read into an empty one only"
        )


def _take_header(log: FillableLog, header: dict[str, Any]) -> None:
    for name in ("epoch", "head", "floor"):
        log.set_meta(name, header[name])
    # An older log has none: its runs have the highest number.
    if isinstance(numbered := header.get("numbered"), int):
        log.set_meta("numbered", numbered)
    # Of a log whose epoch has changed: the marks of it still know this one.
    if "log" in header:
        log.set_meta("log", header["log"])


def _check_read(log: FillableLog) -> None:
    """LogDamaged, Refused unless what was written can be read."""
    log.meta()
    for table in ORDERS:
        if odd := log.odd_value(table):
            raise Refused("import", f"has {odd}")
    for (state,) in log.execute("SELECT DISTINCT state FROM runs WHERE key > 0"):
        if state not in STATES:
            raise Refused("import", f"has a run in the unknown state {state!r}")
    for columns in log.runs():
        run_row(columns)
    for columns in log.heads():
        head_of(columns)


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


def _read_rows(log: FillableLog, source: Iterator[bytes]) -> int:
    """Write the rows of all tables, those of the events last; how many these are."""
    events = 0
    parsed = (
        (json.loads(line, parse_constant=_refuse_constant), line) for line in source
    )
    for table, lines in groupby(parsed, lambda one: one[0].get("table")):
        while some := list(islice(lines, _AT_ONCE)):
            if table is None:
                events += _insert_events(log, some)
            else:
                _insert(log, table, [data["row"] for data, _ in some])
    return events


def _refuse_constant(name: str) -> float:
    """NaN and the infinities are no JSON, and NaN would be taken for no number at all."""
    raise ValueError(f"{name} is no number")


def _insert(log: FillableLog, table: str, rows: list[dict[str, Any]]) -> None:
    known = log.columns(table) if table in ORDERS else []
    rows = [{**newer_columns(table), **row} for row in rows]
    if not known or any(sorted(row) != sorted(known) for row in rows):
        raise Refused("import", f"has rows this version does not know ({table})")
    values = [[_from_text(row[name]) for name in known] for row in rows]
    log.insert(table, known, values)


def _insert_events(
    log: FillableLog, some: Sequence[tuple[dict[str, Any], bytes]]
) -> int:
    ids = list({data["run_id"] for data, _ in some})
    marks = ", ".join("?" * len(ids))
    sql = f"SELECT run_id, key FROM runs WHERE run_id IN ({marks})"
    keys = dict(log.execute(sql, ids).fetchall())
    rows = [_event_row(keys, data, line) for data, line in some]
    return log.insert("events", EVENT_COLUMNS, rows)


def _event_row(
    keys: dict[str, int], data: dict[str, Any], line: bytes
) -> tuple[Any, ...]:
    if data["run_id"] not in keys:
        raise Refused("import", f"has an event of the unknown run {data['run_id']!r}")
    # The fact byte for byte: quotes within the texts before it are escaped, so this is its start.
    body = line.rstrip().split(b',"event":', 1)[1][:-1]
    cause = data["causation_id"]
    if type(data["position"]) is not int or type(data["sequence"]) is not int:
        raise Refused("import", "has an event whose place is no whole number")
    columns = (
        data["position"], keys[data["run_id"]], data["sequence"], UUID(data["event_id"]).bytes,
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
