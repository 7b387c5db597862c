"""How full the buffers are: noted in the log when a mark is crossed, and a snapshot for every surface."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import trio

from penstock.runs.submit import Admission
from penstock.runs.table import RunTable
from penstock.runs.watermark import Gauge, Level, sample
from penstock.words.events import BackpressureCleared, BackpressureRaised
from penstock.words.lifecycle import QUEUED_STATES, SLOT_STATES
from penstock.words.priority import Priority

_log = logging.getLogger("penstock.runs")

Note = Callable[[str, BackpressureRaised | BackpressureCleared], None]


@dataclass(eq=False, slots=True)
class Gauges:
    """Samples named readings when something may have changed, and when a change is due."""

    readings: Mapping[str, Callable[[], Level]]
    note: Note
    _gauges: dict[str, Gauge] = field(default_factory=dict)
    #: Those that could not be read the last time.
    _unread: set[str] = field(default_factory=set)
    # When a change that came too soon after the last one is to be noted.
    _due: float | None = None
    _due_changed: trio.Event = field(default_factory=trio.Event)

    def touch(self) -> None:
        """Sample: something may have changed. Cheap, since it is called after every commit."""
        now = trio.current_time()
        due = None
        for name, reading in self.readings.items():
            before = self._gauges.get(name) or Gauge(name)
            gauge, edge = sample(before, self._read(name, reading), now=now)
            if gauge is not before:
                self._gauges[name] = gauge
            if edge is not None:
                self.note(f"backpressure {name}", edge)
            if gauge.due_at is not None:
                due = gauge.due_at if due is None else min(due, gauge.due_at)
        if due != self._due:
            self._due = due
            self._due_changed.set()

    def _read(self, name: str, reading: Callable[[], Level]) -> Level | None:
        """The reading; None if there is none, which is told once and harms no commit."""
        try:
            level = reading()
        except Exception as error:  # noqa: BLE001
            if name not in self._unread:
                self._unread.add(name)
                _log.error("the gauge %s cannot be read: %r", name, error)
            return None
        self._unread.discard(name)
        return level

    async def watch(self) -> None:
        """The task that samples again when a change is due; until cancelled."""
        self.touch()
        while True:
            with trio.CancelScope() as scope:
                if self._due is not None:
                    scope.deadline = self._due
                await self._due_changed.wait()
            self._due_changed = trio.Event()
            if scope.cancelled_caught:
                self.touch()


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """A snapshot; reading it waits for nothing."""

    queued: int
    capacity: int
    queued_by_priority: dict[str, int]
    running: int
    slots: int
    parked: int
    waiting_submits: int
    late_outcomes: int
    open_runs: int
    #: What is paused and why; a group of None is the whole queue.
    paused: tuple[dict[str, str | None], ...] = ()
    #: What is drained.
    draining: tuple[str | None, ...] = ()
    #: Boxes that start nothing more.
    drained_boxes: tuple[str, ...] = ()
    #: Runs that have slots of other boxes.
    elsewhere: int = 0
    #: By configured group: its slots, how many runs execute in it, how many queue.
    groups: dict[str, dict[str, int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def take_statistics(table: RunTable, admission: Admission) -> QueueStatistics:
    """The snapshot of now."""
    queue = table.queue
    return QueueStatistics(
        queued=queue.queued,
        capacity=admission.capacity,
        queued_by_priority={p.name: queue.queued_by_priority[p] for p in Priority},
        # Those of this box, as its slots are; what others execute is told with them.
        running=table.running,
        slots=table.slots,
        parked=queue.waiting,
        waiting_submits=admission.waiting,
        late_outcomes=table.late_outcomes,
        open_runs=len(table.views),
        paused=tuple(
            {"group": group, "reason": reason} for group, reason in table.paused.items()
        ),
        draining=tuple(table.draining),
        drained_boxes=tuple(sorted(table.drained)),
        elsewhere=table.elsewhere,
        groups=_count_groups(table),
    )


def _count_groups(table: RunTable) -> dict[str, dict[str, int]]:
    groups = {
        name: {"slots": slots, "running": 0, "queued": 0}
        for name, slots in table.group_slots.items()
    }
    if groups:
        for view in table.views.values():
            counts = groups.get(view.group or "")
            if counts is not None and view.state in SLOT_STATES:
                counts["running"] += 1
            elif counts is not None and view.state in QUEUED_STATES:
                counts["queued"] += 1
    return groups
