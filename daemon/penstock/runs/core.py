"""The core: everything between a store and the surfaces, by name, and what it does to the world.

It is opened by `open_core`, once, and passed down. Two cores in one process share nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

import trio

import penstock
from penstock.log.bus import Bus
from penstock.log.projections import RunView
from penstock.log.recorder import Recorder
from penstock.log.redaction import Redact, Secrets
from penstock.log.spans import TraceSpan
from penstock.log.store import Store
from penstock.log.writes import RequestCancel
from penstock.processes.output import HeldBack, nothing_secret
from penstock.runs.boxes import Boxes
from penstock.runs.control import Control, LineControl, QueueControl
from penstock.runs.gauges import QueueStatistics, take_statistics
from penstock.runs.guarded_trees import GuardedTrees
from penstock.runs.kind import Kind
from penstock.runs.live_output import LiveOutputs
from penstock.runs.program import Executor
from penstock.runs.queue import QueueSnapshot
from penstock.runs.reader import Reader
from penstock.runs.repair import EndOrphans, ProvenGone, none_proven
from penstock.runs.retention import Retention
from penstock.runs.run import ModelAccess
from penstock.runs.run_scopes import RunTokens
from penstock.runs.schedules import Schedules
from penstock.runs.selection import Selection
from penstock.runs.stop import Stop
from penstock.runs.submit import Submitter
from penstock.runs.suspension import Suspension
from penstock.runs.table import RunTable
from penstock.runs.whereabouts import SeenBox, nowhere
from penstock.runs.why import Why, explain
from penstock.words.config import Config
from penstock.words.errors import RunNotFound
from penstock.words.events import ProcessStarted
from penstock.words.placement import Needs


class OwnLease(Protocol):
    """For how long this box is taken to be there without a word."""

    @property
    def usable(self) -> float:
        """Seconds that a renewal is good for: the lease, but for what an orderly end may take of it."""
        ...

    def left(self) -> float:
        """Seconds until all that is this daemon's begins to end."""
        ...


@dataclass(frozen=True, slots=True)
class Environment:
    """What a core does to the world; tests give it a harmless one."""

    now: Callable[[], datetime]
    new_run_id: Callable[[], str]
    executor: Executor
    workspace_of: Callable[[str], Path]
    make_folder: Callable[[Path], Awaitable[None]]
    remove_folder: Callable[[Path], Awaitable[None]]
    free_bytes: Callable[[], Awaitable[int]]
    end_orphans: EndOrphans
    #: Stops the processes of a program (True), or lets them go on; False if it has ended.
    suspend: Callable[[ProcessStarted, bool], Awaitable[bool]]
    #: Which processes of an earlier life are proven to be gone, with all that came of them.
    proven_gone: ProvenGone = none_proven
    #: Seconds that never go back and go on while the machine sleeps, whatever the time of day does.
    steady: Callable[[], float] = trio.current_time
    host: str = ""
    #: By this daemon's own count; None: no other box would ask.
    lease: OwnLease | None = None
    models: ModelAccess | None = None
    #: Takes secrets out of what is to be recorded.
    redact: Redact = lambda write: write
    #: How much at the end of an output may be the beginning of what is taken out.
    held_back: HeldBack = nothing_secret
    #: What it takes out besides patterns; tokens of runs come to it and go.
    secrets: Secrets = field(default_factory=Secrets)
    #: Takes the spans of what runs do, without waiting; None: nobody traces.
    tell_span: Callable[[TraceSpan], None] | None = None


@dataclass(frozen=True, slots=True)
class Core:
    """The parts by name, for surfaces to call; what needs several of them at once is its own."""

    config: Config
    kinds: Mapping[str, Kind]
    store: Store
    #: Id of this daemon's life, which its claims carry.
    life: str
    environment: Environment
    started_at: datetime
    stop: Stop
    table: RunTable
    recorder: Recorder
    reader: Reader
    retention: Retention
    queue: QueueControl
    boxes: Boxes
    submitter: Submitter
    control: Control
    line: LineControl
    suspension: Suspension
    selection: Selection
    live_outputs: LiveOutputs
    schedules: Schedules
    tokens: RunTokens
    trees: GuardedTrees
    version: str = penstock.__version__

    @property
    def epoch(self) -> str:
        """Id of the log."""
        return self.store.epoch

    @property
    def bus(self) -> Bus:
        """Where the table publishes what was recorded."""
        return self.table.bus

    @property
    def models(self) -> ModelAccess | None:
        """None while no model is configured."""
        return self.environment.models

    def now(self) -> datetime:
        return self.environment.now()

    def ring(self) -> None:
        """The moment has come that some run waited for."""
        self.table.moved = True
        self.recorder.kick()

    async def why(self, run_id: str) -> Why:
        """Why the run is where it is, by the rules a claim goes by. RunNotFound."""
        view = await self.reader.view(run_id)
        boxes = await self.boxes.seen()
        return self._explain(view, self._queue(boxes))

    async def whys(self, run_ids: Iterable[str]) -> list[Why]:
        """The same of several runs; those that there are not are left out."""
        found, boxes = [], await self.boxes.seen()
        head, queue = self.table.head, self._queue(boxes)
        for run_id in run_ids:
            with suppress(RunNotFound):
                view = await self.reader.view(run_id)
                if head != self.table.head:
                    head, queue = self.table.head, self._queue(boxes)
                found.append(self._explain(view, queue))
        return found

    async def nowhere(self, needs: Needs) -> str | None:
        """Why no box that is known will start what asks for this here; None: one may."""
        boxes = await self.boxes.seen() if needs else ()
        return nowhere(needs, self.boxes.own, self.table.place, boxes)

    def _queue(self, boxes: Sequence[SeenBox]) -> QueueSnapshot:
        table = self.table
        elsewhere = table.candidates_elsewhere()
        return replace(table.snapshot(), boxes=boxes, elsewhere=elsewhere)

    def _explain(self, view: RunView, queue: QueueSnapshot) -> Why:
        return explain(view, queue, log_away=self.recorder.unavailable)

    def statistics(self) -> QueueStatistics:
        """How full everything is now, at any load without waiting (SC-11)."""
        return take_statistics(self.table, self.submitter.admission)

    async def shutdown(
        self, *, cancel_queued: bool = False, reason: str = "shutdown"
    ) -> None:
        """Take no more work in, end all executions, and wait for their conclusions.

        With `cancel_queued` every open run ends cancelled; else the queue stays, and what executes
        is requeued or ended as its `on_restart` says.
        """
        self.stop.ask(reason)
        self.submitter.admission.turn_away()
        self.table.claiming = False
        if cancel_queued:
            await self.recorder.record(
                # Of a shared log what executes here: the queue is everybody's.
                RequestCancel(
                    "",
                    reason,
                    self.now(),
                    all_open=True,
                    life=None if self.store.sharing is None else self.life,
                )
            )
        else:
            self.table.stop()
        # A claim may be on its way: its runs begin after this, and end as the others do.
        await self.recorder.wait_applied()
        for execution in list(self.table.executions.values()):
            await execution.concluded.wait()
