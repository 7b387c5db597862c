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
    # Tasks of the pipeline that wait now; the slot goes and comes one step at a time.
    _waiting: int = 0
    _turn: trio.Lock = field(default_factory=trio.Lock)

    @asynccontextmanager
    async def open_parked(self, reason: str) -> AsyncIterator[None]:
        """Be without the slot inside the block; have it again after leaving it normally.

        While another task of the run still waits in such a block, the run stays without its slot,
        and the one that leaves goes on: a run that kept a slot while it waits for its own child
        could keep it from that child for ever. A cancelled run does not take the slot again.
        """
        failure: Exception | None = None
        self._waiting += 1
        try:
            await self._park(reason)
            yield
        except Exception as error:  # noqa: BLE001  (raised again, with the slot)
            failure = error
        finally:
            self._waiting -= 1
        await self._unpark()
        if failure is not None:
            raise failure

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
