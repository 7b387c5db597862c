"""Giving the slot back while a run waits, and taking it again before it goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import trio

from penstock.record.recorder import Recorder
from penstock.record.store import Park, Unpark
from penstock.runs.execution import Execution


@dataclass(eq=False, slots=True)
class Parking:
    """The slot of one execution. The task that waits and its scope stay; only the slot goes."""

    execution: Execution
    recorder: Recorder
    now: Callable[[], datetime]
    parked: bool = False
    # Several tasks of one pipeline may wait at once; the slot goes and comes one step at a time.
    _turn: trio.Lock = field(default_factory=trio.Lock)

    @asynccontextmanager
    async def open_parked(self, reason: str) -> AsyncIterator[None]:
        """Be without the slot inside the block; have it again after leaving it normally.

        A cancelled run does not take it again: it has no use for it. The first task of the run that
        goes on brings the slot back for all.
        """
        await self._park(reason)
        failure: Exception | None = None
        try:
            yield
        except Exception as error:  # noqa: BLE001  (raised again, with the slot)
            failure = error
        await self._unpark()
        if failure is not None:
            raise failure

    async def _park(self, reason: str) -> None:
        async with self._turn:
            if self.parked:
                return
            self.execution.stop_clock()
            self.execution.unparked = trio.Event()
            await self.recorder.decide(Park(self.execution.fence, reason, self.now()))
            self.parked = True

    async def _unpark(self) -> None:
        async with self._turn:
            if not self.parked:
                return
            await self.recorder.decide(Unpark(self.execution.fence))
            await self.execution.unparked.wait()
            self.parked = False
            self.execution.run_clock()
