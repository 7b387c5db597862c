"""The composition root: builds every object of a daemon once and passes it down.

Lifetimes nest: lock around store around core around servers. A stop ends them inside out: first no
new connections, then the runs while their streams still flow, then a last word to every client.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

import trio

from penstock.carried import keep_late_code
from penstock.concurrency.threads import RunBlocking, open_threads, run_in_thread
from penstock.kinds.registry import load_kinds
from penstock.log.put_back import Watch, check_same_log, one_broken_store, watching
from penstock.log.redaction import Secrets, make_held_back, make_redaction
from penstock.log.sqlite.database import hold_lock
from penstock.log.sqlite.migrations import MigrationPolicy
from penstock.log.sqlite.store import SqliteStore, open_sqlite
from penstock.log.tables.output_window import WindowLimits
from penstock.log.tables.queries import READERS
from penstock.processes.detection import detect_containment
from penstock.processes.forking import open_launcher
from penstock.runs.core import Core, open_core
from penstock.runs.stop import Stop
from penstock.server.bearer import ensure_token
from penstock.server.guard import check_exposure, make_guard
from penstock.server.listeners import (
    adopt_listeners,
    listening,
    tcp_addresses,
    unix_paths,
)
from penstock.server.shutdown import Shutdown
from penstock.service.environment import (
    box_of,
    open_daemon_models,
    queue_settings,
    real_environment,
)
from penstock.service.lease import Lease, open_lease
from penstock.service.log_writer import LogWriter
from penstock.service.machine import check_machine, make_state
from penstock.service.signals import LAST_WORDS_SECONDS, LastResort, Start, heed_signals
from penstock.service.systemd import UNSUPERVISED, Reporter, Supervision
from penstock.service.tracing import open_tracing
from penstock.service.watchdog import Watchdog, WatchdogStatistics, open_watchdog
from penstock.words.address import Paths, base_url, find_paths
from penstock.words.config import Config
from penstock.words.errors import PenstockError, StartRefused
from penstock.words.holder import tell_address

if TYPE_CHECKING:
    from penstock.llm.models import DaemonModels
    from penstock.log.postgresql.store import PostgresStore
    from penstock.server.health import HealthOf
    from penstock.server.meter import Meter
    from penstock.server.routes import Handler

log = logging.getLogger("penstock")


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon that answers. `base` is how clients on this box address it."""

    core: Core
    shutdown: Shutdown
    base: str
    paths: Paths


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
class Vitals:
    """What the process itself tells of how it is, for whoever asks after the daemon's health."""

    #: What ails it, in words.
    complain: Callable[[], str | None] = lambda: None
    #: How late its loop is; None if nobody looks.
    read_loop: Callable[[], WatchdogStatistics] | None = None
    #: How many lines of its log were lost.
    read_lost: Callable[[], int] = lambda: 0


async def serve(
    config: Config,
    *,
    log_writer: LogWriter,
    environ: Mapping[str, str] = os.environ,
    supervision: Supervision = UNSUPERVISED,
) -> None:
    """Run a daemon until a signal of STOPS; the process is to end after it.

    StartRefused says in one sentence why it cannot run; StoreBroken, that the log can no longer be
    trusted, and only another start can tell what it holds.
    """
    reporter = Reporter(supervision)
    stop = Stop(config.shutdown_runs)
    start = Start()
    flush = partial(log_writer.flush_within, LAST_WORDS_SECONDS)
    last_resort = LastResort(config.shutdown_last_resort, flush)
    on_signal = partial(_begin_stop, stop, start, reporter, last_resort)
    with one_broken_store(), heed_signals(on_signal):
        last_resort.start()
        async with open_watchdog(
            config.stall_seconds,
            manager_seconds=supervision.watchdog_seconds,
            on_beat=reporter.beat,
        ) as watchdog:
            vitals = _vitals_of(watchdog, log_writer)
            daemon = open_daemon(
                config,
                environ,
                supervision.sockets,
                vitals,
                stop,
                reporter.starting,
                flush,
            )
            try:
                await _live(daemon, start, stop, reporter)
            finally:
                # Whatever the end is, it has its bound.
                last_resort.arm()
    log.info("stopped")


