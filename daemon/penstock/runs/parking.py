"""Giving the slot back while a run waits, and taking it again before it goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import trio

from penstock.log.recorder import Recorder
from penstock.log.writes import Park, Unpark
from penstock.runs.execution import Execution


def _set_event() -> trio.Event:
    event = trio.Event()
    event.set()
    return event


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
    _back: trio.Event = field(default_factory=_set_event)

    @asynccontextmanager
    async def open_parked(self, reason: str) -> AsyncIterator[None]:
        """Be without the slot inside the block; have it again after leaving it normally.

        While another task of the run still waits in such a block, the run stays without its slot,
        and the one that leaves goes on: a run that kept a slot while it waits for its own child
        could keep it from that child for ever. A cancelled run does not take the slot again. When
        only this task is cancelled it leaves at once, since the run may be failing; the slot is
        fetched behind its back, and what computes next waits for it.
        """
        failure: Exception | None = None
        self._waiting += 1
        try:
            await self._park_surely(reason)
            yield
        except Exception as error:  # noqa: BLE001  (raised again, with the slot)
            failure = error
        finally:
            self._waiting -= 1
            self._back = back = trio.Event()
            self.slot_nursery.start_soon(self._bring_back, back)
        await back.wait()
        if failure is not None:
            raise failure

    async def wait_slot(self) -> None:
        """Return when the slot is here, unless a task of the run gave it up to wait."""
        await self._back.wait()

    async def _park_surely(self, reason: str) -> None:
        """Give the slot back though this task is cancelled meanwhile: half given, it would be lost.

        The wait needs no limit: it is for a commit, and whatever ends the run ends it.
        """
        done = trio.Event()
        failure: Exception | None = None

        async def park() -> None:
            nonlocal failure
            try:
                await self._park(reason)
            except Exception as error:  # noqa: BLE001  (raised again, in the task that asked)
                failure = error
            finally:
                done.set()

        self.slot_nursery.start_soon(park)
        with trio.CancelScope(shield=True):
            await done.wait()
        if failure is not None:
            raise failure

    async def _bring_back(self, back: trio.Event) -> None:
        try:
            await self._unpark()
        finally:
            back.set()

    async def _park(self, reason: str) -> None:
        async with self._turn:
            if self.parked and not self.execution.unparked.is_set():
                return
            self.execution.stop_clock()
            self.execution.unparked = trio.Event()
            await self.recorder.decide(Park(self.execution.fence, reason, self.now()))
            self.parked = True

    async def _unpark(self) -> None:
        async with self._turn:
            if not self.parked or self._waiting:
                return
            await self.recorder.decide(Unpark(self.execution.fence))
            await self.execution.unparked.wait()
            self.parked = False
            self.execution.run_clock()
