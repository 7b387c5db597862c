"""Gauges: how full the buffers are, noted in the log once when a mark is crossed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import trio

from penstock.runs.watermark import Gauge, Level, sample
from penstock.words.events import BackpressureCleared, BackpressureRaised

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
