"""The laws of runs that wait: for a moment, another try, a schedule, or for somebody who paused them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from penstock.log.tables.schedules import find_schedules
from penstock.runs.schedules import SCHEDULE_LABEL
from penstock.words.events import (
    DAEMON_STREAM,
    TERMINAL_TYPES,
    QueuePaused,
    QueueResumed,
    RunQueued,
    RunRearranged,
    RunRequeued,
    RunWaiting,
    ScheduleSet,
)
from penstock.words.lifecycle import PAUSED, QUEUED_STATES, next_state
from penstock.words.recorded import Recorded
from penstock_drills.simulator import Stage

#: Virtual seconds by which a schedule may be late where nothing keeps it.
LATE_SECONDS = 1.0

_STARTS = frozenset({"run.started", "run.resumed"})


@dataclass(slots=True)
class _Wait:
    """What holds a run back, by what its facts have said so far."""

    state: Any = None
    not_before: datetime | None = None
    stashed: bool = False
    group: str | None = None
    retries: int = 0
    retried: int = 0


@dataclass(slots=True)
class _Waits:
    """Reads a log from its beginning, and says what a run did that should have waited."""

    runs: dict[str, _Wait] = field(default_factory=dict)
    paused: set[str | None] = field(default_factory=set)
    #: The run of each schedule that has not ended, and the schedule of each such run.
    open_of: dict[str, str] = field(default_factory=dict)
    schedule_of: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def take(self, fact: Recorded) -> None:
        if fact.run_id == DAEMON_STREAM:
            self._take_own(fact.event)
            return
        wait = self.runs.setdefault(fact.run_id, _Wait())
        if fact.type in _STARTS and wait.state in QUEUED_STATES:
            self._check_start(fact, wait)
            wait.not_before = None
        elif isinstance(fact.event, RunQueued):
            self._queued(fact, wait, fact.event)
        elif isinstance(fact.event, RunRequeued):
            self._requeued(fact, wait, fact.event)
        elif isinstance(fact.event, RunWaiting):
            if wait.state == PAUSED and fact.event.kind != "restart":
                self.broken.append(f"{fact.run_id} gave its slot away while paused")
        elif isinstance(fact.event, RunRearranged):
            if fact.event.stashed is not None:
                wait.stashed = fact.event.stashed
                wait.not_before = fact.event.not_before
        elif fact.type in TERMINAL_TYPES:
            name = self.schedule_of.pop(fact.run_id, "")
            if self.open_of.get(name) == fact.run_id:
                del self.open_of[name]
        wait.state = next_state(wait.state, fact.type)

    def _take_own(self, event: Any) -> None:
        if isinstance(event, QueuePaused):
            self.paused.add(event.group)
        elif isinstance(event, QueueResumed):
            self.paused.discard(event.group)
        elif isinstance(event, ScheduleSet):
            # It begins anew, and waits for no run of what it was.
            self.open_of.pop(event.name, None)

    def _queued(self, fact: Recorded, wait: _Wait, event: RunQueued) -> None:
        wait.not_before, wait.stashed = event.not_before, event.stashed
        wait.group, wait.retries = event.group, event.retries
        if (name := event.labels.get(SCHEDULE_LABEL)) is None:
            return
        if (other := self.open_of.get(name)) is not None:
            self.broken.append(f"{fact.run_id} came while {other} was open")
        self.open_of[name], self.schedule_of[fact.run_id] = fact.run_id, name

    def _requeued(self, fact: Recorded, wait: _Wait, event: RunRequeued) -> None:
        if wait.state == PAUSED and event.reason != "retry" and not event.stashed:
            self.broken.append(f"{fact.run_id} was paused, and goes on by itself")
        wait.not_before, wait.stashed = event.not_before, event.stashed
        wait.retried += event.reason == "retry"
        if wait.retried > wait.retries:
            self.broken.append(f"{fact.run_id} is tried {wait.retried} times more")

    def _check_start(self, fact: Recorded, wait: _Wait) -> None:
        if wait.stashed:
            self.broken.append(f"{fact.run_id} was started while it was put aside")
        if wait.not_before is not None and fact.at < wait.not_before:
            self.broken.append(f"{fact.run_id} was started before its time")
        if self.paused & {None, wait.group}:
            self.broken.append(f"{fact.run_id} was started while the queue was paused")


def check_waits(stage: Stage, log: Iterable[Recorded], run_ids: Iterable[str]) -> None:
    """What must hold at every moment, after a kill too."""
    waits = _Waits()
    for fact in log:
        waits.take(fact)
    stage.broken += waits.broken
    known = set(run_ids)
    for row in find_schedules(stage.db):
        if row.last_run is not None and row.last_run not in known:
            stage.broken.append(f"the run {row.last_run} of {row.name} was not made")


def check_calm(stage: Stage) -> None:
    """Programs stand exactly where their runs are paused, and no schedule is forgotten."""
    if stage.doubtful:
        return
    core, processes = stage.core, stage.processes
    for pid, run_id in processes.alive.items():
        view = core.table.views.get(run_id)
        paused = view is not None and view.state == PAUSED
        if paused != (pid in processes.stopped):
            stage.broken.append(
                f"{run_id} is {'' if paused else 'not '}paused, and its program "
                f"{'goes on' if paused else 'stands'}"
            )
    full = core.table.queue.queued >= stage.config.queue_capacity
    # A task that failed with its store is begun again after a pause of its own.
    faulty = stage.store is not None and stage.store.fault is not None
    if full or faulty or not (stage.undisturbed or stage.lives > 1):
        return
    late = core.now() - timedelta(seconds=LATE_SECONDS)
    for row in find_schedules(stage.db):
        if row.due < late:
            stage.broken.append(f"the schedule {row.name} was due {row.due}")
