"""Opening a core: everything between a store and the surfaces, built once and passed down.

Lifetimes nest: recorder around runs; what is innermost ends first. Two cores in one process share
nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import trio

from penstock.log.recorder import open_recorder
from penstock.log.store import Store
from penstock.runs.core import Core, World
from penstock.runs.kind import Kind
from penstock.runs.parts import Parts
from penstock.words.config import Config
from penstock.words.events import (
    DaemonStarted,
    DaemonStopping,
)


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
    parts = Parts(config, kinds, store, life, world, await store.bounds())
    async with (
        open_recorder(parts.recorder, drain_seconds=config.shutdown_recorder),
        trio.open_nursery() as watchers_nursery,
    ):
        repaired = await parts.repair()
        for watcher in parts.watchers():
            watchers_nursery.start_soon(watcher)
        async with trio.open_nursery() as runs_nursery:
            core = parts.start(runs_nursery, repaired)
            await parts.tell(_started(core))
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
