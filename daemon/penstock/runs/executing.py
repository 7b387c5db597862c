"""Executing claimed runs: one task each, in the nursery whose life is that of the runs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import trio

from penstock.log.recorder import Recorder
from penstock.runs.execution import Execution, open_execution
from penstock.runs.parking import Parking
from penstock.runs.run import Run, Tools
from penstock.runs.table import RunTable
from penstock.words.errors import Refused

log = logging.getLogger("penstock.run")


@dataclass(eq=False, slots=True)
class Executing:
    """See the module's text. `tidy_seconds` bounds the clean-up after a run's end."""

    tools: Tools
    table: RunTable
    recorder: Recorder
    now: Callable[[], datetime]
    remove_folder: Callable[[Path], Awaitable[None]]
    tidy_seconds: float
    runs_nursery: trio.Nursery

    def start(self, execution: Execution) -> None:
        """Begin an execution; called by the run table in the step of its claim."""
        self.runs_nursery.start_soon(
            self._execute, execution, name=f"run {execution.run_id}"
        )

    async def _execute(self, execution: Execution) -> None:
        try:
            async with open_execution(
                execution, conclude_with=self.recorder.conclude, now=self.now
            ):
                async with open_slot_nursery() as slot_nursery:
                    run = self._run(execution, slot_nursery)
                    output = await run.kind.pipeline(run, run.inputs)
                    await run.parking.wait_slot()
                execution.result = output.model_dump(mode="json")
                execution.returned = True
        finally:
            # The task lives until its end is on record: an empty nursery means that all is.
            with trio.CancelScope(shield=True):
                await execution.concluded.wait()
        # Looking for a folder costs a thread. An earlier execution may have left one.
        may_have_one = execution.made_folder or execution.row.attempt > 1
        if may_have_one and not self.tools.is_open(execution.run_id):
            await self._tidy(execution.run_id)

    def _run(self, execution: Execution, slot_nursery: trio.Nursery) -> Run:
        kind = self.tools.kinds.get(execution.row.kind)
        if kind is None:
            raise Refused("kind", f"{execution.row.kind!r} is not installed any more")
        inputs = kind.inputs.model_validate_json(execution.row.inputs)
        parking = Parking(execution, self.recorder, self.now, slot_nursery)
        return Run(execution, kind, inputs, self.tools, parking)

    async def _tidy(self, run_id: str) -> None:
        """Remove the run's own folder; a fault in that is told and changes no outcome."""
        folder = self.tools.workspace_of(run_id)
        try:
            with trio.move_on_after(self.tidy_seconds, shield=True):
                await self.remove_folder(folder)
        except OSError as error:
            log.warning("the folder of run %s was not removed: %s", run_id, error)


@asynccontextmanager
async def open_slot_nursery() -> AsyncIterator[trio.Nursery]:
    """A nursery for the slot's comings and goings; a failure of the block leaves it as it was."""
    failure: Exception | None = None
    async with trio.open_nursery() as slot_nursery:
        try:
            yield slot_nursery
        except Exception as error:  # noqa: BLE001  (raised again, outside the nursery's group)
            failure = error
        slot_nursery.cancel_scope.cancel(reason="the pipeline has ended")
    if failure is not None:
        raise failure
