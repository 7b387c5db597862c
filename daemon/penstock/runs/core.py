"""The core of a daemon: everything between a store and the surfaces, built once and passed down.

Lifetimes nest: recorder around runs; what is innermost ends first. Two cores in one process share
nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import trio

import penstock
from penstock.config import Config
from penstock.events import (
    DAEMON_STREAM,
    AnyEvent,
    DaemonStarted,
    DaemonStopping,
    SubscriberLagged,
)
from penstock.record.bus import Bus
from penstock.record.recorder import Recorder, open_recorder
from penstock.record.store import Append, Store, draft
from penstock.record.views import RunView
from penstock.runs.admission import Admission
from penstock.runs.control import Control
from penstock.runs.exec import Executor
from penstock.runs.executing import Executing
from penstock.runs.gauges import Gauges
from penstock.runs.hooks import Hooks, caller
from penstock.runs.intake import Intake
from penstock.runs.kind import Kind
from penstock.runs.pausing import Pausing
from penstock.runs.preempting import Preempting
from penstock.runs.reading import Reading
from penstock.runs.repair import EndPrevious, Repaired, repair
from penstock.runs.retention import Retention
from penstock.runs.run import RunModels, Tools
from penstock.runs.scheduler import Scheduler
from penstock.runs.table import RunTable
from penstock.watermark import Reading as Level
from penstock.wire import SubmitRequest


def utc_now() -> datetime:
    """The time of day; injected wherever time is recorded."""
    return datetime.now(UTC)


def new_run_id() -> str:
    """A short id that is easy to type and hard to guess: `r-` and 48 random bits."""
    return f"r-{secrets.token_hex(6)}"


@dataclass(frozen=True, slots=True)
class World:
    """What a core does to the world; tests give it harmless ones."""

    now: Callable[[], datetime]
    new_run_id: Callable[[], str]
    executor: Executor
    workspace_of: Callable[[str], Path]
    make_folder: Callable[[Path], Awaitable[None]]
    remove_folder: Callable[[Path], Awaitable[None]]
    free_bytes: Callable[[], Awaitable[int]]
    end_previous: EndPrevious
    host: str = ""
    models: RunModels | None = None


@dataclass(frozen=True, slots=True)
class Core:
    """What surfaces are given."""

    config: Config
    kinds: Mapping[str, Kind]
    store: Store
    recorder: Recorder
    bus: Bus
    scheduler: Scheduler
    retention: Retention
    life: str
    started_at: datetime
    now: Callable[[], datetime]
    repaired: Repaired
    #: None while no model is configured.
    models: RunModels | None = None
    version: str = penstock.__version__

    @property
    def epoch(self) -> str:
        """Id of the log."""
        return self.store.epoch


@asynccontextmanager
async def open_core(
    config: Config,
    *,
    store: Store,
    kinds: Mapping[str, Kind],
    life: str,
    world: World,
) -> AsyncIterator[Core]:
    """Repair what the last life left, then run the core.

    Leaving the block without `scheduler.shutdown` is a stop: executions end as their `on_restart`
    says, and what they said last is committed.
    """
    bounds = await store.bounds()
    bus = Bus(
        store,
        head=bounds.head,
        floor=bounds.floor,
        ring_events=config.ring_events,
        ring_bytes=config.ring_bytes,
        frame_events=config.frame_events,
        frame_bytes=config.frame_bytes,
        now=world.now,
        on_drop=lambda name, count: recorder.note(
            f"lagged {name}", SubscriberLagged(subscriber=name, dropped=count)
        ),
    )
    parts = _Parts(config, kinds, store, life, world, bus)
    recorder = parts.recorder
    async with (
        open_recorder(recorder, drain_seconds=config.shutdown_recorder),
        trio.open_nursery() as watchers_nursery,
    ):
        repaired = await parts.repair()
        for watcher in parts.watchers():
            watchers_nursery.start_soon(watcher)
        async with trio.open_nursery() as runs_nursery:
            core = parts.start(runs_nursery, repaired)
            await parts.tell(_started(core))
            parts.table.claiming = True
            recorder.kick()
            try:
                yield core
            finally:
                # Shielded and bounded inside.
                await _stop(core, parts)  # noqa: ASYNC102
                # Whoever is left has had its time; no record is waited for any more.
                runs_nursery.cancel_scope.cancel(reason="the time to stop is over")
                parts.table.abandon()
        watchers_nursery.cancel_scope.cancel(reason="the runs have ended")


async def _stop(core: Core, parts: _Parts) -> None:
    """End the executions; bounded, so that a run that will not unwind cannot hold the daemon."""
    reason = core.scheduler.intake.stopping or "stop"
    with trio.move_on_after(core.config.shutdown_runs, shield=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(parts.tell, DaemonStopping(reason=reason))
            await core.scheduler.shutdown(reason=reason)


def _started(core: Core) -> DaemonStarted:
    done = core.repaired
    return DaemonStarted(
        version=core.version,
        life=core.life,
        requeued=tuple(done.requeued),
        failed=tuple(done.failed),
        cancelled=tuple(done.cancelled),
        asked=tuple(done.asked),
        ended_pids=tuple(done.ended_pids),
    )


class _Parts:
    """Builds the core in the order in which its parts need each other."""

    def __init__(
        self,
        config: Config,
        kinds: Mapping[str, Kind],
        store: Store,
        life: str,
        world: World,
        bus: Bus,
    ) -> None:
        self.config, self.kinds, self.store = config, kinds, store
        self.life, self.world, self.bus = life, world, bus
        self.table = RunTable(
            life=life,
            host=world.host,
            slots=config.max_concurrent,
            kinds=frozenset(kinds),
            bus=bus,
            now=world.now,
            aging=config.aging_seconds,
            group_slots={name: group.slots for name, group in config.groups.items()},
        )
        self.recorder = Recorder(
            store=store,
            follower=self.table,
            capacity=config.recorder_capacity,
            patience=config.store_patience,
            note_interval=config.note_seconds,
            now=world.now,
        )
        self.reading = Reading(store, self.table.views)
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
            world.now,
            world.free_bytes,
            world.remove_folder,
            world.workspace_of,
        )
        self.gauges = Gauges(
            {
                "queue": lambda: Level(self.table.queue.queued, config.queue_capacity),
                "recorder": lambda: Level(
                    self.recorder.statistics().pending, config.recorder_capacity
                ),
                "submits": lambda: Level(
                    self.admission.statistics().waiting, config.max_waiting_submits
                ),
            },
            self.recorder.note,
        )
        self.preempting = Preempting(self.table, self.recorder)
        self.pausing = Pausing(self.table, self.recorder, config.groups, world.now)
        self.hooks = Hooks(config, bus, caller(world.executor))
        self.table.settle = self._settle

    def _settle(self) -> None:
        self.admission.settle()
        self.preempting.settle()
        self.gauges.touch()

    async def repair(self) -> Repaired:
        rows = await self.store.open_runs()
        self.table.paused.update(await self.store.paused())
        for row in rows:
            self.table.seed(row, await self.reading.fold_stored(row.run_id))
        return await repair(
            rows,
            store=self.store,
            recorder=self.recorder,
            life=self.life,
            max_attempts=self.config.max_attempts,
            now=self.world.now,
            end_previous=self.world.end_previous,
        )

    def watchers(self) -> list[Callable[[], Awaitable[None]]]:
        return [
            self.gauges.watch,
            self.retention.watch_disk,
            self.retention.prune_regularly,
            self.hooks.watch,
        ]

    def start(self, runs_nursery: trio.Nursery, repaired: Repaired) -> Core:
        world = self.world
        intake = Intake(
            self.config,
            self.kinds,
            self.recorder,
            self.reading,
            self.admission,
            now=world.now,
            new_run_id=world.new_run_id,
            obstacle=self.retention.obstacle,
            drained=self.pausing.drained,
            has_models=world.models is not None,
        )

        async def submit_child(request: SubmitRequest, parent_id: str) -> RunView:
            return (await intake.submit(request, parent_id=parent_id)).view

        tools = Tools(
            config=self.config,
            kinds=self.kinds,
            recorder=self.recorder,
            bus=self.bus,
            now=world.now,
            workspace_of=world.workspace_of,
            make_folder=world.make_folder,
            executor=world.executor,
            view_of=self.reading.open_view,
            read_view=self.reading.view,
            is_open=self.reading.is_open,
            parked=lambda: self.table.queue.waiting,
            submit_child=submit_child,
            models=world.models,
        )
        executing = Executing(
            tools,
            self.table,
            self.recorder,
            world.now,
            world.remove_folder,
            tidy_seconds=self.config.cancel_sla,
            runs_nursery=runs_nursery,
        )
        self.table.start = executing.start
        control = Control(
            self.recorder, self.reading, self.table, world.now, self.config.cancel_sla
        )
        scheduler = Scheduler(
            intake, self.reading, control, self.table, self.recorder, self.pausing
        )
        return Core(
            config=self.config,
            kinds=self.kinds,
            store=self.store,
            recorder=self.recorder,
            bus=self.bus,
            scheduler=scheduler,
            retention=self.retention,
            life=self.life,
            started_at=world.now(),
            now=world.now,
            repaired=repaired,
            models=world.models,
        )

    async def tell(self, event: AnyEvent) -> None:
        made = draft(DAEMON_STREAM, event, now=self.world.now())
        await self.recorder.decide(Append((made,)))
