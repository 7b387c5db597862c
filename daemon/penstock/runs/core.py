"""Opening a core: everything between a store and the surfaces, built once and passed down.

Lifetimes nest: recorder around runs; what is innermost ends first. Two cores in one process share
nothing.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trio

import penstock
from penstock.concurrency.deferred import DeferredFailure
from penstock.concurrency.enduring import endure
from penstock.log.bus import Bus
from penstock.log.recorder import Recorder, open_recorder
from penstock.log.redaction import Redact
from penstock.log.store import Store
from penstock.log.writes import (
    Append,
    Bounds,
    RequestCancel,
    new_event,
)
from penstock.runs.control import Control, QueueControl
from penstock.runs.execution import Execution, Parking, open_execution
from penstock.runs.gauges import Gauges
from penstock.runs.hooks import Hooks, caller
from penstock.runs.reader import PatientReads, Reader
from penstock.runs.repair import EndOrphans, Repaired, repair
from penstock.runs.retention import Retention
from penstock.runs.run import Executor, Kind, ModelAccess, Run, Tools, check_whole
from penstock.runs.submit import Admission, Submitter
from penstock.runs.table import Preempting, RunTable
from penstock.runs.watermark import Level
from penstock.runs.why import QueueSnapshot, Why, explain
from penstock.words.config import Config
from penstock.words.errors import Refused
from penstock.words.events import (
    DAEMON_STREAM,
    AnyEvent,
    DaemonStarted,
    DaemonStopping,
    SubscriberLagged,
)
from penstock.words.lifecycle import QUEUED_STATES
from penstock.words.priority import Priority


@dataclass(frozen=True, slots=True)
class QueueStatistics:
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


def utc_now() -> datetime:
    """The time of day; injected wherever time is recorded."""
    return datetime.now(UTC)


def new_run_id() -> str:
    """A short id that is easy to type and hard to guess: `r-` and 48 random bits."""
    return f"r-{secrets.token_hex(6)}"


@dataclass(frozen=True, slots=True)
class Environment:
    """What a core does to the world; tests give it harmless ones."""

    now: Callable[[], datetime]
    new_run_id: Callable[[], str]
    executor: Executor
    workspace_of: Callable[[str], Path]
    make_folder: Callable[[Path], Awaitable[None]]
    remove_folder: Callable[[Path], Awaitable[None]]
    free_bytes: Callable[[], Awaitable[int]]
    end_orphans: EndOrphans
    #: Seconds that never go back and go on while the machine sleeps, whatever the time of day does.
    steady: Callable[[], float] = trio.current_time
    host: str = ""
    models: ModelAccess | None = None
    #: Takes secrets out of what is to be recorded.
    redact: Redact = lambda decision: decision


@dataclass(frozen=True, slots=True)
class Core:
    """What surfaces are given."""

    config: Config
    kinds: Mapping[str, Kind]
    store: Store
    recorder: Recorder
    bus: Bus
    submitter: Submitter
    reader: Reader
    control: Control
    queue: QueueControl
    table: RunTable
    retention: Retention
    life: str
    started_at: datetime
    now: Callable[[], datetime]
    repaired: Repaired
    #: None while no model is configured.
    models: ModelAccess | None = None
    version: str = penstock.__version__

    @property
    def epoch(self) -> str:
        """Id of the log."""
        return self.store.epoch

    async def why(self, run_id: str) -> Why:
        """Why the run is where it is, by the rules a claim goes by. RunNotFound."""
        view = await self.reader.view(run_id)
        table, standings = self.table, self.table.standings
        line = QueueSnapshot(
            standings.candidates(),
            standings.slot_holders(),
            table.rules(),
            self.now(),
            table.claiming,
            {open_id: str(other.state) for open_id, other in table.views.items()},
        )
        return explain(view, line)

    def statistics(self) -> QueueStatistics:
        """How full everything is now, at any load without waiting (SC-11)."""
        queue = self.table.queue
        admission = self.submitter.admission.statistics()
        return QueueStatistics(
            queued=queue.queued,
            capacity=self.config.queue_capacity,
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
            draining=tuple(self.queue.draining),
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
        self.submitter.stopping = reason
        self.submitter.admission.close(reason)
        self.table.claiming = False
        if cancel_queued:
            await self.recorder.record(
                RequestCancel("", reason, self.now(), all_open=True)
            )
        else:
            self.table.stop()
        # A claim may be on its way: its runs begin after this, and end as the others do.
        await self.recorder.wait_applied()
        for execution in list(self.table.executions.values()):
            await execution.concluded.wait()


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
        check_whole(execution.row.inputs)
        inputs = kind.inputs.model_validate_json(execution.row.inputs)
        parking = Parking(execution, self.recorder, self.now, slot_nursery)
        return Run(execution, kind, inputs, self.tools, parking)

    async def _tidy(self, run_id: str) -> None:
        """Remove the run's own folder; a fault in that is told and changes no outcome."""
        folder = self.tools.workspace_of(run_id)
        try:
            with trio.move_on_after(self.tidy_seconds, shield=True):
                await self.remove_folder(folder)
        # Whatever keeps the folder is no fault of the run, and no reason to end the others.
        except Exception as error:  # noqa: BLE001
            log.warning("the folder of run %s was not removed: %s", run_id, error)


