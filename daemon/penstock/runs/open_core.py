"""A core for as long as a block: its lifetimes nest, recorder around watchers around runs; what is innermost ends first."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import trio

from penstock.concurrency.enduring import endure
from penstock.log.kept import Opening, RunRow
from penstock.log.new_events import new_event
from penstock.log.projections import BrokenStory
from penstock.log.recorder import open_recorder
from penstock.log.store import Store
from penstock.log.writes import Append, SetSlots
from penstock.runs.alarm import Alarm
from penstock.runs.core import Core, Environment
from penstock.runs.gauges import Gauges
from penstock.runs.guarded_trees import is_guarded
from penstock.runs.hooks import Hooks
from penstock.runs.kind import Kind
from penstock.runs.reader import Ancestor
from penstock.runs.repair import Repaired, repair
from penstock.runs.stop import Stop
from penstock.runs.tracing import attach_spans
from penstock.runs.wiring import (
    make_core,
    make_gauges,
    make_hooks,
    make_neighbours,
    make_tools,
)
from penstock.runs.worker import Worker
from penstock.words.config import Config
from penstock.words.errors import LogDamaged, Refused, StoreBroken, StoreUnavailable
from penstock.words.events import DAEMON_STREAM, AnyEvent, DaemonStarted, DaemonStopping

log = logging.getLogger(__name__)


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
    core = make_core(config, store, kinds, life, environment, stop, opening.bounds)
    alarm = Alarm(core.table.moments, core.now, core.ring)
    core.table.on_moment = alarm.touch
    core.table.own_followers += [core.queue.follow, core.schedules.follow]
    # The hooks have seen what there is before repair: what that ends is worth a call too.
    watchers = _watchers(core, make_gauges(core), make_hooks(core), alarm)
    if environment.tell_span is not None:
        attach_spans(core.table, environment.tell_span)
    lasting: dict[str, Callable[[], Awaitable[None]]] = {}
    if (neighbours := make_neighbours(core)) is not None:
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


async def _linger(core: Core, rows: Sequence[RunRow]) -> None:
    """Look at who comes first, if one of these runs, which the last life left open, is held to a scope."""
    for row in rows:
        own = Ancestor(row.kind, row.parent_id)
        if await is_guarded(own, core.kinds, core.reader.ancestor):
            core.trees.linger()
            return


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
            make_tools(core),
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
