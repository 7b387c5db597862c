"""The parts of a core, built in the order in which they need each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import trio

from penstock.log.bus import Bus
from penstock.log.recorder import Recorder
from penstock.log.store import Store
from penstock.log.writes import Append, Bounds, draft
from penstock.runs.admission import Admission
from penstock.runs.control import Control
from penstock.runs.core import Core, World
from penstock.runs.executing import Executing
from penstock.runs.gauges import Gauges
from penstock.runs.hooks import Hooks, caller
from penstock.runs.intake import Intake
from penstock.runs.kind import Kind
from penstock.runs.pausing import Pausing
from penstock.runs.preempting import Preempting
from penstock.runs.reading import Reading
from penstock.runs.reads import PatientReads
from penstock.runs.repair import Repaired, repair
from penstock.runs.retention import Retention
from penstock.runs.run import Tools
from penstock.runs.scheduler import Scheduler
from penstock.runs.table import RunTable
from penstock.watermark import Reading as Level
from penstock.words.config import Config
from penstock.words.events import (
    DAEMON_STREAM,
    AnyEvent,
    SubscriberLagged,
)


class Parts:
    """Builds the core in the order in which its parts need each other."""

    def __init__(
        self,
        config: Config,
        kinds: Mapping[str, Kind],
        store: Store,
        life: str,
        world: World,
        bounds: Bounds,
    ) -> None:
        self.config, self.kinds, self.store = config, kinds, store
        self.life, self.world = life, world
        self.bus = bus = self._make_bus(bounds)
        self.table = self._make_table()
        self.recorder = Recorder(
            store=store,
            follower=self.table,
            capacity=config.recorder_capacity,
            patience=config.store_patience,
            note_interval=config.note_seconds,
            now=world.now,
            redact=world.redact,
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
        self.gauges = Gauges(self._levels(), self.recorder.note)
        self.preempting = Preempting(self.table, self.recorder)
        self.pausing = Pausing(self.table, self.recorder, config.groups, world.now)
        self.hooks = Hooks(config, bus, caller(world.executor))
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
            now=self.world.now,
            on_drop=lambda name, count: self.recorder.note(
                f"lagged {name}", SubscriberLagged(subscriber=name, dropped=count)
            ),
        )

    def _make_table(self) -> RunTable:
        config = self.config
        return RunTable(
            life=self.life,
            host=self.world.host,
            slots=config.max_concurrent,
            kinds=frozenset(self.kinds),
            bus=self.bus,
            now=self.world.now,
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
        """The core, whose executions run in `runs_nursery`."""
        intake = self._make_intake()
        executing = Executing(
            self._make_tools(intake),
            self.table,
            self.recorder,
            self.world.now,
            self.world.remove_folder,
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
            scheduler=self._make_scheduler(intake),
            retention=self.retention,
            life=self.life,
            started_at=self.world.now(),
            now=self.world.now,
            repaired=repaired,
            models=self.world.models,
        )

    def _make_intake(self) -> Intake:
        return Intake(
            self.config,
            self.kinds,
            self.recorder,
            self.reading,
            self.admission,
            now=self.world.now,
            new_run_id=self.world.new_run_id,
            obstacle=self.retention.obstacle,
            drained=self.pausing.drained,
            has_models=self.world.models is not None,
        )

    def _make_tools(self, intake: Intake) -> Tools:
        world = self.world
        return Tools(
            config=self.config,
            kinds=self.kinds,
            recorder=self.recorder,
            bus=self.bus,
            now=world.now,
            workspace_of=world.workspace_of,
            make_folder=world.make_folder,
            executor=world.executor,
            view_of=self.reading.open_view,
            reads=PatientReads(self.reading, self.config.store_patience),
            is_open=self.reading.is_open,
            parked=lambda: self.table.queue.waiting,
            submit_child=intake.submit_child,
            models=world.models,
        )

    def _make_scheduler(self, intake: Intake) -> Scheduler:
        table, recorder = self.table, self.recorder
        patience = self.config.cancel_sla
        control = Control(recorder, self.reading, table, self.world.now, patience)
        return Scheduler(intake, self.reading, control, table, recorder, self.pausing)

    async def tell(self, event: AnyEvent) -> None:
        made = draft(DAEMON_STREAM, event, now=self.world.now())
        await self.recorder.decide(Append((made,)))
