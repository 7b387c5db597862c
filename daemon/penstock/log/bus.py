"""The bus: one ring of encoded events, a cursor per subscription, and batches in between.

A subscription's cursor inside the ring takes the slice; below it a page is read from the store; at
the head it parks. The store is never behind the ring, so there is no seam between history and live,
nothing is lost, memory is bounded, and whoever publishes never waits. What happens to a reader that
falls out of the ring is its own policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, Protocol
from uuid import UUID

import trio

from penstock.log.kept import RunRow
from penstock.words.errors import PenstockError
from penstock.words.events import TERMINAL_TYPES
from penstock.words.lifecycle import TERMINAL_STATES
from penstock.words.recorded import Recorded

Overflow = Literal["catch_up", "drop_oldest", "disconnect"]


class Lagged(PenstockError):
    """The subscriber fell behind the ring, and its policy is to be disconnected."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Positions `first` to `last` were not delivered.

    `put_back`: what the reader has from `first` on is not of this log, which was put back since, or
    is another one; what this log has there comes next.
    """

    first: int
    last: int
    put_back: bool = False

    @property
    def count(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Batch:
    """What a subscriber gets at once; readers that stand at the same place get the same one.

    `live`: nothing recorded so far is still to come; `last`: the run's end is in it.
    """

    facts: tuple[Recorded, ...] = ()
    gap: Gap | None = None
    live: bool = False
    last: bool = False
    _written: dict[Callable[[tuple[Recorded, ...]], bytes], bytes] = field(
        default_factory=dict, repr=False, compare=False
    )

    def written(self, write: Callable[[tuple[Recorded, ...]], bytes]) -> bytes:
        """What `write` makes of the facts; it is called once for all who got this batch.

        `write` is remembered with the batch, so it must be a function of a module.
        """
        data = self._written.get(write)
        if data is None:
            data = self._written[write] = write(self.facts)
        return data


def batch_of(facts: tuple[Recorded, ...], run_id: str | None, *, live: bool) -> Batch:
    """Facts for the readers of a run, or of all runs for None; after a run's end nothing comes."""
    last = run_id is not None and facts[-1].type in TERMINAL_TYPES
    return Batch(facts, None, live or last, last)


class Page(NamedTuple):
    """The next facts of the ring for a reader, None if none is for it, and its cursor after them."""

    batch: Batch | None
    cursor: int


@dataclass(frozen=True, slots=True)
class SubscriberStatistics:
    """One subscriber as `GET /clients` shows it; `lag` in positions."""

    name: str
    kind: str
    run_id: str | None
    cursor: int
    lag: int
    overflow: Overflow
    dropped: int
    since: datetime


@dataclass(frozen=True, slots=True)
class BusStatistics:
    """How full the ring is, and who reads it."""

    head: int
    ring_events: int
    ring_bytes: int
    subscribers: int
    #: Facts that all subscribers together were let miss so far.
    dropped: int


class EventReader(Protocol):
    """What the bus reads of the store."""

    async def read(
        self, run_id: str, after: int, limit: int, *, max_bytes: int
    ) -> list[Recorded]: ...

    async def read_all(
        self, after: int, limit: int, *, max_bytes: int
    ) -> list[Recorded]: ...

    async def run(self, run_id: str) -> RunRow | None: ...


# Trimming a list costs its length, so it is done once per so many facts.
_TRIM_EVERY = 256

# Readers that keep up stand at the same place; so many places are kept for them.
_SHARED_PAGES = 8