def _begin_stop(
    stop: Stop, start: Start, reporter: Reporter, last_resort: LastResort, name: str
) -> None:
    """What the first signal of this name does; those after it find that all is under way."""
    if stop.reason is not None:
        log.info("%s: stopping already", name)
        return
    stop.ask(name)
    log.info("stopping: %s", name)
    reporter.stopping(name)
    last_resort.arm()
    start.give_up(name)


def _vitals_of(watchdog: Watchdog, log_writer: LogWriter) -> Vitals:
    def complain() -> str | None:
        # One must not hide the other: a box that is slow in one way is so in both.
        told = filter(None, (watchdog.complaint(), log_writer.complaint()))
        return "; ".join(told) or None

    return Vitals(complain, watchdog.statistics, lambda: log_writer.lost)


async def _live(
    opening: AbstractAsyncContextManager[Daemon],
    start: Start,
    stop: Stop,
    reporter: Reporter,
) -> None:
    """A life from its start to its end. A start in whose midst a stop is asked is given up."""
    try:
        with start.scope:
            async with opening as daemon:
                start.over = True
                await _serve_until(stop, daemon.core, reporter)
    except (PenstockError, ExceptionGroup) as error:
        if stop.reason is None or start.over:
            raise
        log.warning("the start was given up: %s", error)


async def _serve_until(stop: Stop, core: Core, reporter: Reporter) -> None:
    """The life of a daemon that answers, until it is told to stop."""
    # From here on an upgrade may replace the package: what is imported later is of this version.
    await run_in_thread(keep_late_code)
    # What the start made stays as long as the process. A collection that looked through all of it
    # now and then would hold the loop for 20 ms each time.
    gc.freeze()
    reporter.ready(partial(status_of, core))
    await stop.wait_asked()


def status_of(core: Core) -> str:
    """What the daemon does now, as the service manager shows it."""
    now = core.statistics()
    return f"{now.running} running, {now.queued} queued"


@asynccontextmanager
async def open_daemon(
    config: Config,
    environ: Mapping[str, str],
    sockets: Sequence[int] = (),
    vitals: Vitals = Vitals(),
    stop: Stop | None = None,
    tell: Callable[[str], None] = lambda _: None,
    flush: Callable[[], None] = lambda: None,
) -> AsyncIterator[Daemon]:
    """A daemon with its lock, its store, its port and its Unix socket.

    `sockets` are descriptors that are open already; `stop` is what a signal asks, and `tell` is told
    from a thread what a long start is at. `flush` writes what the log of messages still holds, where the
    process ends at once because its lease is over.
    """
    check_machine(os.uname())
    paths = find_paths(
        environ, state_dir=config.state_dir, runtime_dir=config.runtime_dir
    )
    make_state(paths)
    with hold_lock(paths.lock):
        token = ensure_token(paths.token) if config.auth else None
        given = adopt_listeners(sockets)
        check_exposure(config, token, [host for host, _ in tcp_addresses(given)])
        # Before there is a lease, which on a loaded box would be over by the time that all is imported.
        await run_in_thread(_import_servers)
        async with (
            open_daemon_models(config, environ, must_answer=True) as models,
            listening(config.host, config.port, paths.socket, given) as listeners,
        ):
            base = base_url(*tcp_addresses(listeners)[0])
            socket = unix_paths(listeners)[0]
            tell_address(paths.lock, socket, base)
            files = _log_files(config, paths)
            stored = open_stored_core(
                config, environ, paths, files, base, models, token,
                socket_url=f"unix:{socket}", stop=stop, tell=tell, flush=flush,
            )  # fmt: skip
            async with (
                stored as core,
                open_servers(
                    core,
                    listeners,
                    base=base,
                    token=token,
                    vitals=vitals,
                    models=models,
                ) as servers,
            ):
                box = f", as the box {box_of(config)}" if config.store else ""
                log.info("ready at %s, log at %s%s", base, files.tell(), box)
                yield Daemon(core, servers, base, paths)


def _log_files(config: Config, paths: Paths) -> LogFiles:
    """Where the daemon's log is to be; each log has a mark of its own."""
    if config.store is None:
        return LogFiles(paths.database, paths.lock, paths.mark)
    mark = paths.mark.with_name(f"{paths.mark.name}-{config.store_schema}")
    return LogFiles(paths.database, paths.lock, mark, config.store, config.store_schema)


