"""The slot of a run that waits: given back meanwhile, and had again before it computes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import trio

from penstock.concurrency.deferred import DeferredFailure
from penstock.log.recorder import Recorder
from penstock.log.writes import Park, Unpark
from penstock.runs.execution import Execution, set_event
from penstock.words.wait_reason import Waiting


@dataclass(eq=False, slots=True)
class Parking:
    """The slot of one execution. The task that waits and its scope stay; only the slot goes."""

    execution: Execution
    recorder: Recorder
    now: Callable[[], datetime]
    #: Its tasks give and take the slot, so that no cancel of a single task of the pipeline tears
    #: that apart. It lives inside the scope of the execution.
    slot_nursery: trio.Nursery
    parked: bool = False
    # Tasks of the pipeline that wait now; the slot goes and comes one step at a time.
    _waiting: int = 0
    _turn: trio.Lock = field(default_factory=trio.Lock)
    # Set when the slot was brought back for the one who left last.
    _back: trio.Event = field(default_factory=set_event)

    @asynccontextmanager
    async def open_parked(self, waiting: Waiting) -> AsyncIterator[None]:
        """Be without the slot inside the block; have it again after leaving it normally.

        While another task of the run still waits in such a block, the run stays without its slot,
        and the one that leaves goes on: a run that kept a slot while it waits for its own child
        could keep it from that child for ever. A cancelled run does not take the slot again. When
        only this task is cancelled it leaves at once, since the run may be failing; the slot is
        fetched behind its back, and what computes next waits for it. A paused run keeps its slot, and the
        block begins once it goes on.
        """
        failed = DeferredFailure()
        self._waiting += 1
        try:
            with failed:
                while not await self._park_surely(waiting):
                    await self.execution.going.wait()
                yield
        finally:
            self._waiting -= 1
            self._back = back = trio.Event()
            self.slot_nursery.start_soon(self._bring_back, back)
        await back.wait()
        failed.reraise()

    async def wait_slot(self) -> None:
        """Return when the slot is here, unless a task of the run gave it up to wait."""
        await self._back.wait()

    async def wait_going(self) -> None:
        """Return when the slot is here, as `wait_slot`, and the run is not paused."""
        await self.wait_slot()
        await self.execution.going.wait()

    async def _park_surely(self, waiting: Waiting) -> bool:
        """Give the slot back though this task is cancelled meanwhile: half given, it would be lost.

        False, and the slot is still here, while the run is paused.
        The wait needs no limit: it is for a commit, and whatever ends the run ends it.
        """
        done = trio.Event()
        failed = DeferredFailure()
        parked = False

        async def park() -> None:
            nonlocal parked
            try:
                with failed:
                    parked = await self._park(waiting)
            finally:
                done.set()

        self.slot_nursery.start_soon(park)
        with trio.CancelScope(shield=True):
            await done.wait()
        failed.reraise()
        return parked

    async def _bring_back(self, back: trio.Event) -> None:
        try:
            await self._unpark()
        finally:
            back.set()

    async def _park(self, waiting: Waiting) -> bool:
        async with self._turn:
            if self.parked and not self.execution.unparked.is_set():
                return True
            self.execution.stop_clock()
            self.execution.unparked = trio.Event()
            park = Park(self.execution.fence, waiting, self.now())
            self.parked = bool((await self.recorder.record(park)).recorded)
            if self.parked:
                # A pause that came to the log before has set it going by its end.
                self.execution.stop_clock()
            return self.parked

    async def _unpark(self) -> None:
        async with self._turn:
            if not self.parked or self._waiting:
                return
            await self.recorder.record(Unpark(self.execution.fence))
            await self.execution.unparked.wait()
            self.parked = False
            self.execution.run_clock()


@asynccontextmanager
async def open_parking(
    execution: Execution, recorder: Recorder, now: Callable[[], datetime]
) -> AsyncIterator[Parking]:
    """The slot of an execution while its pipeline runs; a failure of the block leaves it as it was."""
    failed = DeferredFailure()
    async with trio.open_nursery() as slot_nursery:
        with failed:
            yield Parking(execution, recorder, now, slot_nursery)
        slot_nursery.cancel_scope.cancel(reason="the pipeline has ended")
    failed.reraise()
