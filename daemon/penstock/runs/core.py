"""The core: everything between a store and the surfaces, made once by `open_core` and passed down.

It is put together in the order in which its parts need each other, before anything of it runs. Then
its lifetimes nest: recorder around watchers around runs; what is innermost ends first. Two cores in
one process share nothing.
"""

from __future__ import annotations

import logging
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

import trio

import penstock
from penstock.concurrency.enduring import endure
from penstock.log.bus import Bus
from penstock.log.projections import BrokenStory, RunView
from penstock.log.recorder import Recorder, open_recorder
from penstock.log.redaction import Redact, Secrets
from penstock.log.spans import TraceSpan
from penstock.log.store import Sharing, Store
from penstock.log.writes import (
    Append,
    Bounds,
    Opening,
    RequestCancel,
    RunRow,
    SetSlots,
    new_event,
)
from penstock.processes.output import HeldBack, nothing_secret
from penstock.runs.alarm import Alarm
from penstock.runs.boxes import Boxes
from penstock.runs.control import Control, LineControl, QueueControl
from penstock.runs.folders import FolderLocks
from penstock.runs.gauges import Gauges, Note, QueueStatistics, take_statistics
from penstock.runs.guarded_trees import GuardedTrees, is_guarded
from penstock.runs.hooks import Hooks, box_of_fact, caller
from penstock.runs.kind import Kind
from penstock.runs.live_output import LiveOutputs
from penstock.runs.preemptor import Preemptor
from penstock.runs.program import Executor
from penstock.runs.queue import QueueSnapshot
from penstock.runs.reader import Ancestor, PatientReads, Reader
from penstock.runs.repair import EndOrphans, ProvenGone, Repaired, none_proven, repair
from penstock.runs.retention import Retention
from penstock.runs.run import ModelAccess, Tools
from penstock.runs.run_scopes import RunTokens
from penstock.runs.schedules import Schedules
from penstock.runs.selection import Selection
from penstock.runs.stop import Stop
from penstock.runs.submit import Admission, Submitter
from penstock.runs.suspension import Suspension
from penstock.runs.table import RunTable
from penstock.runs.takeover import Neighbours
from penstock.runs.tracing import attach_spans
from penstock.runs.watermark import Level
from penstock.runs.whereabouts import SeenBox
from penstock.runs.why import Why, explain
from penstock.runs.worker import Worker
from penstock.words.config import Config
from penstock.words.errors import (
    LogDamaged,
    Refused,
    RunNotFound,
    StoreBroken,
    StoreUnavailable,
)
from penstock.words.events import (
    DAEMON_STREAM,
    AnyEvent,
    BackpressureCleared,
    BackpressureRaised,
    DaemonStarted,
    DaemonStopping,
    ProcessStarted,
    SubscriberLagged,
)
from penstock.words.placement import Place, place_of

log = logging.getLogger(__name__)

#: Seconds before the end of a lease, beside those that programs have to end, by which its runs are given up.
LEASE_MARGIN = 5.0


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

    def _queue(self, boxes: Sequence[SeenBox]) -> QueueSnapshot:
        return replace(self.table.snapshot(), boxes=boxes)

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