@asynccontextmanager
async def open_stored_core(
    config: Config,
    environ: Mapping[str, str],
    paths: Paths,
    files: LogFiles,
    url: str,
    models: DaemonModels | None = None,
    token: str | None = None,
    *,
    socket_url: str | None = None,
    stop: Stop | None = None,
    tell: Callable[[str], None] = lambda _: None,
    flush: Callable[[], None] = lambda: None,
) -> AsyncIterator[Core]:
    """A core on a database, in the real world; the token is never recorded.

    `url` is where its runs' programs find it, and `socket_url` where those of guarded runs do, if elsewhere.

    StoreBroken out of the block: the database or its lock file was removed or replaced, or the lease of a
    daemon that shares its log is over; `flush` as of `open_daemon`.
    """
    life, secrets = (
        f"{box_of(config)}/{token_hex(8)}",
        Secrets.made_of([token or ""]),
    )
    kinds = await run_in_thread(load_kinds)
    containment = detect_containment(environ, config.run_tasks)
    log.info("processes are contained by %s", containment.method)
    migration = MigrationPolicy(
        copy=config.migration_copy,
        tell=tell,
        stopped=lambda: stop is not None and stop.reason is not None,
    )
    async with (
        _open_lease(config, files, paths.lease, flush) as lease,
        _open_store(config, files, life, migration, lease) as store,
        _watching(store, files) as watch,
        open_launcher() as launcher,
        open_tracing(environ, close_seconds=config.shutdown_spans) as tell_span,
    ):
        environment = real_environment(
            config,
            paths,
            environ,
            containment=containment,
            launcher=launcher,
            epoch=store.log_id,
            url=url,
            models=models,
            redact=make_redaction(config.redact, secrets),
            held_back=make_held_back(config.redact, secrets),
            secrets=secrets,
            socket_url=socket_url,
            tell_span=tell_span,
            lease=None if lease is None else lease.for_trees(),
            lease_left=None if lease is None else lease.left,
        )
        async with open_core(
            config,
            store=store,
            kinds=kinds,
            life=life,
            environment=environment,
            put_back=watch.put_back,
            stop=stop,
        ) as core:
            watch.start(core.bus)
            yield core


@asynccontextmanager
async def _open_lease(
    config: Config, files: LogFiles, path: Path, flush: Callable[[], None]
) -> AsyncIterator[Lease | None]:
    """Around the store, whose end may take longer than the lease; None of a log that is nobody else's."""
    if files.url is None:
        yield None
        return
    async with open_lease(
        path, seconds=config.lease_seconds, kill_grace=config.kill_grace, flush=flush
    ) as lease:
        yield lease


@asynccontextmanager
async def _watching(
    store: SqliteStore | PostgresStore, files: LogFiles
) -> AsyncIterator[Watch]:
    """See `watching`; a log elsewhere must be the one that was there."""
    if files.url is not None and files.mark is not None:
        await run_in_thread(
            check_same_log, files.mark, store.log_id, f"what is in {files.tell()}"
        )
    async with watching(store, files.mark) as watch:
        yield watch


@asynccontextmanager
async def _open_store(
    config: Config,
    files: LogFiles,
    life: str,
    migration: MigrationPolicy,
    lease: Lease | None,
) -> AsyncIterator[SqliteStore | PostgresStore]:
    """The store, with threads of its own: a commit must not wait for one that nobody can have."""
    limits = WindowLimits(config.output_head_bytes, config.output_tail_bytes)
    async with (
        open_threads(1, "store") as run_blocking,
        open_threads(READERS, "readers of the store") as run_reading,
    ):
        if files.url is None or lease is None:
            async with open_sqlite(
                files.database,
                life=life,
                run_blocking=run_blocking,
                run_reading=run_reading,
                beside=[files.lock],
                migration=migration,
                limits=limits,
            ) as store:
                yield store
            return
        async with _open_far_store(
            config, files, life, migration, lease, run_blocking, run_reading, limits
        ) as far_store:
            yield far_store


