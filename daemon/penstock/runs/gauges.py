"""Gauges: how full the four buffers are, told once when a mark is crossed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import trio

from penstock.events import BackpressureCleared, BackpressureRaised
from penstock.watermark import Gauge, Reading, sample

Tell = Callable[[str, BackpressureRaised | BackpressureCleared], None]


@dataclass(eq=False, slots=True)
class Gauges:
    """Samples named readings when something may have changed, and when a change is due."""

    readings: Mapping[str, Callable[[], Reading]]
    tell: Tell
    _gauges: dict[str, Gauge] = field(default_factory=dict)
    _touched: trio.Event = field(default_factory=trio.Event)

    def touch(self) -> None:
        """Something may have changed. Cheap: called after every commit."""
        self._touched.set()

    async def watch(self) -> None:
        """The task that samples; until cancelled."""
        while True:
            due = self._sample_all()
            with trio.CancelScope() as scope:
                if due is not None:
                    scope.deadline = due
                await self._touched.wait()
            self._touched = trio.Event()

    def _sample_all(self) -> float | None:
        now = trio.current_time()
        for name, reading in self.readings.items():
            gauge, edge = sample(
                self._gauges.get(name, Gauge(name)), reading(), now=now
            )
            self._gauges[name] = gauge
            if edge is not None:
                self.tell(f"backpressure {name}", edge)
        return min(
            (g.due_at for g in self._gauges.values() if g.due_at is not None),
            default=None,
        )
