"""The embedded daemon: one run, a log of its own, and nothing that another daemon would notice."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from penstock.concurrency.deferred import DeferredFailure
from penstock.concurrency.late import import_late
from penstock.log.put_back import one_broken_store
from penstock.log.sqlite.database import hold_lock
from penstock.log.sqlite.migrations import MigrationPolicy
from penstock.log.sqlite.store import SqliteStore, open_sqlite, threads
from penstock.runs.core import Core
from penstock.runs.repair import end_all
from penstock.server.in_process import InProcess, open_in_process
from penstock.server.listeners import listening_unix
from penstock.server.shutdown import Shutdown
from penstock.service.daemon import open_servers, open_stored_core
from penstock.service.environment import (
    TESTIMONIES,
    end_last_life,
    open_daemon_models,
    proven_gone,
)
from penstock.service.machine import check_machine, make_folder, make_state
from penstock.service.stored_log import LogFiles
from penstock.words.address import Address, find_paths, socket_address
from penstock.words.config import Config
from penstock.words.errors import StartRefused, StoreUnavailable
from penstock.words.holder import tell_address
from penstock.words.values import utc_now

if TYPE_CHECKING:
    from penstock.llm.models import DaemonModels

log = logging.getLogger("penstock")

#: Seconds after which the server is imported, though nobody came: an upgrade below a run that lasts longer
#: would have a new server speak with an old daemon.
SERVER_SECONDS = 2.0

BASE = "http://localhost"


@dataclass(frozen=True, slots=True)
class EmbeddedDaemon:
    """A daemon that answers: this process by `own`, and everybody at its address."""

    address: Address
    own: InProcess


@asynccontextmanager
async def open_embedded(
    config: Config,
    run_id: str,
    environ: Mapping[str, str],
    log: Path | None = None,
) -> AsyncIterator[EmbeddedDaemon]:
    """A daemon for the length of one run: a log and a Unix socket of its own, and no port.

    The log (None: one named after the run) stays and is read afterwards by the run's id. Any number
    may run at once.
    """
    check_machine(os.uname())
    paths = find_paths(
        environ, state_dir=config.state_dir, runtime_dir=config.runtime_dir
    )
    make_state(paths)
    database = log or paths.embedded_database(run_id)
    socket = paths.embedded_socket(database)
    make_folder(database.parent)
    lock = database.with_suffix(".lock")
    # No mark: nobody has a place in a log of one run to come back to.
    files = LogFiles(database, lock)
    with one_broken_store(), hold_lock(lock):
        try:
            with listening_unix(socket) as listener:
                tell_address(lock, socket, None)
                async with (
                    # A run that needs no model must not fail for one that is down.
                    open_daemon_models(config, environ, must_answer=False) as models,
                    open_stored_core(
                        config, environ, paths, files, f"unix:{socket}", models
                    ) as core,
                    _open_own(core) as own,
                    _open_late_server(core, listener, models),
                ):
                    yield EmbeddedDaemon(socket_address(socket), own)
        finally:
            lock.unlink(missing_ok=True)


@asynccontextmanager
async def _open_own(core: Core) -> AsyncIterator[InProcess]:
    """What answers this process; leaving the block ends the runs first, bounded, as a server's stop does."""
    last_words = Shutdown()
    async with open_in_process(core, last_words, BASE) as own:
        try:
            yield own
        finally:
            with trio.CancelScope(deadline=core.stop.ask("stop"), shield=True):
                await core.shutdown()
            last_words.end_streams()


@asynccontextmanager
async def _open_late_server(
    core: Core, listener: trio.SocketListener, models: DaemonModels | None
) -> AsyncIterator[None]:
    """The server for everybody else: imported when the first of them comes, or after a while.

    Most runs are over before either; those who come meanwhile wait in the listener's queue. What keeps
    it from being imported is no fault of the run.
    """
    over = trio.Event()
    before = trio.CancelScope()
    failed = DeferredFailure()

    async def serve_others() -> None:
        with failed:
            await serve_late()
        if failed.error is not None:
            log.error("nobody else can ask this daemon", exc_info=failed.error)

    async def serve_late() -> None:
        with before:
            with trio.move_on_after(SERVER_SECONDS):
                await trio.lowlevel.wait_readable(listener.socket)
            for module in ("app", "door", "ws"):
                await import_late(f"penstock.server.{module}")
        if before.cancelled_caught:
            return
        async with open_servers(core, [listener], base=BASE, token=None, models=models):
            await over.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_others)
        try:
            yield
        finally:
            before.cancel(reason="the run is over")
            over.set()


async def repair_left(store: SqliteStore, database: Path, config: Config) -> bool:
    """End what an embedded daemon that was killed left open in its log, before it is read.

    Nothing is touched while a daemon holds the log. What cannot be repaired is read as it is. True:
    the store is a copy of an older log that was migrated for it; open the log anew.
    """
    if not await store.open_runs():
        return False
    with (
        suppress(StartRefused, StoreUnavailable),
        hold_lock(database.with_suffix(".lock")),
    ):
        if store.copy_of is None:
            await _end_left(store, config, database.parent.parent)
            return False
        async with open_sqlite(
            database,
            life=f"repair/{secrets.token_hex(8)}",
            run_blocking=threads(1),
            migration=MigrationPolicy(copy=config.migration_copy),
        ) as writing:
            await _end_left(writing, config, database.parent.parent)
            return True
    return False


async def _end_left(store: SqliteStore, config: Config, state: Path) -> None:
    end = partial(end_last_life, epoch=store.log_id, grace=config.kill_grace)
    gone = partial(proven_gone, state / TESTIMONIES)
    await end_all(store, now=utc_now, end_orphans=end, proven_gone=gone)