@asynccontextmanager
async def open_slot_nursery() -> AsyncIterator[trio.Nursery]:
    """A nursery for the slot's comings and goings; a failure of the block leaves it as it was."""
    failed = DeferredFailure()
    async with trio.open_nursery() as slot_nursery:
        with failed:
            yield slot_nursery
        slot_nursery.cancel_scope.cancel(reason="the pipeline has ended")
    failed.reraise()


class Parts:
    """Builds the core in the order in which its parts need each other."""

    def __init__(
        self,
        config: Config,
        kinds: Mapping[str, Kind],
        store: Store,
        life: str,
        environment: Environment,
        bounds: Bounds,
    ) -> None:
        self.config, self.kinds, self.store = config, kinds, store
        self.life, self.environment = life, environment
        self.bus = bus = self._make_bus(bounds)
        self.table = self._make_table()
        self.recorder = Recorder(
            store=store,
            projection=self.table,
            capacity=config.recorder_capacity,
            patience=config.store_patience,
            note_interval=config.note_seconds,
            now=environment.now,
            redact=environment.redact,
        )
        self.reader = Reader(store, self.table.views, self.table.terms)
        self.admission = Admission(
            config.queue_capacity,
            config.max_waiting_submits,
            queued=lambda: self.table.queue.queued,
        )
        self.retention = Retention(
            config,
            store,
            self.recorder,
            bus,
            environment.now,
            environment.steady,
            environment.free_bytes,
            environment.remove_folder,
            environment.workspace_of,
        )
        self.gauges = Gauges(self._levels(), self.recorder.note)
        self.preempting = Preempting(self.table, self.recorder)
        self.queue = QueueControl(
            self.table, self.recorder, config.groups, environment.now
        )
        self.hooks = Hooks(config, bus, caller(environment.executor))
        self.table.settle = self._settle

    def _make_bus(self, bounds: Bounds) -> Bus:
        config = self.config
        return Bus(
            self.store,
            head=bounds.head,
            floor=bounds.floor,
            ring_events=config.ring_events,
            ring_bytes=config.ring_bytes,
            frame_events=config.frame_events,
            frame_bytes=config.frame_bytes,
            now=self.environment.now,
            on_drop=lambda name, count: self.recorder.note(
                f"lagged {name}", SubscriberLagged(subscriber=name, dropped=count)
            ),
        )

    def _make_table(self) -> RunTable:
        config = self.config
        return RunTable(
            life=self.life,
            host=self.environment.host,
            slots=config.max_concurrent,
            kinds=frozenset(self.kinds),
            bus=self.bus,
            now=self.environment.now,
            aging=config.aging_seconds,
            group_slots={name: group.slots for name, group in config.groups.items()},
        )

    def _levels(self) -> Mapping[str, Callable[[], Level]]:
        """How full each buffer is, by the name under which it is told."""
        config, queue = self.config, self.table.queue
        return {
            "queue": lambda: Level(queue.queued, config.queue_capacity),
            "recorder": lambda: Level(self.recorder.pending, config.recorder_capacity),
            "submits": lambda: Level(
                self.admission.waiting, config.max_waiting_submits
            ),
        }

    def _settle(self) -> None:
        self.admission.settle()
        self.preempting.settle()
        self.gauges.touch()

    async def repair(self) -> Repaired:
        await self.retention.begin()
        rows = await self.store.open_runs()
        self.table.paused.update(await self.store.paused())
        for row in rows:
            self.table.seed(row, await self.reader.fold_stored(row.run_id))
        return await repair(
            rows,
            store=self.store,
            recorder=self.recorder,
            life=self.life,
            max_attempts=self.config.max_attempts,
            now=self.environment.now,
            end_orphans=self.environment.end_orphans,
        )

    def watchers(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """The tasks that live as long as the core, by what each is called when it fails."""
        return {
            "watching the gauges": self.gauges.watch,
            "watching the disk": self.retention.watch_disk,
            "forgetting old runs": self.retention.prune_regularly,
            "calling hooks": self.hooks.watch,
        }

    def start(self, runs_nursery: trio.Nursery, repaired: Repaired) -> Core:
        """The core, whose executions run in `runs_nursery`."""
        submitter = self._make_submitter()
        executing = Executing(
            self._make_tools(submitter),
            self.table,
            self.recorder,
            self.environment.now,
            self.environment.remove_folder,
            tidy_seconds=self.config.cancel_sla,
            runs_nursery=runs_nursery,
        )
        self.table.start = executing.start
        return Core(
            config=self.config,
            kinds=self.kinds,
            store=self.store,
            recorder=self.recorder,
            bus=self.bus,
            submitter=submitter,
            reader=self.reader,
            control=Control(
                self.recorder,
                self.reader,
                self.table,
                self.environment.now,
                self.config.cancel_sla,
            ),
            queue=self.queue,
            table=self.table,
            retention=self.retention,
            life=self.life,
            started_at=self.environment.now(),
            now=self.environment.now,
            repaired=repaired,
            models=self.environment.models,
        )

    def _make_submitter(self) -> Submitter:
        return Submitter(
            self.config,
            self.kinds,
            self.recorder,
            self.reader,
            self.admission,
            now=self.environment.now,
            new_run_id=self.environment.new_run_id,
            obstacle=self.retention.obstacle,
            drained=self.queue.drained,
            has_models=self.environment.models is not None,
        )

    def _make_tools(self, submitter: Submitter) -> Tools:
        environment = self.environment
        return Tools(
            config=self.config,
            kinds=self.kinds,
            recorder=self.recorder,
            bus=self.bus,
            now=environment.now,
            workspace_of=environment.workspace_of,
            make_folder=environment.make_folder,
            executor=environment.executor,
            view_of=self.reader.open_view,
            reads=PatientReads(self.reader, self.config.store_patience),
            is_open=self.reader.is_open,
            parked=lambda: self.table.queue.waiting,
            submit_child=submitter.submit_child,
            models=environment.models,
        )

    async def tell(self, event: AnyEvent) -> None:
        made = new_event(DAEMON_STREAM, event, now=self.environment.now())
        await self.recorder.record(Append((made,)))


@asynccontextmanager
async def open_core(
    config: Config,
    *,
    store: Store,
    kinds: Mapping[str, Kind],
    life: str,
    environment: Environment,
    put_back: str = "",
) -> AsyncIterator[Core]:
    """Repair what the last life left, then run the core. `put_back`: why the log has a new epoch.

    Leaving the block without `shutdown` is a stop: executions end as their `on_restart`
    says, and what they said last is committed.
    """
    parts = Parts(config, kinds, store, life, environment, await store.bounds())
    async with (
        open_recorder(parts.recorder, drain_seconds=config.shutdown_recorder),
        trio.open_nursery() as watchers_nursery,
    ):
        repaired = await parts.repair()
        for name, watcher in parts.watchers().items():
            watchers_nursery.start_soon(endure, name, watcher)
        async with trio.open_nursery() as runs_nursery:
            core = parts.start(runs_nursery, repaired)
            await parts.tell(_started(core, put_back))
            parts.table.claiming = True
            parts.recorder.kick()
            try:
                yield core
            finally:
                # Shielded and bounded inside.
                await _stop(core, parts)  # noqa: ASYNC102
                # Whoever is left has had its time; no record is waited for any more.
                runs_nursery.cancel_scope.cancel(reason="the time to stop is over")
                parts.table.abandon()
        watchers_nursery.cancel_scope.cancel(reason="the runs have ended")


async def _stop(core: Core, parts: Parts) -> None:
    """End the executions; bounded, so that a run that will not unwind cannot hold the daemon.

    The bound counts from the first word to stop: who stopped the servers may have waited already.
    """
    reason = core.submitter.stopping or "stop"
    by = core.submitter.begin_stop(reason)
    with trio.CancelScope(deadline=by, shield=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(parts.tell, DaemonStopping(reason=reason))
            await core.shutdown(reason=reason)


def _started(core: Core, put_back: str) -> DaemonStarted:
    done = core.repaired
    return DaemonStarted(
        version=core.version,
        life=core.life,
        requeued=tuple(done.requeued),
        failed=tuple(done.failed),
        cancelled=tuple(done.cancelled),
        asked=tuple(done.asked),
        ended_pids=tuple(done.ended_pids),
        put_back=put_back,
    )
