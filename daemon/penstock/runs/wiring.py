"""What a core is made of, put together in the order in which its parts need each other.

Nothing of it runs yet: `open_core` has its lifetimes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import penstock
from penstock.log.bus import Bus
from penstock.log.kept import Bounds
from penstock.log.recorder import Recorder
from penstock.log.store import Sharing, Store
from penstock.runs.boxes import Boxes
from penstock.runs.control import Control, LineControl, QueueControl
from penstock.runs.core import Core, Environment
from penstock.runs.folders import FolderLocks
from penstock.runs.gauges import Gauges, Note
from penstock.runs.guarded_trees import GuardedTrees
from penstock.runs.hooks import Hooks, box_of_fact, caller
from penstock.runs.kind import Kind
from penstock.runs.live_output import LiveOutputs
from penstock.runs.preemptor import Preemptor
from penstock.runs.reader import PatientReads, Reader
from penstock.runs.retention import Retention
from penstock.runs.run import Tools
from penstock.runs.run_scopes import RunTokens
from penstock.runs.schedules import Schedules
from penstock.runs.selection import Selection
from penstock.runs.stop import Stop
from penstock.runs.submit import Admission, Submitter
from penstock.runs.suspension import Suspension
from penstock.runs.table import RunTable
from penstock.runs.takeover import Neighbours
from penstock.runs.watermark import Level
from penstock.words.config import Config
from penstock.words.events import (
    BackpressureCleared,
    BackpressureRaised,
    SubscriberLagged,
)
from penstock.words.placement import Place, place_of

#: Seconds before the end of a lease, beside those that programs have to end, by which its runs are given up.
LEASE_MARGIN = 5.0


def make_core(
    config: Config,
    store: Store,
    kinds: Mapping[str, Kind],
    life: str,
    environment: Environment,
    stop: Stop,
    bounds: Bounds,
) -> Core:
    """All parts of a core whose log has these bounds."""
    now = environment.now
    table, recorder = _make_log(config, store, kinds, life, environment, bounds)
    reader = Reader(store, table.views, table.terms)
    retention = _make_retention(
        config, store, recorder, table.bus, environment, reader.is_open
    )
    boxes = Boxes(store, table, recorder, penstock.__version__, now)
    queue = QueueControl(table, recorder, now, boxes.names)
    submitter = Submitter(
        config,
        kinds,
        recorder,
        reader,
        _make_admission(config, table, stop),
        stop,
        now=now,
        new_run_id=environment.new_run_id,
        groups=table.group_slots,
        obstacle=retention.obstacle,
        drained=queue.drained,
        place=table.place,
        has_models=environment.models is not None,
    )
    return Core(
        config=config,
        kinds=kinds,
        store=store,
        life=life,
        environment=environment,
        started_at=now(),
        stop=stop,
        table=table,
        recorder=recorder,
        reader=reader,
        retention=retention,
        queue=queue,
        boxes=boxes,
        submitter=submitter,
        control=Control(recorder, reader, table, now, config.cancel_sla, kinds),
        line=LineControl(recorder, reader, now, kinds),
        suspension=Suspension(recorder, store, table, now, environment.suspend),
        selection=Selection(store),
        live_outputs=LiveOutputs(config.live_bytes),
        schedules=Schedules(recorder, store, submitter, reader.is_open, now),
        tokens=RunTokens(table.executions, environment.secrets),
        trees=GuardedTrees(),
    )


def _make_log(
    config: Config,
    store: Store,
    kinds: Mapping[str, Kind],
    life: str,
    environment: Environment,
    bounds: Bounds,
) -> tuple[RunTable, Recorder]:
    """The recorder, and what follows it: the table of runs, which publishes on a bus."""

    def note_drop(name: str, count: int) -> None:
        recorder.coalesce(
            f"lagged {name}", SubscriberLagged(subscriber=name, dropped=count)
        )

    table = RunTable(
        life=life,
        host=environment.host,
        slots=config.max_concurrent,
        kinds=frozenset(kinds),
        bus=_make_bus(config, store, bounds, environment.now, note_drop),
        now=environment.now,
        aging=config.aging_seconds,
        group_slots={name: group.slots for name, group in config.groups.items()},
        place=_place(config, environment, store),
    )
    recorder = Recorder(
        store=store,
        projection=table,
        capacity=config.recorder_capacity,
        patience=_patience(config, store.sharing),
        coalesce_seconds=config.note_seconds,
        now=environment.now,
        redact=environment.redact,
    )
    return table, recorder


def _place(config: Config, environment: Environment, store: Store) -> Place:
    """This box, as runs see it."""
    return place_of(
        environment.host,
        config.labels,
        team=config.accept == "team",
        shared=store.sharing is not None,
    )


def _make_bus(
    config: Config,
    store: Store,
    bounds: Bounds,
    now: Callable[[], datetime],
    on_drop: Callable[[str, int], None],
) -> Bus:
    return Bus(
        store,
        head=bounds.head,
        floor=bounds.floor,
        ring_events=config.ring_events,
        ring_bytes=config.ring_bytes,
        frame_events=config.frame_events,
        frame_bytes=config.frame_bytes,
        now=now,
        on_drop=on_drop,
    )


def _make_admission(config: Config, table: RunTable, stop: Stop) -> Admission:
    return Admission(
        config.queue_capacity,
        config.max_waiting_submits,
        queued=lambda: table.queue.queued,
        stop=stop,
    )


def _make_retention(
    config: Config,
    store: Store,
    recorder: Recorder,
    bus: Bus,
    environment: Environment,
    is_open: Callable[[str], bool],
) -> Retention:
    return Retention(
        config,
        store,
        recorder,
        bus,
        environment.now,
        environment.steady,
        environment.free_bytes,
        environment.remove_folder,
        environment.workspace_of,
        is_open,
        FolderLocks(),
    )


def _patience(config: Config, sharing: Sharing | None) -> float:
    """Seconds that facts wait for the store: as long as the daemon is taken to be there, if it is one of several."""
    if sharing is None:
        return config.store_patience
    left = sharing.lease_seconds - config.kill_grace - LEASE_MARGIN
    return max(config.store_patience, left)


def make_gauges(core: Core) -> Gauges:
    """The gauges, read after each commit; so is who may come in then, and who is to give way."""
    config, table, recorder = core.config, core.table, core.recorder
    admission = core.submitter.admission
    gauges = Gauges(
        {
            "queue": lambda: Level(table.queue.queued, config.queue_capacity),
            "recorder": lambda: Level(recorder.pending, config.recorder_capacity),
            "submits": lambda: Level(admission.waiting, config.max_waiting_submits),
        },
        _note_of_box(recorder, core.table.shared_box)
        if core.table.shared_box
        else recorder.coalesce,
    )
    preemptor = Preemptor(table, recorder)

    def after_commit() -> None:
        admission.let_in()
        preemptor.look()
        gauges.touch()

    table.after_commit = after_commit
    return gauges


def _note_of_box(recorder: Recorder, box: str) -> Note:
    """Notes a gauge as this box's: those of others say what they have in hand."""

    def note(name: str, edge: BackpressureRaised | BackpressureCleared) -> None:
        recorder.coalesce(name, edge.model_copy(update={"box": box}))

    return note


