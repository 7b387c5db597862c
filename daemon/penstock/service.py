"""The composition root: builds every object of a daemon once and passes it down.

Lifetimes nest: lock around store around core around servers. A stop ends them inside out: first no
new connections, then the runs while their streams still flow, then a last word to every client.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from penstock.address import Address, Paths, base_url, find_paths, socket_address
from penstock.config import Config
from penstock.errors import StartRefused
from penstock.pipelines.registry import load_kinds
from penstock.record.lock import hold_lock
from penstock.record.sqlite import READERS, open_sqlite, threads
from penstock.runs.containment import detect_containment
from penstock.runs.core import Core, open_core
from penstock.server.closing import Closing
from penstock.server.guard import check_exposure, make_guard
from penstock.server.listeners import open_listeners, open_unix, tcp_addresses
from penstock.server.token import ensure_token
from penstock.world import real_world

log = logging.getLogger("penstock")


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon that answers. `base` is how clients on this box address it."""

    core: Core
    closing: Closing
    base: str
    paths: Paths


async def serve(
    config: Config,
    *,
    environ: Mapping[str, str] = os.environ,
    task_status: trio.TaskStatus[Daemon] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a daemon until SIGTERM or SIGINT. StartRefused says in one sentence why it cannot."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with open_daemon(config, environ) as daemon:
            task_status.started(daemon)
            async for number in signals:
                name = signal.Signals(number).name
                log.info("stopping: %s", name)
                # The kernel's own alarm works even if the loop never runs again.
                signal.setitimer(signal.ITIMER_REAL, config.shutdown_last_resort)
                daemon.core.scheduler.intake.stopping = name
                break
    signal.setitimer(signal.ITIMER_REAL, 0)
    log.info("stopped")


@asynccontextmanager
async def open_daemon(
    config: Config, environ: Mapping[str, str]
) -> AsyncIterator[Daemon]:
    """A daemon with its lock, its store, its port and its Unix socket."""
    paths = find_paths(
        environ, state_dir=config.state_dir, runtime_dir=config.runtime_dir
    )
    make_state(paths)
    with hold_lock(paths.lock):
        token = ensure_token(paths.token) if config.auth else None
        check_exposure(config, token)
        listeners = await open_listeners(config.host, config.port, paths.socket)
        port = (tcp_addresses(listeners) or [("", config.port)])[0][1]
        base = base_url(config.host, port)
        try:
            async with (
                open_stored_core(config, environ, paths, paths.database, base) as core,
                open_servers(core, listeners, base=base, token=token) as servers,
            ):
                log.info("ready at %s, log at %s", base, paths.database)
                yield Daemon(core, servers, base, paths)
        finally:
            for listener in listeners:
                listener.socket.close()
            paths.socket.unlink(missing_ok=True)


@asynccontextmanager
async def open_embedded(
    config: Config, run_id: str, environ: Mapping[str, str]
) -> AsyncIterator[Address]:
    """A daemon for the length of one run: a log and a Unix socket of its own, and no port.

    The log stays and is read afterwards by the run's id. Any number may run at once.
    """
    paths = find_paths(
        environ, state_dir=config.state_dir, runtime_dir=config.runtime_dir
    )
    make_state(paths)
    database = paths.embedded_database(run_id)
    socket = paths.embedded_socket(run_id)
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with hold_lock(database.with_suffix(".lock")):
        listener = open_unix(socket)
        try:
            async with (
                open_stored_core(
                    config, environ, paths, database, f"unix:{socket}"
                ) as core,
                open_servers(core, [listener], base="http://localhost", token=None),
            ):
                yield socket_address(socket)
        finally:
            listener.socket.close()
            socket.unlink(missing_ok=True)
            database.with_suffix(".lock").unlink(missing_ok=True)


def make_state(paths: Paths) -> None:
    """Make the folders that must exist. StartRefused names the one that cannot be made."""
    for folder in (paths.state, paths.runs):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            why = f"the folder {folder} cannot be made: {error.strerror}"
            raise StartRefused(why) from None


@asynccontextmanager
async def open_stored_core(
    config: Config,
    environ: Mapping[str, str],
    paths: Paths,
    database: Path,
    url: str,
) -> AsyncIterator[Core]:
    """A core on a database, in the real world."""
    life = f"{os.uname().nodename}/{secrets.token_hex(8)}"
    kinds = await trio.to_thread.run_sync(load_kinds)
    containment = detect_containment(environ)
    log.info("processes are contained by %s", containment.method)
    world = real_world(config, paths, environ, containment=containment, url=url)
    async with (
        open_sqlite(
            database, life=life, run_blocking=threads(1), run_reading=threads(READERS)
        ) as store,
        open_core(config, store=store, kinds=kinds, life=life, world=world) as core,
    ):
        yield core


@asynccontextmanager
async def open_servers(
    core: Core,
    listeners: Sequence[trio.SocketListener],
    *,
    base: str,
    token: str | None,
) -> AsyncIterator[Closing]:
    """Serve the core on these listeners; leaving the block stops it in order."""
    # Imported late, so that a command line that needs no server does not pay for one.
    from penstock.server.app import open_app
    from penstock.server.door import serve_door
    from penstock.server.health import make_health
    from penstock.server.mcp.lazy import open_mcp
    from penstock.server.ws import make_ws_handler

    guard = make_guard(core.config, token)
    last_words = Closing()
    async with (
        open_mcp(core, last_words, base=base) as mcp,
        trio.open_nursery() as servers_nursery,
    ):
        app = open_app(
            core,
            guard=guard,
            closing=last_words,
            base=base,
            health_of=make_health(core, complain=complain),
            mcp=mcp,
        )
        serve = partial(
            serve_door,
            listeners,
            app=app,
            ws_handler=make_ws_handler(core, guard, last_words),
            config=core.config,
            closing=last_words,
        )
        await servers_nursery.start(serve)
        try:
            yield last_words
        finally:
            last_words.stop_accepting()
            with trio.move_on_after(core.config.shutdown_runs, shield=True):
                await core.scheduler.shutdown(
                    reason=core.scheduler.intake.stopping or "stop"
                )
            last_words.say_goodbye()
