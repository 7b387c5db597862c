"""The newest event ids, and where their facts stand: what tells new facts without asking the tables."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from penstock.log.tables.db import Statements


class RecentIds:
    """Which of the newest ids was recorded where: the daemon's own ids grow with time, nearly.

    Every recorded id is among those kept here or not above `floor`. So an id above it that is not kept
    is new, and the tables are asked about the others alone. What other daemons recorded is not kept: to ask
    about the few ids of a commit is less work than to read those of everybody's.
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

    def pass_over(self, highest: bytes) -> None:
        """Ids were recorded that are not kept, none of them above this one."""
        self.floor = max(self.floor, highest)

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


def find_positions(db: Statements, ids: Sequence[bytes]) -> list[tuple[bytes, int]]:
    """Those of these ids that the tables have, with their positions."""
    # A text for each number of ids would be as many statements to prepare.
    count = 1 << (len(ids) - 1).bit_length()
    sql = f"SELECT event_id, position FROM events WHERE event_id IN ({','.join('?' * count)})"
    found = db.execute(sql, (*ids, *[ids[-1]] * (count - len(ids)))).fetchall()
    return [(event_id, position) for event_id, position in found]