def make_hooks(core: Core) -> Hooks:
    """What calls the programs that the configuration names for facts; it knows those that there are by now."""
    environment = core.environment
    return Hooks(
        core.config,
        core.bus,
        caller(environment.executor),
        box=environment.host,
        box_of=None if core.store.sharing is None else box_of_fact(core.store),
    )


def make_neighbours(core: Core) -> Neighbours | None:
    """The other daemons of the log, and what this one does at their word; None: it has the log alone."""
    if (sharing := core.store.sharing) is None:
        return None
    core.table.shared = True
    core.table.on_work = core.recorder.kick
    core.table.on_pause = core.suspension.follow
    return Neighbours(
        sharing=sharing,
        store=core.store,
        recorder=core.recorder,
        bus=core.bus,
        views=core.table.views,
        life=core.life,
        max_attempts=core.config.max_attempts,
        now=core.now,
        on_look=core.table.look_for_work,
        on_left=core.boxes.note_left,
    )


def make_tools(core: Core) -> Tools:
    """What every execution is given."""
    environment = core.environment
    return Tools(
        config=core.config,
        kinds=core.kinds,
        recorder=core.recorder,
        bus=core.bus,
        now=environment.now,
        workspace_of=environment.workspace_of,
        make_folder=environment.make_folder,
        folders=core.retention.folders,
        executor=environment.executor,
        view_of=core.reader.open_view,
        reads=PatientReads(core.reader, _patience(core.config, core.store.sharing)),
        is_open=core.reader.is_open,
        parked=lambda: core.table.queue.waiting,
        suspend=environment.suspend,
        submit_child=core.submitter.submit_child,
        tokens=core.tokens,
        trees=core.trees,
        models=environment.models,
        held_back=environment.held_back,
        live_of=core.live_outputs.find,
        traced=environment.tell_span is not None,
    )
