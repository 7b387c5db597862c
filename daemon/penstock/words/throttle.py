"""When pieces of a growing text go out: the first at once, then at most one per interval.

A decision only: `now` is an argument, in seconds of any clock that does not run backwards. Joined,
what comes out is what went in, to the character.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ThrottleStatistics:
    """Characters held back now, and how many may be."""

    held: int
    capacity: int


class Throttle:
    """Coalesces pieces of one text."""

    def __init__(self, interval: float, capacity: int) -> None:
        """`interval` in seconds; `capacity` in characters, beyond which the throttle is full."""
        self._interval = interval
        self._capacity = capacity
        self._held: list[str] = []
        self._size = 0
        self._next: float | None = None

    def add(self, text: str, now: float) -> str:
        """Take a piece; the text to send now, empty when it is held for later."""
        if text:
            self._held.append(text)
            self._size += len(text)
        return self.take(now)

    def take(self, now: float) -> str:
        """The held text if it is due, else an empty one."""
        return self.flush(now) if self._next is None or self._next <= now else ""

    def flush(self, now: float) -> str:
        """The held text, due or not: for the end, and where a full throttle may not wait."""
        text = "".join(self._held)
        if text:
            self._held.clear()
            self._size = 0
            self._next = now + self._interval
        return text

    @property
    def due(self) -> float | None:
        """When the held text goes out, by the clock of `now`; None while nothing is held."""
        return self._next if self._held else None

    @property
    def full(self) -> bool:
        """Whether the source must wait until the held text went out."""
        return self._size >= self._capacity

    def statistics(self) -> ThrottleStatistics:
        """How much is held."""
        return ThrottleStatistics(self._size, self._capacity)