class Bus:
    """Publishes what the recorder committed. Only the recorder calls `publish` and `forget_below`."""

    def __init__(
        self,
        history: EventReader,
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

    @property
    def newest(self) -> Recorded | None:
        """The fact at the head; None while nothing was published in this life."""
        return self._ring[-1] if self._ring else None

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
        """What lies below `floor` was pruned."""
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

    async def find_put_back(self, after: int, after_id: UUID | None) -> Gap | None:
        """What a reader has up to the position `after` that this log does not hold; None: nothing.

        `after_id` is the fact that the reader had there, if it knows: a log that was put back and
        went on may be as long as before. A fact that is not kept any more is taken to be the same.
        """
        head = self.head
        if after > head:
            await trio.lowlevel.checkpoint()
            return Gap(head + 1, after, put_back=True)
        facts = await self.history.read_all(after - 1, 1, max_bytes=1)
        same = not facts or after_id in (None, facts[0].event_id)
        if same or facts[0].position != after:
            return None
        return Gap(after, after, put_back=True)

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
        after_id: UUID | None = None,
        overflow: Overflow = "catch_up",
        name: str = "",
        kind: str = "internal",
    ) -> Iterator[Subscription]:
        """A reader of one run's facts, or of all, above the position `after`.

        `after_id`: the fact that the reader had there, if it knows.
        """
        subscription = Subscription(
            self,
            run_id,
            max(after, 0),
            after_id=after_id,
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
        """A subscriber's policy let it skip facts, `count` by now; the daemon's stream records it."""
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


class Subscription:
    """An async iterator of batches. It ends with the run's terminal fact; one over all never ends."""

    def __init__(
        self,
        bus: Bus,
        run_id: str | None,
        cursor: int,
        *,
        after_id: UUID | None,
        overflow: Overflow,
        name: str,
        kind: str,
        since: datetime,
    ) -> None:
        self.run_id = run_id
        self.cursor = cursor
        self.overflow = overflow
        self.name = name
        self.kind = kind
        self.since = since
        self.drops = 0
        self._bus = bus
        self._ended = False
        self._has_been_live = False
        # A run that ended before we came is known by the store alone; asked once.
        self._asked_store = run_id is None
        # A reader may come with a place that is not of this log.
        self._after_id = after_id
        self._unchecked = cursor > bus.head or (cursor > 0 and after_id is not None)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Batch:
        # Nothing is awaited after a look into the ring that found nothing: whoever finds it empty
        # parks at once, so no wake-up falls between.
        await trio.lowlevel.checkpoint_if_cancelled()
        parked = False
        while not self._ended:
            if self._unchecked:
                if batch := await self._check_place():
                    return batch
                continue
            if batch := self.take_ready():
                if not parked:
                    await trio.lowlevel.cancel_shielded_checkpoint()
                return batch
            if self.cursor + 1 < self._bus.first:
                if facts := await self._from_store():
                    live = self.cursor >= self._bus.head
                    return self._note(batch_of(tuple(facts), self.run_id, live=live))
            elif not self._asked_store:
                await self._ask_store()
            elif not self._has_been_live:
                self._has_been_live = True
                return Batch(live=self.cursor >= self._bus.head)
            else:
                await self._bus.wait_published(self.run_id)
                parked = True
        raise StopAsyncIteration

    def take_ready(self) -> Batch | None:
        """The next batch if it can be had without waiting."""
        # Asked twice for each wake-up, mostly in vain; who has everything has missed nothing.
        if self._ended or self.cursor >= self._bus.head:
            return None
        if batch := self._skip():
            return batch
        if self.cursor + 1 < self._bus.first:
            return None
        page = self._bus.page_after(self.run_id, self.cursor)
        self.cursor = page.cursor
        return None if page.batch is None else self._note(page.batch)

    def _skip(self) -> Batch | None:
        """What the policy, or pruning, makes this reader miss."""
        bus = self._bus
        if self.run_id is None and self.cursor + 1 < bus.floor:
            return self._jump(bus.floor - 1)
        behind = self._has_been_live and self.cursor + 1 < bus.first
        if not behind or self.overflow == "catch_up":
            return None
        if self.overflow == "disconnect":
            raise Lagged
        missed = bus.first - 1 - self.cursor
        self.drops += missed
        bus.dropped(self.name, missed, self.drops)
        return self._jump(bus.first - 1)

    def _jump(self, cursor: int) -> Batch:
        gap = Gap(self.cursor + 1, cursor)
        self.cursor = cursor
        # The run's terminal may lie in the gap.
        self._asked_store = self.run_id is None
        return Batch(gap=gap)

    def _note(self, batch: Batch) -> Batch:
        """The batch, once what it says of this reader's place is noted."""
        if batch.live:
            self._has_been_live = True
        if batch.last:
            self._ended = True
        return batch

    async def _from_store(self) -> list[Recorded]:
        bus = self._bus
        # What is committed but not yet published is not yet true for anybody else either.
        head = bus.head
        limit, size = bus.frame_events, bus.frame_bytes
        if self.run_id is None:
            facts = await bus.history.read_all(self.cursor, limit, max_bytes=size)
        else:
            facts = await bus.history.read(
                self.run_id, self.cursor, limit, max_bytes=size
            )
        facts = [fact for fact in facts if fact.position <= head]
        self.cursor = facts[-1].position if facts else max(self.cursor, head)
        return facts

    async def _check_place(self) -> Batch | None:
        gap = await self._bus.find_put_back(self.cursor, self._after_id)
        # Only now: the wait may have been cut short, and then it is asked again.
        self._unchecked = False
        if gap is None:
            return None
        self.cursor = gap.first - 1
        return Batch(gap=gap)

    async def _ask_store(self) -> None:
        row = await self._bus.history.run(self.run_id or "")
        self._asked_store = True
        if (
            row is not None
            and row.state in TERMINAL_STATES
            and row.last_position <= self.cursor
        ):
            self._ended = True

    def statistics(self) -> SubscriberStatistics:
        lag = max(self._bus.head - self.cursor, 0)
        return SubscriberStatistics(
            self.name,
            self.kind,
            self.run_id,
            self.cursor,
            lag,
            self.overflow,
            self.drops,
            self.since,
        )
