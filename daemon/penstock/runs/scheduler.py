"""The scheduler: the one object that surfaces ask about runs.

It decides nothing about the log: submits, cancels and answers are decisions of the store, and slots
are claimed at the end of each commit. Its parts check, wait, and put into words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from penstock.log.projections import RunView
from penstock.log.recorder import Recorder
from penstock.log.writes import AskRow, RequestCancel, RunFilter
from penstock.runs.control import Control
from penstock.runs.intake import Intake, Submitted
from penstock.runs.pausing import Pausing
from penstock.runs.reading import Reading
from penstock.runs.table import RunTable
from penstock.runs.why import Line, Why, explain
from penstock.words.api import BugReportRequest, CancelReceipt, SubmitRequest
from penstock.words.lifecycle import QUEUED_STATES
from penstock.words.priority import Priority
from penstock.words.recorded import Recorded
from penstock.words.staleness import Judgement


@dataclass(frozen=True, slots=True)
class SchedulerStatistics:
    """A snapshot; reading it waits for nothing."""

    queued: int
    capacity: int
    queued_by_priority: dict[str, int]
    running: int
    slots: int
    parked: int
    waiting_submits: int
    late_outcomes: int
    open_runs: int
    #: What is paused and why; a group of None is the whole queue.
    paused: tuple[dict[str, str | None], ...] = ()
    #: What is drained.
    draining: tuple[str | None, ...] = ()
    #: By configured group: its slots, how many runs execute in it, how many queue.
    groups: dict[str, dict[str, int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Scheduler:
    """See the module's text. Made by `open_core`."""

    intake: Intake
    reading: Reading
    control: Control
    table: RunTable
    recorder: Recorder
    pausing: Pausing

    async def submit(
        self, request: SubmitRequest, *, wait: bool = False, retry_of: str | None = None
    ) -> Submitted:
        """See `Intake.submit`."""
        return await self.intake.submit(request, wait=wait, retry_of=retry_of)

    async def retry(self, run_id: str, *, wait: bool = False) -> Submitted:
        """See `Intake.retry`."""
        return await self.intake.retry(run_id, wait=wait)

    async def cancel(
        self, run_id: str, reason: str, *, wait: bool = False
    ) -> CancelReceipt:
        """See `Control.cancel`."""
        return await self.control.cancel(run_id, reason, wait=wait)

    async def answer(self, run_id: str, name: str, answer: str, by: str) -> Recorded:
        """See `Control.answer`."""
        return await self.control.answer(run_id, name, answer, by)

    async def intervene(self, run_id: str, text: str) -> Recorded:
        """See `Control.intervene`."""
        return await self.control.intervene(run_id, text)

    async def report_bug(
        self, run_id: str, report: BugReportRequest
    ) -> tuple[Recorded, Judgement]:
        """See `Control.report_bug`."""
        return await self.control.report_bug(run_id, report)

    async def view(self, run_id: str) -> RunView:
        """See `Reading.view`."""
        return await self.reading.view(run_id)

    async def list(self, wanted: RunFilter) -> tuple[list[dict[str, Any]], int | None]:
        """See `Reading.list`."""
        return await self.reading.list(wanted)

    async def asks(
        self, run_id: str | None = None, *, only_open: bool = True
    ) -> Sequence[AskRow]:
        """See `Reading.asks`."""
        return await self.reading.asks(run_id, only_open=only_open)

    async def why(self, run_id: str) -> Why:
        """Why the run is where it is, by the rules a claim goes by. RunNotFound."""
        view = await self.reading.view(run_id)
        table, standings = self.table, self.table.standings
        line = Line(
            standings.waiters(),
            standings.holders(),
            table.rules(),
            self.intake.now(),
            table.claiming,
            {open_id: str(other.state) for open_id, other in table.views.items()},
        )
        return explain(view, line)

    async def pause(self, group: str | None = None, reason: str = "") -> None:
        """See `Pausing.pause`."""
        await self.pausing.pause(group, reason)

    async def resume(self, group: str | None = None) -> None:
        """See `Pausing.resume`."""
        await self.pausing.resume(group)

    def start_drain(self, group: str | None = None) -> None:
        """See `Pausing.drain`."""
        self.pausing.drain(group)

    async def wait_drained(self, group: str | None = None) -> None:
        """See `Pausing.wait_drained`."""
        await self.pausing.wait_drained(group)

    async def drain(self, group: str | None = None) -> None:
        """Take nothing new in, and wait until nothing runs or is queued."""
        self.start_drain(group)
        await self.wait_drained(group)

    def statistics(self) -> SchedulerStatistics:
        """How full everything is now, at any load without waiting (SC-11)."""
        queue = self.table.queue
        admission = self.intake.admission.statistics()
        return SchedulerStatistics(
            queued=queue.queued,
            capacity=self.intake.config.queue_capacity,
            queued_by_priority={p.name: queue.queued_by_priority[p] for p in Priority},
            running=queue.running,
            slots=self.table.slots,
            parked=queue.waiting,
            waiting_submits=admission.waiting,
            late_outcomes=self.table.late_outcomes,
            open_runs=len(self.table.views),
            paused=tuple(
                {"group": group, "reason": reason}
                for group, reason in self.table.paused.items()
            ),
            draining=tuple(self.pausing.draining),
            groups=self._groups(),
        )

    def _groups(self) -> dict[str, dict[str, int]]:
        groups = {
            name: {"slots": slots, "running": 0, "queued": 0}
            for name, slots in self.table.group_slots.items()
        }
        if groups:
            for view in self.table.views.values():
                counts = groups.get(view.group or "")
                if counts is not None and view.state == "running":
                    counts["running"] += 1
                elif counts is not None and view.state in QUEUED_STATES:
                    counts["queued"] += 1
        return groups

    async def shutdown(
        self, *, cancel_queued: bool = False, reason: str = "shutdown"
    ) -> None:
        """Take no more work in, end all executions, and wait for their conclusions.

        With `cancel_queued` every open run ends cancelled; else the queue stays, and what executes
        is requeued or ended as its `on_restart` says.
        """
        self.intake.stopping = reason
        self.intake.admission.close(reason)
        self.table.claiming = False
        if cancel_queued:
            await self.recorder.decide(
                RequestCancel("", reason, self.intake.now(), all_open=True)
            )
        else:
            self.table.stop()
        # A claim may be on its way: its runs begin after this, and end as the others do.
        await self.recorder.wait_applied()
        for execution in list(self.table.executions.values()):
            await execution.concluded.wait()
