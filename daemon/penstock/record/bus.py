"""The bus: one ring of recorded facts, a cursor per subscriber, one loop.

The publisher never waits and knows no subscriber's speed. A subscriber whose cursor lies inside the
ring takes a slice of it; below it, a page from the store. The store is never behind the ring, so
there is no seam between history and live, nothing is lost, and a slow reader costs a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import trio

from penstock.record.batches import (
    BusStatistics,
    History,
    Overflow,
    Page,
    SubscriberStatistics,
    batch_of,
)
from penstock.record.subscription import Subscription
from penstock.words.recorded import Recorded

# Trimming a list costs its length, so it is done once per so many facts.
_TRIM_EVERY = 256

# Readers that keep up stand at the same place; so many places are kept for them.
_SHARED_PAGES = 8


class Bus:
    """Publishes what the recorder committed. Only the recorder calls `publish` and `forget_below`."""

    def __init__(
        self,
        history: History,
        *,
        head: int,
        floor: int,
        ring_events: int,
        ring_bytes: int,
        frame_events: int,
        frame_bytes: int,
        now: Callable[[], datetime],
        on_drop: Callable[[str, int], None],
    ) -> None:
        self.history = history
        self.head = head
        self.floor = floor
        self.frame_events = frame_events
        self.frame_bytes = frame_bytes
        self._ring_events = ring_events
        self._ring_bytes = ring_bytes
        self._now = now
        self._on_drop = on_drop
        # Positions are dense, so the index of a fact is its position less that of the first.
        self._ring: list[Recorded] = []
        self._bytes = 0
        self._pages: dict[tuple[str | None, int], Page] = {}
        self._lots: dict[str | None, trio.lowlevel.ParkingLot] = {}
        self._subscriptions: set[Subscription] = set()
        self._dropped = 0

    @property
    def first(self) -> int:
        """The lowest position in the ring; head + 1 when it is empty."""
        return self.head - len(self._ring) + 1

    def publish(self, facts: Sequence[Recorded]) -> None:
        """Take facts into the ring, in position order, and wake who waits for them."""
        if not facts:
            return
        self._pages.clear()
        self._ring.extend(facts)
        self.head = facts[-1].position
        self._bytes += sum(len(fact.body) for fact in facts)
        self._trim()
        for key in {fact.run_id for fact in facts} | {None}:
            if lot := self._lots.get(key):
                lot.unpark_all()

    def forget_below(self, floor: int) -> None:
        """History below `floor` was pruned."""
        self.floor = max(self.floor, floor)

    def _trim(self) -> None:
        drop = 0
        if len(self._ring) > self._ring_events:
            spare = min(_TRIM_EVERY, self._ring_events // 2)
            drop = len(self._ring) - self._ring_events + spare
        size = self._bytes - sum(len(fact.body) for fact in self._ring[:drop])
        # The newest fact stays, however large: live readers must find it here.
        while size > self._ring_bytes and drop < len(self._ring) - 1:
            size -= len(self._ring[drop].body)
            drop += 1
        if drop:
            del self._ring[:drop]
            self._bytes = size

    def page_after(self, run_id: str | None, cursor: int) -> Page:
        """The next facts above a cursor inside the ring; made once for all who stand there."""
        page = self._pages.get((run_id, cursor))
        if page is None:
            if len(self._pages) >= _SHARED_PAGES:
                self._pages.clear()
            page = self._pages[run_id, cursor] = self._make_page(run_id, cursor)
        return page

    def _make_page(self, run_id: str | None, cursor: int) -> Page:
        facts: list[Recorded] = []
        size = 0
        for index in range(max(cursor + 1 - self.first, 0), len(self._ring)):
            fact = self._ring[index]
            if run_id is None or fact.run_id == run_id:
                size += len(fact.body)
                if facts and size > self.frame_bytes:
                    break
                facts.append(fact)
            cursor = fact.position
            if len(facts) >= self.frame_events:
                break
        if not facts:
            return Page(None, cursor)
        live = cursor >= self.head
        return Page(batch_of(tuple(facts), run_id, live=live), cursor)

    async def wait_published(self, run_id: str | None) -> None:
        """Wait until a fact of the run, or of any run for None, is published."""
        lot = self._lots.get(run_id)
        if lot is None:
            lot = self._lots[run_id] = trio.lowlevel.ParkingLot()
        try:
            await lot.park()
        finally:
            # One that woke before us may wait again already, in a lot of its own.
            if not lot and self._lots.get(run_id) is lot:
                del self._lots[run_id]

    @contextmanager
    def subscribe(
        self,
        run_id: str | None,
        after: int,
        *,
        overflow: Overflow = "catch_up",
        name: str = "",
        kind: str = "internal",
    ) -> Iterator[Subscription]:
        """A reader of one run's facts, or of all, above the position `after`."""
        subscription = Subscription(
            self,
            run_id,
            max(after, 0),
            overflow=overflow,
            name=name,
            kind=kind,
            since=self._now(),
        )
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def dropped(self, name: str, missed: int, count: int) -> None:
        """A subscriber's policy let it skip facts, `count` by now; the daemon's stream tells it."""
        self._dropped += missed
        self._on_drop(name, count)

    def subscribers(self) -> list[SubscriberStatistics]:
        """Every subscriber, the one furthest behind first."""
        rows = [s.statistics() for s in self._subscriptions]
        return sorted(rows, key=lambda row: row.lag, reverse=True)

    def statistics(self) -> BusStatistics:
        return BusStatistics(
            self.head,
            len(self._ring),
            self._bytes,
            len(self._subscriptions),
            self._dropped,
        )
