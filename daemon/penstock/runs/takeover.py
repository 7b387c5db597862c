"""A log that several daemons write: being taken to be there, hearing of the others, and what they leave.

Nobody knows more of another box than the log says. So whoever finds that its lease is over speaks for
its runs, and whoever dies half-way in that is followed by the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import trio

from penstock.log.bus import Bus
from penstock.log.kept import Forsaken, RunRow
from penstock.log.projections import RunView
from penstock.log.recorder import Recorder
from penstock.log.store import Sharing, Store
from penstock.log.writes import LoseBox
from penstock.runs.repair import Repaired, none_ended, repair
from penstock.words.errors import StoreUnavailable

log = logging.getLogger("penstock.boxes")

#: Seconds after which a daemon looks what others wrote though nobody told it that they did.
POLL_SECONDS = 5.0
#: Parts of a lease: one is renewed four times while it lasts, and looked at eight times.
RENEWALS, LOOKS = 4, 8
#: Seconds between two looks at leases, at least.
LEAST_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The other daemons of a log, as one of them meets them. All but `take_over` are tasks."""

    sharing: Sharing
    store: Store
    recorder: Recorder
    bus: Bus
    views: Mapping[str, RunView]
    life: str
    max_attempts: int
    now: Callable[[], datetime]
    #: Called after each look at leases.
    on_look: Callable[[], None] = lambda: None
    #: Told why what lost boxes left cannot be recorded, None when it can; often the same.
    on_left: Callable[[StoreUnavailable | None], None] = lambda _why: None

    async def keep_lease(self) -> None:
        """Have the lease renewed, whether or not there is something to record; until cancelled."""
        while True:
            await trio.sleep(self.sharing.lease_seconds / RENEWALS)
            self.recorder.renew()

    async def listen(self) -> None:
        """Have what others wrote folded soon; until cancelled."""
        while True:
            if not await self.sharing.wait_written(POLL_SECONDS):
                # It may be another server by now, where others wait for our word.
                self.recorder.renew()
            self.recorder.look()

    async def watch_leases(self) -> None:
        """Speak for boxes that are silent for longer than their leases; until cancelled."""
        pause = max(LEAST_LOOK_SECONDS, self.sharing.lease_seconds / LOOKS)
        while True:
            await trio.sleep(pause)
            with suppress(StoreUnavailable):
                await self.take_over()
                # What others forgot is not here any more either.
                self.bus.forget_below((await self.store.bounds()).floor)
                # Claims may have been refused while it was not known who is there.
                self.on_look()

    async def take_over(self) -> None:
        """Note who is lost by now, and give the runs that nobody executes what a crash gets them."""
        found = await self.sharing.forsaken()
        try:
            left = await self._note_lost(found)
            done = await self._give_back(found)
        except StoreUnavailable as error:
            self.on_left(error)
            raise
        self.on_left(done.left or left)
        if told := [*done.requeued, *done.failed, *done.cancelled, *done.asked]:
            log.warning("taken over from boxes that are lost: %s", ", ".join(told))

    async def _note_lost(self, found: Forsaken) -> StoreUnavailable | None:
        """Note whose leases are over; why one could not be, by a server that answers: its runs are free all the same."""
        left = None
        for box, life in found.boxes:
            write = LoseBox(box, life, self.now(), self.sharing.box)
            try:
                lost = await self.recorder.record(write, apart=True)
            except StoreUnavailable as error:
                if not error.facts.get("code"):
                    raise
                left = error
                continue
            if lost.recorded:
                log.warning("the box %s is lost: %s", box, life)
        return left

    async def _give_back(self, found: Forsaken) -> Repaired:
        rows: list[RunRow] = []
        for run_id in sorted(found.runs & self.views.keys()):
            row = await self.store.run(run_id)
            if row is not None and row.ended_at is None:
                rows.append(row)
        return await repair(
            rows,
            self.views,
            store=self.store,
            recorder=self.recorder,
            life=self.life,
            max_attempts=self.max_attempts,
            now=self.now,
            end_orphans=none_ended,
            by_lease=found.runs,
        )
