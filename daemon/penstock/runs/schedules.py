"""Schedules: what is run again and again, and the one run that each due time makes.

The id of such a run is made of the schedule's name and the due time, and a schedule moves on only once
its run is in the log: however often a daemon dies in between, there is one. Due times that passed while no
daemon ran are made up for by one run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import trio
from pydantic import ValidationError

from penstock.log.kept import ScheduleRow
from penstock.log.recorder import Recorder
from penstock.log.store import Store
from penstock.log.writes import AdvanceSchedule, RemoveSchedule, SetSchedule
from penstock.runs.alarm import LOOK_SECONDS, wait_moment
from penstock.runs.submit import Provenance, Submitter
from penstock.runs.timing import check_timing, next_due
from penstock.words.api import ScheduleRequest, SubmitRequest, refused
from penstock.words.errors import (
    NotAvailable,
    PenstockError,
    QueueFull,
    Refused,
    ShuttingDown,
    StoreUnavailable,
)
from penstock.words.events import AnyEvent, ScheduleRemoved, ScheduleSet
from penstock.words.surroundings import Surroundings

log = logging.getLogger("penstock.run")

#: Schedules at most: each is looked at again and again.
MOST_SCHEDULES = 1000
#: The label by which the runs of a schedule are found.
SCHEDULE_LABEL = "schedule"

# What may be otherwise in a moment: the due time waits.
_PASSING = (QueueFull, NotAvailable, ShuttingDown, StoreUnavailable)


def run_id_of(name: str, due: datetime) -> str:
    """The id of the one run that this schedule makes for this due time."""
    return f"{name}@{due.astimezone(UTC):%Y%m%dT%H%M%SZ}"


@dataclass(eq=False, slots=True)
class Schedules:
    """Sets schedules, and submits what is due."""

    recorder: Recorder
    store: Store
    submitter: Submitter
    is_open: Callable[[str], bool]
    now: Callable[[], datetime]
    _changed: trio.Event = field(default_factory=trio.Event)
    #: Why schedules wait whose time has come, by name; each is tried every few seconds, and told once.
    _waiting: dict[str, str] = field(default_factory=dict)

    async def set(
        self, request: ScheduleRequest, surroundings: Surroundings | None
    ) -> ScheduleRow:
        """Make a schedule. Refused names the field; Conflict if there is one of this name.

        With `replace` that one is changed, and begins anew.
        """
        check_timing(request.timing, request.zone)
        now = self.now()
        due = next_due(request.timing, request.zone, made_at=now, after=now)
        wanted = _request_of(request, due)
        placed = dict(self.submitter.placed(wanted, surroundings))
        wanted = wanted.model_copy(update={"inputs": placed})
        spec = self.submitter.check(wanted, surroundings)
        # Which box submits its runs is nobody's choice: they are pinned where this one would be.
        wanted = wanted.model_copy(update={"needs": dict(spec.needs)})
        row = ScheduleRow(
            name=request.name,
            timing=request.timing,
            zone=request.zone,
            request=wanted.model_dump_json(exclude={"run_id"}),
            shown=spec.shown,
            made_at=now,
            due=due,
            surroundings=spec.surroundings,
            origin=spec.origin,
        )
        await self.recorder.record(
            SetSchedule(row, now, spec.kind, MOST_SCHEDULES, request.replace)
        )
        return row

    async def remove(self, name: str) -> None:
        """Make no more runs of it; those there are go on. ScheduleNotFound."""
        await self.recorder.record(RemoveSchedule(name, self.now()))

    def follow(self, event: AnyEvent) -> None:
        """Told of each fact about the daemon as it is committed."""
        if isinstance(event, ScheduleSet | ScheduleRemoved):
            self._waiting.pop(event.name, None)
            self._changed.set()

    async def rows(self) -> list[ScheduleRow]:
        """All of them, by name."""
        return await self.store.schedules()

    async def watch(self) -> None:
        """The task that submits what is due; until cancelled."""
        while True:
            # Read again only when they have changed: a look at the clock asks nobody.
            self._changed = trio.Event()
            rows = await self.store.schedules()
            while not self._changed.is_set():
                due = [row for row in rows if row.due <= self.now()]
                for row in due:
                    if await self._make_up(row):
                        self._changed.set()
                if not self._changed.is_set():
                    await wait_moment(self._left(rows), self._changed)

    def _left(self, rows: list[ScheduleRow]) -> float | None:
        """Seconds until something is due; None without schedules."""
        if not rows:
            return None
        left = (min(row.due for row in rows) - self.now()).total_seconds()
        # What is due and could not be is tried again then.
        return left if left > 0 else LOOK_SECONDS

    async def _make_up(self, row: ScheduleRow) -> bool:
        """Submit the run of a due time and go on to the next one; False if that must wait."""
        run_id, skipped, now = run_id_of(row.name, row.due), "", self.now()
        try:
            following = next_due(row.timing, row.zone, made_at=row.made_at, after=now)
        except Refused as error:
            # The box has lost its zone, say; the other schedules are due all the same.
            return self._wait_with(row.name, error)
        if row.last_run is not None and self.is_open(row.last_run):
            skipped = f"its last run {row.last_run} is open"
        else:
            try:
                await self._submit(row, run_id)
            except _PASSING as error:
                return self._wait_with(row.name, error)
            except PenstockError as error:
                skipped = str(error)
        if skipped:
            log.warning("the schedule %s is passed over: %s", row.name, skipped)
        await self.recorder.record(
            AdvanceSchedule(row.name, now, row.due, following, run_id, skipped)
        )
        self._waiting.pop(row.name, None)
        return True

    def _wait_with(self, name: str, error: PenstockError) -> bool:
        """Say why the due time must wait; False, as it does."""
        if self._waiting.get(name) != str(error):
            self._waiting[name] = str(error)
            log.warning("the schedule %s waits: %s", name, error)
        return False

    async def _submit(self, row: ScheduleRow, run_id: str) -> None:
        try:
            request = SubmitRequest.model_validate_json(row.request)
        except ValidationError as error:
            # It was accepted by an older daemon, which asked for less.
            raise refused(error, at="run") from None
        request = request.model_copy(update={"run_id": run_id})
        source = Provenance(row.origin, row.origin) if row.origin else None
        await self.submitter.submit(
            request, surroundings=row.surroundings, source=source
        )


def _request_of(request: ScheduleRequest, due: datetime) -> SubmitRequest:
    """What each run is asked for. Refused where a run of its own would be, and for a moment."""
    run = request.run
    for name in ("run_id", "not_before", "after"):
        if getattr(run, name):
            raise Refused(f"run.{name}", "is not for a run that comes again and again")
    fields: dict[str, Any] = run.model_dump(exclude={"caller"})
    fields["labels"] = {**run.labels, SCHEDULE_LABEL: request.name}
    fields["run_id"] = run_id_of(request.name, due)
    return SubmitRequest.model_validate(fields)
