"""Admission: the first of the four places where backpressure lives.

A FIFO line in memory, before anything is recorded. Tickets are what the queue has room for, less
the submits that are on their way into it. While a line exists a new submit joins its end or is
told that the queue is full; none overtakes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from penstock.words.errors import QueueFull, ShuttingDown


@dataclass(frozen=True, slots=True)
class AdmissionStatistics:
    """`waiting` of at most `max_waiting` submits stand in line; `entering` have a ticket."""

    waiting: int
    max_waiting: int
    entering: int


@dataclass(eq=False, slots=True)
class Admission:
    """Lets submits into a queue of `capacity` runs, of which `queued()` are there now."""

    capacity: int
    max_waiting: int
    queued: Callable[[], int]
    #: Why nobody is let in any more; None: the line is open.
    closed: str | None = None
    _entering: int = 0
    _line: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    @asynccontextmanager
    async def open_ticket(self, *, wait: bool) -> AsyncIterator[None]:
        """Hold room for one run.

        QueueFull without `wait`, or when the line itself is full; ShuttingDown once it is closed.
        """
        if self.closed is None and (self._line or self._free() <= 0):
            await self._stand_in_line(wait=wait)
        else:
            self._entering += 1
        try:
            # Who was cancelled in the moment in which it was woken must not submit.
            await trio.lowlevel.checkpoint_if_cancelled()
            if self.closed is not None:
                raise ShuttingDown(f"the daemon is stopping: {self.closed}")
            yield
        finally:
            self._entering -= 1
            self.settle()

    async def _stand_in_line(self, *, wait: bool) -> None:
        if not wait:
            raise QueueFull
        if len(self._line) >= self.max_waiting:
            raise QueueFull(f"{self.max_waiting} submits wait for room already")
        # Who is woken was handed a ticket by `settle`, so nobody can take it in between; once
        # woken, park() returns even if a cancel came meanwhile.
        await self._line.park()

    def settle(self) -> None:
        """Hand the free tickets to the first in line. Called whenever the queue may have room."""
        free = min(self._free(), len(self._line))
        if free > 0:
            self._entering += free
            self._line.unpark(count=free)

    def close(self, reason: str) -> None:
        """Let nobody in any more; who stands in line is told so."""
        self.closed = reason
        self._entering += len(self._line)
        self._line.unpark_all()

    def _free(self) -> int:
        return self.capacity - self.queued() - self._entering

    @property
    def waiting(self) -> int:
        """Submits that stand in line."""
        return len(self._line)

    def statistics(self) -> AdmissionStatistics:
        return AdmissionStatistics(len(self._line), self.max_waiting, self._entering)
