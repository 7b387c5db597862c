"""Pausing one running program: its processes are stopped, and go on when somebody says so.

The log has the word first: a program that is stopped and not known to be would stand for ever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

import trio

from penstock.concurrency.deferred import DeferredFailure
from penstock.log.recorder import Recorder
from penstock.log.store import Store
from penstock.log.writes import Continue, Suspend
from penstock.runs.execution import Execution
from penstock.runs.table import RunTable
from penstock.words.errors import Conflict, RunNotFound, ShuttingDown, Terminal
from penstock.words.events import ProcessStarted


@dataclass(eq=False, slots=True)
class _Ask:
    """That a program is to be stopped, or to go on."""

    run_id: str
    stop: bool
    done: trio.Event = field(default_factory=trio.Event)
    failed: DeferredFailure = field(default_factory=DeferredFailure)


Asks = tuple[trio.MemorySendChannel[_Ask], trio.MemoryReceiveChannel[_Ask]]


@dataclass(eq=False, slots=True)
class Suspension:
    """Stops programs of runs and lets them go on."""

    recorder: Recorder
    store: Store
    table: RunTable
    now: Callable[[], datetime]
    suspend: Callable[[ProcessStarted, bool], Awaitable[bool]]
    # Handed over, not kept: who asks waits until the one before is done.
    _asks: Asks = field(default_factory=lambda: trio.open_memory_channel[_Ask](0))
    #: Runs that another daemon had paused or continued, and that are not as it said yet.
    _behind: set[str] = field(default_factory=set)
    _fell_behind: trio.Event = field(default_factory=trio.Event)

    async def pause(self, run_id: str) -> None:
        """Stop the run's program. Twice is once.

        Limits of its time stand still. RunNotFound, Terminal; Conflict for a run that has no program now.
        """
        await self._ask(_Ask(run_id, stop=True))

    async def resume(self, run_id: str) -> None:
        """Let it go on. Raises as `pause`; what goes on already is left alone."""
        await self._ask(_Ask(run_id, stop=False))

    async def watch(self) -> None:
        """The task that does what was asked, one after the other; until cancelled.

        Who asked may go at any moment. What is on its way to the log comes there all the same, and
        the signal must follow it.
        """
        async for ask in self._asks[1]:
            # So it is if the daemon stops meanwhile.
            ask.failed.error = ShuttingDown()
            try:
                with ask.failed:
                    await self._do(ask)
                    ask.failed.error = None
            finally:
                ask.done.set()

    def follow(self, run_id: str) -> None:
        """Another daemon had a run paused or continued that executes here; never waits."""
        self._behind.add(run_id)
        self._fell_behind.set()

    async def heed(self) -> None:
        """The task that brings programs to where the log says they are; until cancelled."""
        while True:
            await self._fell_behind.wait()
            self._fell_behind = trio.Event()
            while self._behind:
                execution = self.table.executions.get(self._behind.pop())
                if execution is not None:
                    for program in list(execution.programs):
                        await self.suspend(program, not execution.going.is_set())

    async def _ask(self, ask: _Ask) -> None:
        await self._asks[0].send(ask)
        await ask.done.wait()
        ask.failed.reraise()

    async def _do(self, ask: _Ask) -> None:
        execution = await self._execution(ask.run_id)
        if execution is not None and ask.stop and not execution.programs:
            raise Conflict(
                f"the run {ask.run_id!r} has no program now", run_id=ask.run_id
            )
        write = Suspend if ask.stop else Continue
        await self.recorder.record(write(ask.run_id, self.now()))
        # One that begins from now on looks for itself.
        for program in [] if execution is None else list(execution.programs):
            await self.suspend(program, ask.stop)

    async def _execution(self, run_id: str) -> Execution | None:
        """Where it executes; None: on another box, which reads of it in the log."""
        row = await self.store.run(run_id)
        if row is None:
            raise RunNotFound(f"there is no run {run_id!r}", run_id=run_id)
        if row.ended_at is not None:
            raise Terminal(f"the run {run_id!r} has ended", run_id=run_id)
        execution = self.table.executions.get(run_id)
        if execution is None and row.life is not None and self.table.shared:
            return None
        if execution is None:
            raise Conflict(f"the run {run_id!r} is {row.state}", run_id=run_id)
        return execution