@asynccontextmanager
async def _open_far_store(
    config: Config, files: LogFiles, life: str, migration: MigrationPolicy, lease: Lease,
    run_blocking: RunBlocking, run_reading: RunBlocking, limits: WindowLimits,
) -> AsyncIterator[PostgresStore]:  # fmt: skip
    await run_in_thread(_import_postgresql)
    from penstock.log.postgresql.ownership import Owner, Waiting, this_machine
    from penstock.log.postgresql.store import open_postgresql

    assert files.url is not None
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
    async with open_postgresql(
        files.url,
        schema=files.schema,
        owner=owner,
        run_blocking=run_blocking,
        run_reading=run_reading,
        limits=limits,
        on_renewed=lease.renewed,
        on_broken=lease.lost,
        why_over=lease.why_over,
        waiting=Waiting(migration.tell, migration.stopped),
    ) as store:
        yield store


def _import_postgresql() -> None:
    """What opens such a log, and tells who this daemon is; blocks for a moment. StartRefused without the extra."""
    try:
        import penstock.log.postgresql.ownership
        import penstock.log.postgresql.store  # noqa: F401
    except ImportError as error:
        raise StartRefused(
            f"`store` is PostgreSQL, and psycopg cannot be used ({error}); install"
            " `penstock[postgresql]`"
        ) from None


def _import_servers() -> None:
    """What `open_servers` uses, and so the frameworks; blocks for half a second, or for several."""
    import penstock.server.app
    import penstock.server.door
    import penstock.server.health
    import penstock.server.mcp.lazy
    import penstock.server.meter
    import penstock.server.rest.daemon
    import penstock.server.ws  # noqa: F401


@asynccontextmanager
async def open_servers(
    core: Core,
    listeners: Sequence[trio.SocketListener],
    *,
    base: str,
    token: str | None,
    vitals: Vitals = Vitals(),
    models: DaemonModels | None = None,
) -> AsyncIterator[Shutdown]:
    """Serve the core on these listeners; leaving the block stops it in order."""
    # Imported here, so that a command line that needs no server does not pay for one.
    from penstock.server.app import open_app
    from penstock.server.door import serve_door
    from penstock.server.mcp.lazy import open_mcp
    from penstock.server.ws import make_ws_handler

    guard = make_guard(core.config, token, core.tokens)
    last_words = Shutdown()
    meter, health_of, metrics = _reports(core, vitals, models)
    async with (
        open_mcp(core, last_words, base=base, called=meter.called) as mcp,
        trio.open_nursery() as servers_nursery,
    ):
        app = open_app(
            core,
            guard=guard,
            shutdown=last_words,
            base=base,
            health_of=health_of,
            metrics=metrics,
            count=meter.answered,
            mcp=mcp,
        )
        handler = make_ws_handler(core, guard, last_words)
        door = trio.CancelScope()

        # `serve_door` is what says that it has started.
        async def serve(*, task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC128
            with door:
                await serve_door(
                    listeners,
                    app=app,
                    ws_handler=handler,
                    config=core.config,
                    shutdown=last_words,
                    run_of_pid=core.trees.scope_of,
                    task_status=task_status,
                )

        await servers_nursery.start(serve)
        # From here on the door ends by `last_words`, within its bounds, and by nothing else: who asked
        # while the log broke is told so, and a cancel would close the connection on the answer.
        door.shield = True
        try:
            yield last_words
        finally:
            # Shielded and bounded inside.
            await _stop_serving(core, last_words)  # noqa: ASYNC102


def _reports(
    core: Core, vitals: Vitals, models: DaemonModels | None
) -> tuple[Meter, HealthOf, Handler]:
    """What counts, and what /health and /metrics tell."""
    from penstock.server.health import make_health
    from penstock.server.meter import attach_meter
    from penstock.server.rest.daemon import Metrics

    probe = None if models is None else models.probe
    meter = attach_meter(core)
    metrics = Metrics(core, meter, vitals.read_loop, vitals.read_lost)
    return meter, make_health(core, probe, complain=vitals.complain), metrics.answer


async def _stop_serving(core: Core, last_words: Shutdown) -> None:
    """No new connections, then the end of the runs, bounded, and a word to every client."""
    last_words.stop_accepting()
    with trio.CancelScope(deadline=core.stop.ask("stop"), shield=True):
        await core.shutdown()
    last_words.end_streams()
