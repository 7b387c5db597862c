"""The tables of schedules, and of slots that were given at run time."""

from __future__ import annotations

import json
from collections.abc import Mapping

from penstock.log.kept import ScheduleRow
from penstock.log.new_events import encode_within
from penstock.log.results import Appended
from penstock.log.tables.db import Statements
from penstock.log.tables.rows import BOX_OF, group_key, group_of_key, to_json, to_micros
from penstock.log.tables.transaction import Transaction
from penstock.log.writes import AdvanceSchedule, RemoveSchedule, SetSchedule, SetSlots
from penstock.words.errors import Conflict, ScheduleNotFound
from penstock.words.events import (
    AnyEvent,
    ScheduleRemoved,
    ScheduleSet,
    ScheduleSkipped,
    SlotsChanged,
)
from penstock.words.surroundings import Surroundings
from penstock.words.values import to_moment

_COLUMNS = "name, timing, zone, request, shown, made_at, due, last_run, skipped, umask, environ, origin"
_ANEW = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS.split(", ")[1:])
_GIVE = (
    "INSERT INTO slots (name, slots) VALUES (?, ?)"
    " ON CONFLICT (name) DO UPDATE SET slots = excluded.slots"
)


def find_schedules(db: Statements) -> list[ScheduleRow]:
    """All schedules, by name."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM schedules ORDER BY name")
    return [
        ScheduleRow(
            name,
            timing,
            zone,
            request,
            json.loads(shown),
            to_moment(made_at),
            to_moment(due),
            last_run,
            skipped,
            None if environ is None else Surroundings(environ, umask),
            origin,
        )
        for name, timing, zone, request, shown, made_at, due, last_run, skipped, umask, environ, origin in rows
    ]


def find_slots(db: Statements) -> Mapping[str | None, int]:
    """The slots that were given, by group; None is the whole queue."""
    rows = db.execute("SELECT name, slots FROM slots").fetchall()
    return {
        group_of_key(name): slots for name, slots in rows if not name.startswith(BOX_OF)
    }


def find_box_slots(db: Statements) -> Mapping[str, int]:
    """Those of the queue that were given to a box."""
    rows = db.execute("SELECT name, slots FROM slots").fetchall()
    return {
        name.removeprefix(BOX_OF): slots
        for name, slots in rows
        if name.startswith(BOX_OF)
    }


def set_schedule(transaction: Transaction, write: SetSchedule) -> Appended:
    """Make a schedule, or change it as a whole."""
    row, given = write.row, write.row.surroundings
    names = {name for (name,) in transaction.db.execute("SELECT name FROM schedules")}
    if row.name in names and not write.replace:
        why = f"there is a schedule {row.name!r} already; `--replace` (over HTTP `replace`) changes it"
        raise Conflict(why)
    if row.name not in names and len(names) >= write.capacity:
        raise Conflict(f"there are {len(names)} schedules already")
    event = ScheduleSet(
        name=row.name,
        timing=row.timing,
        zone=row.zone,
        kind=write.kind,
        inputs=dict(row.shown),
        due=row.due,
    )
    encode_within(event, "run.inputs")
    transaction.writes += 1
    transaction.db.execute(
        f"INSERT INTO schedules ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        f" ON CONFLICT (name) DO UPDATE SET {_ANEW}",
        (
            row.name, row.timing, row.zone, row.request, to_json(dict(row.shown)),
            to_micros(row.made_at), to_micros(row.due), row.last_run, row.skipped,
            None if given is None else given.umask, None if given is None else given.environ,
            row.origin,
        ),
    )  # fmt: skip
    return _told(transaction, event, write)


def remove_schedule(transaction: Transaction, write: RemoveSchedule) -> Appended:
    """Forget a schedule. ScheduleNotFound."""
    sql = "SELECT 1 FROM schedules WHERE name = ?"
    if transaction.db.execute(sql, (write.name,)).fetchone() is None:
        raise ScheduleNotFound(f"there is no schedule {write.name!r}", name=write.name)
    transaction.writes += 1
    transaction.db.execute("DELETE FROM schedules WHERE name = ?", (write.name,))
    return _told(transaction, ScheduleRemoved(name=write.name), write)


def advance_schedule(transaction: Transaction, write: AdvanceSchedule) -> Appended:
    """Go on to the next due time, unless the schedule has done so or was changed meanwhile."""
    sql = "SELECT due FROM schedules WHERE name = ?"
    found = transaction.db.execute(sql, (write.name,)).fetchone()
    if found is None or found[0] != to_micros(write.due):
        return Appended()
    transaction.writes += 1
    following = to_micros(write.following)
    if not write.skipped:
        sql = "UPDATE schedules SET due = ?, last_run = ? WHERE name = ?"
        transaction.db.execute(sql, (following, write.run_id, write.name))
        return Appended()
    sql = "UPDATE schedules SET due = ?, skipped = skipped + 1 WHERE name = ?"
    transaction.db.execute(sql, (following, write.name))
    event = ScheduleSkipped(name=write.name, due=write.due, reason=write.skipped)
    return _told(transaction, event, write)


def set_slots(transaction: Transaction, write: SetSlots) -> Appended:
    """Give other slots to the queue or to a group; what is so already is no new fact."""
    name = f"{BOX_OF}{write.box}" if write.box else group_key(write.group)
    sql = "SELECT slots FROM slots WHERE name = ?"
    found = transaction.db.execute(sql, (name,)).fetchone()
    if (None if found is None else found[0]) == write.slots:
        return Appended()
    if write.first and found is not None:
        return Appended()
    transaction.writes += 1
    if write.slots is None:
        transaction.db.execute("DELETE FROM slots WHERE name = ?", (name,))
    else:
        values = (name, write.slots)
        transaction.db.execute(_GIVE, values)
    event = SlotsChanged(group=write.group, slots=write.slots, box=write.box)
    return _told(transaction, event, write)


def _told(
    transaction: Transaction,
    event: AnyEvent,
    write: SetSchedule | RemoveSchedule | AdvanceSchedule | SetSlots,
) -> Appended:
    """The fact about the daemon that says what was done."""
    return Appended((transaction.make(transaction.daemon(), event, write.at),))
