"""Pausing one running program: its processes are stopped, and go on when somebody says so.

The log has the word first: a program that is stopped and not known to be would stand for ever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

import trio

from penstock.log.recorder import Recorder
from penstock.log.store import Store
from penstock.log.writes import Continue, Suspend
from penstock.runs.repair import processes_of
from penstock.runs.table import RunTable
from penstock.words.errors import Conflict, RunNotFound, Terminal
from penstock.words.events import ProcessStarted


@dataclass(eq=False, slots=True)
class Suspension:
    """Stops programs of runs and lets them go on."""

    recorder: Recorder
    store: Store
    table: RunTable
    now: Callable[[], datetime]
    suspend: Callable[[ProcessStarted, bool], Awaitable[bool]]
    _turn: trio.Lock = field(default_factory=trio.Lock)

    async def pause(self, run_id: str) -> None:
        """Stop the run's program. Twice is once.

        Limits of its time stand still. RunNotFound, Terminal; Conflict for a run that has no program now.
        """
        async with self._turn:
            programs = await self._programs(run_id)
            if not programs:
                raise Conflict(f"the run {run_id!r} has no program now", run_id=run_id)
            await self.recorder.record(Suspend(run_id, self.now()))
            await self._signal(programs, stop=True)

    async def resume(self, run_id: str) -> None:
        """Let it go on. Raises as `pause`; what goes on already is left alone."""
        async with self._turn:
            programs = await self._programs(run_id)
            try:
                await self.recorder.record(Continue(run_id, self.now()))
            except Conflict:
                # It waits for something else meanwhile; its program must not stand for that.
                await self._signal(programs, stop=False)
                raise
            await self._signal(programs, stop=False)

    async def _programs(self, run_id: str) -> list[ProcessStarted]:
        row = await self.store.run(run_id)
        if row is None:
            raise RunNotFound(f"there is no run {run_id!r}", run_id=run_id)
        if row.ended_at is not None:
            raise Terminal(f"the run {run_id!r} has ended", run_id=run_id)
        if run_id not in self.table.executions:
            raise Conflict(f"the run {run_id!r} is {row.state}", run_id=run_id)
        return await processes_of(self.store, row)

    async def _signal(self, programs: list[ProcessStarted], *, stop: bool) -> None:
        # It is on record: whoever asked may go, and the signal must not be lost with him.
        with trio.CancelScope(shield=True):
            for program in programs:
                await self.suspend(program, stop)
