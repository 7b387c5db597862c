"""Who has a slot and who wants one, read off the run table for the pure decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from penstock.log.projections import RunView
from penstock.runs.execution import Execution
from penstock.runs.line import Waiter
from penstock.runs.preemption import Holder
from penstock.words.lifecycle import QUEUED_STATES


@dataclass(frozen=True, slots=True)
class Standings:
    """Looks at a run table; changes nothing. `interrupting`: asked to give way, not yet told."""

    views: Mapping[str, RunView]
    executions: Mapping[str, Execution]
    unparking: set[str]
    interrupting: set[str]

    def waiters(self) -> list[Waiter]:
        """Every run that wants a slot and has none, startable or not."""
        return [
            self.waiter(view)
            for view in self.views.values()
            if view.state in QUEUED_STATES or view.run_id in self.unparking
        ]

    def waiter(self, view: RunView) -> Waiter:
        """A run as it stands in line, or would."""
        assert view.created_at is not None
        return Waiter(
            run_id=view.run_id,
            kind=view.kind,
            priority=view.priority,
            place=view.place,
            since=view.created_at,
            group=view.group,
            parked=view.run_id in self.unparking,
            prerequisites=tuple(
                run_id for run_id in view.after if run_id in self.views
            ),
        )

    def running(self) -> Iterator[RunView]:
        """The runs that have a slot."""
        return (view for view in self.views.values() if view.state == "running")

    def holders(self) -> list[Holder]:
        """The runs that have a slot, and what may become of it."""
        parents = {view.parent_id for view in self.views.values()}
        return [self._holder(view, parents) for view in self.running()]

    def _holder(self, view: RunView, parents: set[str | None]) -> Holder:
        waiter = self.waiter(view)
        execution = self.executions.get(view.run_id)
        if execution is None:
            # Another daemon's.
            return Holder(waiter)
        ending = execution.cancel_requested is not None
        interrupted = (
            execution.preempted_by is not None or view.run_id in self.interrupting
        )
        return Holder(
            waiter,
            preemptible=execution.row.preemptible and view.run_id not in parents,
            leaving=ending or interrupted or execution.stopping is not None,
            returning=interrupted and not ending,
        )
