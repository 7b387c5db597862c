"""Where a daemon's log lies, and how it is opened: in a file, or under a lease in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.concurrency.threads import RunBlocking, open_threads, run_in_thread
from penstock.log.postgresql.extra import require_psycopg
from penstock.log.put_back import Watch, check_same_log, watching
from penstock.log.sqlite.migrations import MigrationPolicy
from penstock.log.sqlite.store import SqliteStore, open_sqlite
from penstock.log.tables.output_window import WindowLimits
from penstock.log.tables.queries import READERS
from penstock.runs.stop import Stop
from penstock.service.environment import box_of, queue_settings
from penstock.service.lease import Lease, open_lease
from penstock.words.address import Paths
from penstock.words.config import Config

if TYPE_CHECKING:
    from penstock.log.postgresql.store import PostgresStore


@dataclass(frozen=True, slots=True)
class LogFiles:
    """Where a log lies: its database, the lock beside it, and the mark of how far it came.

    Without a mark nothing notices a log that was put back. With a `url` it lies in that PostgreSQL,
    in this schema, and the database's file is none.
    """

    database: Path
    lock: Path
    mark: Path | None = None
    url: str | None = None
    schema: str = ""

    def tell(self) -> str:
        """Where the log is, for people."""
        if self.url is None:
            return str(self.database)
        from penstock.log.postgresql.ownership import place_of

        return f"the {place_of(self.url, self.schema)}"


@dataclass(frozen=True, slots=True)
class StoredLog:
    """A log that is open, and the lease of a daemon that shares it; None of one that is nobody else's."""

    store: SqliteStore | PostgresStore
    watch: Watch
    lease: Lease | None


def log_files(config: Config, paths: Paths) -> LogFiles:
    """Where the daemon's log is to be; each log has a mark of its own."""
    if config.store is None:
        return LogFiles(paths.database, paths.lock, paths.mark)
    mark = paths.mark.with_name(f"{paths.mark.name}-{config.store_schema}")
    return LogFiles(paths.database, paths.lock, mark, config.store, config.store_schema)


@asynccontextmanager
async def open_stored_log(
    config: Config,
    files: LogFiles,
    life: str,
    lease_file: Path,
    *,
    stop: Stop | None,
    tell: Callable[[str], None],
    flush: Callable[[], None],
) -> AsyncIterator[StoredLog]:
    """The log of this `life`. Callbacks, and StoreBroken out of the block: see `open_daemon`, `open_stored_core`."""
    migration = MigrationPolicy(
        copy=config.migration_copy,
        tell=tell,
        stopped=lambda: stop is not None and stop.reason is not None,
    )
    if files.url is not None:
        await run_in_thread(_import_postgresql)
    async with (
        _open_lease(config, files, lease_file, flush) as lease,
        # With threads of its own: a commit must not wait for one that nobody can have.
        open_threads(1, "store") as writing,
        open_threads(READERS, "readers of the store") as reading,
        _open_store(config, files, life, migration, lease, writing, reading) as store,
    ):
        if files.url is not None and files.mark is not None:
            # A log elsewhere must be the one that was there.
            what = f"what is in {files.tell()}"
            await run_in_thread(check_same_log, files.mark, store.log_id, what)
        async with watching(store, files.mark) as watch:
            yield StoredLog(store, watch, lease)


@asynccontextmanager
async def _open_lease(
    config: Config, files: LogFiles, path: Path, flush: Callable[[], None]
) -> AsyncIterator[Lease | None]:
    """Around the store, whose end may take longer than the lease."""
    if files.url is None:
        yield None
        return
    async with open_lease(
        path, seconds=config.lease_seconds, kill_grace=config.kill_grace, flush=flush
    ) as lease:
        yield lease


def _open_store(
    config: Config,
    files: LogFiles,
    life: str,
    migration: MigrationPolicy,
    lease: Lease | None,
    writing: RunBlocking,
    reading: RunBlocking,
) -> AbstractAsyncContextManager[SqliteStore | PostgresStore]:
    limits = WindowLimits(config.output_head_bytes, config.output_tail_bytes)
    if files.url is None or lease is None:
        return open_sqlite(
            files.database,
            life=life,
            run_blocking=writing,
            run_reading=reading,
            beside=[files.lock],
            migration=migration,
            limits=limits,
        )
    from penstock.log.postgresql.ownership import Owner, StartPatience, this_machine
    from penstock.log.postgresql.store import open_postgresql

    owner = Owner(
        life=life,
        box=box_of(config),
        machine=this_machine(),
        folder=str(files.lock.parent),
        lease_seconds=config.lease_seconds,
        slots=config.max_concurrent,
        labels=config.labels,
        accept=config.accept,
        settings=queue_settings(config),
    )
    return open_postgresql(
        files.url,
        schema=files.schema,
        owner=owner,
        run_blocking=writing,
        run_reading=reading,
        limits=limits,
        on_renewed=lease.renewed,
        on_broken=lease.lost,
        why_over=lease.why_over,
        patience=StartPatience(migration.tell, migration.stopped),
    )


def _import_postgresql() -> None:
    """What opens such a log, before there is a lease. StartRefused without the extra."""
    require_psycopg()
    import penstock.log.postgresql.ownership
    import penstock.log.postgresql.store  # noqa: F401
