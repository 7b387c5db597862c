"""The composition root: builds every object of a daemon once and passes it down.

Lifetimes nest: lock around store around core around servers. A stop ends them inside out: first no
new connections, then the runs while their streams still flow, then a last word to every client.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING

import trio

from penstock.carried import keep_late_code
from penstock.concurrency.threads import run_in_thread
from penstock.kinds.registry import load_kinds
from penstock.log.put_back import one_broken_store
from penstock.log.redaction import Secrets
from penstock.log.sqlite.database import hold_lock
from penstock.processes.detection import detect_containment
from penstock.processes.forking import open_launcher
from penstock.runs.core import Core
from penstock.runs.open_core import open_core
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
    real_environment,
)
from penstock.service.log_writer import LogWriter
from penstock.service.machine import check_machine, make_state
from penstock.service.signals import LAST_WORDS_SECONDS, LastResort, Start, heed_signals
from penstock.service.stored_log import LogFiles, log_files, open_stored_log
from penstock.service.systemd import UNSUPERVISED, Reporter, Supervision
from penstock.service.tracing import open_tracing
from penstock.service.watchdog import Watchdog, WatchdogStatistics, open_watchdog
from penstock.words.address import Paths, base_url, find_paths
from penstock.words.config import Config
from penstock.words.errors import PenstockError
from penstock.words.holder import tell_address

if TYPE_CHECKING:
    from penstock.llm.models import DaemonModels
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
            files = log_files(config, paths)
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
    life = f"{box_of(config)}/{token_hex(8)}"
    kinds = await run_in_thread(load_kinds)
    containment = detect_containment(environ, config.run_tasks)
    log.info("processes are contained by %s", containment.method)
    async with (
        open_stored_log(
            config, files, life, paths.lease, stop=stop, tell=tell, flush=flush
        ) as stored,
        open_launcher() as launcher,
        open_tracing(environ, close_seconds=config.shutdown_spans) as tell_span,
    ):
        environment = real_environment(
            config,
            paths,
            environ,
            containment=containment,
            launcher=launcher,
            epoch=stored.store.log_id,
            url=url,
            models=models,
            secrets=Secrets.made_of([token or ""]),
            socket_url=socket_url,
            tell_span=tell_span,
            lease=stored.lease,
        )
        async with open_core(
            config,
            store=stored.store,
            kinds=kinds,
            life=life,
            environment=environment,
            put_back=stored.watch.put_back,
            stop=stop,
        ) as core:
            stored.watch.start(core.bus)
            yield core


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
    async with open_mcp(core, last_words, base=base, called=meter.called) as mcp:
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
        serve_all = partial(
            serve_door,
            listeners,
            app=app,
            ws_handler=make_ws_handler(core, guard, last_words),
            config=core.config,
            shutdown=last_words,
            run_of_pid=core.trees.scope_of,
        )
        async with _open_door(serve_all):
            try:
                yield last_words
            finally:
                # Shielded and bounded inside.
                await _stop_serving(core, last_words)  # noqa: ASYNC102


@asynccontextmanager
async def _open_door(serve_all: Callable[..., Awaitable[None]]) -> AsyncIterator[None]:
    """Serve, and wait for the end of that when the block is left."""
    async with trio.open_nursery() as door_nursery:
        door = trio.CancelScope()

        # `serve_door` is what says that it has started.
        async def serve(*, task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC128
            with door:
                await serve_all(task_status=task_status)

        await door_nursery.start(serve)
        # From here on the door ends by its `Shutdown`, within its bounds, and by nothing else: who asked
        # while the log broke is told so, and a cancel would close the connection on the answer.
        door.shield = True
        yield


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