@asynccontextmanager
async def open_core(
    config: Config,
    *,
    store: Store,
    kinds: Mapping[str, Kind],
    life: str,
    environment: Environment,
    put_back: str = "",
    stop: Stop | None = None,
) -> AsyncIterator[Core]:
    """Repair what the last life left, then run the core. `put_back`: why the log has a new epoch.

    `stop` is given by whoever may be told to stop from outside. Leaving the block without
    `Core.shutdown` is a stop: executions end as their `on_restart` says, and what they said last is
    committed.
    """
    stop = stop or Stop(config.shutdown_runs)
    opening = await store.opening()
    core = _make_core(config, store, kinds, life, environment, stop, opening.bounds)
    alarm = Alarm(core.table.moments, core.now, core.ring)
    core.table.on_moment = alarm.touch
    core.table.own_followers += [core.queue.follow, core.schedules.follow]
    # The hooks have seen what there is before repair: what that ends is worth a call too.
    watchers = _watchers(core, _make_gauges(core), _make_hooks(core), alarm)
    if environment.tell_span is not None:
        attach_spans(core.table, environment.tell_span)
    lasting: dict[str, Callable[[], Awaitable[None]]] = {}
    if (neighbours := _make_neighbours(core)) is not None:
        # From the first repair to the last conclusion.
        lasting["keeping the lease"] = neighbours.keep_lease
        watchers |= {
            "hearing of other boxes": neighbours.listen,
            "watching the leases of other boxes": neighbours.watch_leases,
            "pausing programs for other boxes": core.suspension.heed,
        }
    async with (
        open_recorder(core.recorder, drain_seconds=config.shutdown_recorder),
        _open_watchers(lasting),
    ):
        started = _started(core, await _repair(core, opening), put_back)
        await core.queue.open_again()
        async with _open_watchers(watchers), _open_runs(core, started):
            yield core


def _watchers(
    core: Core, gauges: Gauges, hooks: Hooks, alarm: Alarm
) -> dict[str, Callable[[], Awaitable[None]]]:
    """What every core watches as long as it lives, by what each is called when it fails."""
    return {
        "watching the gauges": gauges.watch,
        "watching the disk": core.retention.watch_disk,
        "forgetting old runs": core.retention.prune_regularly,
        "calling hooks": hooks.watch,
        "waiting for moments": alarm.watch,
        "making scheduled runs": core.schedules.watch,
        "pausing programs": core.suspension.watch,
    }


def _make_hooks(core: Core) -> Hooks:
    environment = core.environment
    return Hooks(
        core.config,
        core.bus,
        caller(environment.executor),
        box=environment.host,
        box_of=None if core.store.sharing is None else box_of_fact(core.store),
    )


def _make_core(
    config: Config,
    store: Store,
    kinds: Mapping[str, Kind],
    life: str,
    environment: Environment,
    stop: Stop,
    bounds: Bounds,
) -> Core:
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


def _make_neighbours(core: Core) -> Neighbours | None:
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
    )


def _patience(config: Config, sharing: Sharing | None) -> float:
    """Seconds that facts wait for the store: as long as the daemon is taken to be there, if it is one of several."""
    if sharing is None:
        return config.store_patience
    left = sharing.lease_seconds - config.kill_grace - LEASE_MARGIN
    return max(config.store_patience, left)


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


def _make_gauges(core: Core) -> Gauges:
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


async def _linger(core: Core, rows: Sequence[RunRow]) -> None:
    """Look at who comes first, if one of these runs, which the last life left open, is held to a scope."""
    for row in rows:
        own = Ancestor(row.kind, row.parent_id)
        if await is_guarded(own, core.kinds, core.reader.ancestor):
            core.trees.linger()
            return


async def _repair(core: Core, opening: Opening) -> Repaired:
    """Have the table as the log has it, and end what the last life left executing."""
    await core.retention.begin()
    rows = await _seed(core, opening)
    await _linger(core, rows)
    core.table.begin_with(opening)
    sharing, lost = core.store.sharing, frozenset[str]()
    if sharing is not None:
        lost = (await sharing.forsaken()).runs
        # What other boxes execute is theirs, and an earlier life of this one's is ours.
        rows = [r for r in rows if r.host == sharing.box or r.run_id in lost]
    return await repair(
        rows,
        core.table.views,
        store=core.store,
        recorder=core.recorder,
        life=core.life,
        max_attempts=core.config.max_attempts,
        now=core.now,
        end_orphans=core.environment.end_orphans,
        proven_gone=core.environment.proven_gone,
        by_lease=lost,
    )


