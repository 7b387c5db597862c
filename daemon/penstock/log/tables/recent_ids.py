"""The newest event ids, and where their facts stand: what tells new facts without asking the tables."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class RecentIds:
    """Which of the newest ids was recorded where: the daemon's own ids grow with time, nearly.

    Every recorded id is among those kept here or not above `floor`. So an id above it that is not kept
    is new, and the tables are asked about the others alone.
    """

    #: Ids kept: those of the last second of a busy daemon.
    most = 8192

    def __init__(self, floor: bytes) -> None:
        self.floor = floor
        self._positions: dict[bytes, int] = {}
        # In the order of recording: the first of a dict is slow to find once many before it are gone.
        self._order: deque[bytes] = deque()

    def add(self, event_id: bytes, position: int) -> None:
        """An id that is recorded from now on."""
        self._positions[event_id] = position
        self._order.append(event_id)
        if len(self._order) > self.most:
            oldest = self._order.popleft()
            del self._positions[oldest]
            self.floor = max(self.floor, oldest)

    def look_up(
        self, ids: Iterable[bytes]
    ) -> tuple[list[tuple[bytes, int]], list[bytes]]:
        """Those that are known, with their positions, and those that only the tables know of."""
        known: list[tuple[bytes, int]] = []
        unsure: list[bytes] = []
        for event_id in ids:
            if (position := self._positions.get(event_id)) is not None:
                known.append((event_id, position))
            elif event_id <= self.floor:
                unsure.append(event_id)
        return known, unsure
