"""The embedded daemon: one run, a log of its own, and nothing that another daemon would notice."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from penstock.log.put_back import one_broken_store
from penstock.log.sqlite.database import hold_lock
from penstock.log.sqlite.migrations import MigrationPolicy
from penstock.log.sqlite.store import SqliteStore, open_sqlite, threads
from penstock.runs.repair import end_all
from penstock.server.listeners import listening_unix
from penstock.service.daemon import LogFiles, open_servers, open_stored_core
from penstock.service.environment import (
    TESTIMONIES,
    end_last_life,
    open_daemon_models,
    proven_gone,
)
from penstock.service.machine import check_machine, make_folder, make_state
from penstock.words.address import Address, find_paths, socket_address
from penstock.words.config import Config
from penstock.words.errors import StartRefused, StoreUnavailable
from penstock.words.holder import tell_address
from penstock.words.values import utc_now


@asynccontextmanager
async def open_embedded(
    config: Config,
    run_id: str,
    environ: Mapping[str, str],
    log: Path | None = None,
) -> AsyncIterator[Address]:
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
                    open_servers(
                        core,
                        [listener],
                        base="http://localhost",
                        token=None,
                        models=models,
                    ),
                ):
                    yield socket_address(socket)
        finally:
            lock.unlink(missing_ok=True)


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