async def _seed(core: Core, opening: Opening) -> list[RunRow]:
    """Fill the table with the runs that are open, and return them, without those that are damaged."""
    rows: list[RunRow] = []
    for row in opening.open_runs:
        try:
            view = await core.reader.fold_stored(row.run_id, opening.bounds.head)
        except (LogDamaged, BrokenStory) as error:
            log.error("the run %s is left as it is: %s", row.run_id, error)
            await core.store.lose(row.run_id)
            continue
        core.table.seed(row, view)
        rows.append(row)
    return rows


async def _share_groups(core: Core) -> None:
    """Have the groups of this box's configuration in the log, where it is shared: one number for all boxes.

    Who came first has the say, until `penstock slots`; that a configuration says otherwise is told.
    """
    if not core.table.place.shared:
        return
    for group, slots in core.config.groups.items():
        await core.recorder.record(SetSlots(slots.slots, core.now(), group, first=True))
        held = core.table.group_slots.get(group)
        if held != slots.slots:
            log.warning(
                "the group %s has %s slots for all boxes, and %s by the configuration of this one:"
                " `penstock slots --group %s N` gives it others",
                group, held, slots.slots, group,
            )  # fmt: skip


@asynccontextmanager
async def _open_watchers(
    watchers: Mapping[str, Callable[[], Awaitable[None]]],
) -> AsyncIterator[None]:
    """The tasks that live as long as the core, by what each is called when it fails."""
    async with trio.open_nursery() as watchers_nursery:
        for name, watcher in watchers.items():
            watchers_nursery.start_soon(endure, name, watcher)
        yield
        watchers_nursery.cancel_scope.cancel(reason="the runs have ended")


@asynccontextmanager
async def _open_runs(core: Core, started: DaemonStarted) -> AsyncIterator[None]:
    """Claim and execute runs; leaving the block stops them, within the time they have."""
    async with trio.open_nursery() as runs_nursery:
        worker = Worker(
            _make_tools(core),
            core.environment.remove_folder,
            tidy_seconds=core.config.cancel_sla,
            nursery=runs_nursery,
        )
        await _announce(core, started)
        await _share_groups(core)
        core.table.begin_claiming(worker.start)
        core.recorder.kick()
        try:
            yield
        finally:
            # Shielded and bounded inside.
            await _stop(core)  # noqa: ASYNC102
            # Whoever is left has had its time; no record is waited for any more.
            runs_nursery.cancel_scope.cancel(reason="the time to stop is over")
            core.table.abandon()


def _make_tools(core: Core) -> Tools:
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


async def _stop(core: Core) -> None:
    """End the executions; bounded, so that a run that will not unwind cannot hold the daemon.

    The bound counts from the first word to stop: who stopped the servers may have waited already.
    """
    by = core.stop.ask("stop")
    reason = core.stop.reason or "stop"
    with trio.CancelScope(deadline=by, shield=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_announce_stop, core, reason)
            await core.shutdown(reason=reason)


async def _announce_stop(core: Core, reason: str) -> None:
    """Record that the daemon stops; a log that takes no word takes none of this, and the runs end all the same."""
    with suppress(Refused, StoreBroken, StoreUnavailable):
        await _announce(core, DaemonStopping(reason=reason, box=core.table.shared_box))


async def _announce(core: Core, event: AnyEvent) -> None:
    """Record a fact about the daemon itself."""
    made = new_event(DAEMON_STREAM, event, now=core.now())
    await core.recorder.record(Append((made,)))


def _started(core: Core, repaired: Repaired, put_back: str) -> DaemonStarted:
    return DaemonStarted(
        version=core.version,
        life=core.life,
        requeued=tuple(repaired.requeued),
        failed=tuple(repaired.failed),
        cancelled=tuple(repaired.cancelled),
        asked=tuple(repaired.asked),
        ended_pids=tuple(repaired.ended_pids),
        put_back=put_back,
        box=core.table.shared_box,
    )
