"""From how full a buffer is to what the log says about it.

A gauge is raised at 80 %, is critical at 100 %, and clears only below 75 %: between the marks it
stays as it was noted, so a buffer that swings around one mark is noted once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from penstock.words.events import BackpressureCleared, BackpressureRaised


@dataclass(frozen=True, slots=True)
class Marks:
    """Where a gauge changes, in fractions of its capacity, and how often it may say so."""

    #: There is still time to act.
    raised: float = 0.80
    #: Whoever comes next waits or is refused.
    critical: float = 1.00
    #: Far enough below `raised` that ordinary swinging does not clear it.
    cleared: float = 0.75
    #: Seconds between two events of one gauge: a person can read no more.
    seconds: float = 1.0


MARKS = Marks()


@dataclass(frozen=True, slots=True)
class Level:
    """How much of a buffer is used, in its own unit."""

    used: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Gauge:
    """What was last noted about one buffer. `noted_at` and `due_at` are of the caller's clock."""

    name: str
    level: Literal["warning", "critical"] | None = None
    noted_at: float | None = None
    #: A change came too soon after the last event; sample again at this moment to note it.
    due_at: float | None = None


Edge = BackpressureRaised | BackpressureCleared


def sample(
    gauge: Gauge, reading: Level | None, *, now: float, marks: Marks = MARKS
) -> tuple[Gauge, Edge | None]:
    """The gauge after this reading, and the event to record, if there is one.

    `now` is in seconds of a clock that never goes back. No reading: nothing changes.
    """
    if reading is None or reading.capacity <= 0:
        return gauge, None
    level = _level(gauge, reading, marks)
    if level == gauge.level:
        # Sampled after every commit, and nearly always nothing has changed.
        return gauge if gauge.due_at is None else replace(gauge, due_at=None), None
    if gauge.noted_at is not None and now < gauge.noted_at + marks.seconds:
        return replace(gauge, due_at=gauge.noted_at + marks.seconds), None
    noted = replace(gauge, level=level, noted_at=now, due_at=None)
    return noted, _edge(noted, reading)


def _level(
    gauge: Gauge, reading: Level, marks: Marks
) -> Literal["warning", "critical"] | None:
    fraction = reading.used / reading.capacity
    if fraction >= marks.critical:
        return "critical"
    if fraction < marks.cleared:
        return None
    if gauge.level is None and fraction >= marks.raised:
        return "warning"
    return gauge.level


def _edge(gauge: Gauge, reading: Level) -> Edge:
    if gauge.level is None:
        return BackpressureCleared(
            gauge=gauge.name, used=reading.used, capacity=reading.capacity
        )
    return BackpressureRaised(
        gauge=gauge.name,
        level=gauge.level,
        used=reading.used,
        capacity=reading.capacity,
    )
