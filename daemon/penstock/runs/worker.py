"""Executing what was claimed: each run in a task of its own, from its inputs to its folder's removal."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import trio

from penstock.log.projections import RunView
from penstock.runs.execution import Execution, open_execution
from penstock.runs.guarded_trees import is_guarded
from penstock.runs.kind import Kind, check_whole
from penstock.runs.parking import open_parking
from penstock.runs.reader import Ancestor
from penstock.runs.run import Run, Tools
from penstock.words.backoff import backoff
from penstock.words.errors import Refused

log = logging.getLogger("penstock.run")

#: Seconds to which the pauses between two executions of a failing run grow, unless the first was longer.
LONGEST_BACKOFF = 3600.0


def next_try(view: RunView, at: datetime) -> datetime | None:
    """When a run that fails at this moment is executed again; None: it is not."""
    if view.retried >= view.retries:
        return None
    longest = max(view.backoff, LONGEST_BACKOFF)
    return at + timedelta(seconds=backoff(view.retried + 1, view.backoff, longest))


@dataclass(eq=False, slots=True)
class Worker:
    """Begins executions in `nursery`; its task lives until the end of the run is on record."""

    tools: Tools
    remove_folder: Callable[[Path], Awaitable[None]]
    #: Seconds that the clean-up after a run's end may take.
    tidy_seconds: float
    nursery: trio.Nursery

    def start(self, execution: Execution) -> None:
        """Begin an execution, in the very step in which its claim is taken note of."""
        self.nursery.start_soon(
            self._execute, execution, name=f"run {execution.run_id}"
        )

    async def _execute(self, execution: Execution) -> None:
        recorder, now = self.tools.recorder, self.tools.now
        execution.next_try = lambda at: self._next_try(execution.run_id, at)
        try:
            async with open_execution(
                execution,
                conclude_with=recorder.conclude,
                now=now,
            ):
                row, tools = execution.row, self.tools
                own = Ancestor(row.kind, row.parent_id)
                execution.guarded = await is_guarded(
                    own, tools.kinds, tools.reads.ancestor
                )
                async with open_parking(execution, recorder, now) as parking:
                    kind, inputs = self._read_inputs(execution)
                    run = Run(kind, inputs, execution, self.tools, parking)
                    output = await kind.pipeline(run, inputs)
                    await parking.wait_slot()
                execution.result = output.model_dump(mode="json")
                execution.returned = True
        finally:
            # The task lives until its end is on record: an empty nursery means that all is.
            with trio.CancelScope(shield=True):
                await execution.concluded.wait()
                self.tools.tokens.forget(execution)
        # Looking for a folder costs a thread. An earlier execution may have left one.
        may_have_one = execution.made_folder or execution.row.attempt > 1
        if execution.keeps_folder:
            return
        if may_have_one and not self.tools.is_open(execution.run_id):
            await self._tidy(execution.run_id)

    def _next_try(self, run_id: str, at: datetime) -> datetime | None:
        # Whatever is wrong with the run: its execution must be concluded.
        if not self.tools.is_open(run_id):
            return None
        return next_try(self.tools.view_of(run_id), at)

    def _read_inputs(self, execution: Execution) -> tuple[Kind, Any]:
        kind = self.tools.kinds.get(execution.row.kind)
        if kind is None:
            raise Refused("kind", f"{execution.row.kind!r} is not installed any more")
        check_whole(execution.row.inputs)
        return kind, kind.inputs.model_validate_json(execution.row.inputs)

    async def _tidy(self, run_id: str) -> None:
        """Remove the run's own folder; a fault in that is logged and changes no outcome."""
        folder = self.tools.workspace_of(run_id)
        try:
            with trio.move_on_after(self.tidy_seconds, shield=True):
                async with self.tools.folders.alone(run_id):
                    # It may have been forgotten already, and its id taken anew.
                    if not self.tools.is_open(run_id):
                        await self.remove_folder(folder)
        # Whatever keeps the folder is no fault of the run, and no reason to end the others.
        except Exception as error:  # noqa: BLE001
            about = {"run_id": run_id}
            log.warning(
                "the folder of run %s was not removed: %s", run_id, error, extra=about
            )
