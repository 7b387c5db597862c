"""A subscription: one cursor, one loop, and the policy for when it falls behind."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import trio

from penstock.record.batches import (
    Batch,
    Gap,
    Lagged,
    Overflow,
    SubscriberStatistics,
    batch_of,
)
from penstock.words.lifecycle import TERMINAL_STATES
from penstock.words.recorded import Recorded

if TYPE_CHECKING:
    from penstock.record.bus import Bus


class Subscription:
    """An async iterator of batches. It ends with the run's terminal fact; one over all never ends."""

    def __init__(
        self,
        bus: Bus,
        run_id: str | None,
        cursor: int,
        *,
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
        self._told_live = False
        # A run that ended before we came is known by the store alone; asked once.
        self._asked_store = run_id is None

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Batch:
        # Nothing is awaited after a look into the ring that found nothing: whoever finds it empty
        # parks at once, so no wake-up falls between.
        await trio.lowlevel.checkpoint_if_cancelled()
        parked = False
        while not self._ended:
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
            elif not self._told_live:
                self._told_live = True
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
        behind = self._told_live and self.cursor + 1 < bus.first
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
            self._told_live = True
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
