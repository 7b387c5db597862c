"""What is done to the server of several boxes: restarts, a standby in its place, rows of an older version."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from random import Random

import psycopg
import trio

from penstock_drills import witness
from penstock_drills.box_rig import LEASE_SECONDS, PATIENCE, SCHEMA, SHARES, BoxRig
from penstock_drills.older_rows import write_older_run
from penstock_drills.private_postgres import PostgresServer, open_postgres
from penstock_drills.scratch import LOOK_SECONDS
from penstock_drills.witness import since_boot

ServerFault = Callable[[BoxRig, Random], Awaitable[None]]


async def _restart(rig: BoxRig, number: signal.Signals) -> None:
    began = time.monotonic()
    await trio.to_thread.run_sync(rig.server.stop, number)
    await trio.to_thread.run_sync(rig.server.start)
    if time.monotonic() - began > LEASE_SECONDS / 6:
        # So long that leases may be over; how long it takes is the box's affair.
        for box in rig.boxes:
            box.may_end = SHARES


async def _restart_fast(rig: BoxRig, _rng: Random) -> None:
    await _restart(rig, signal.SIGINT)


async def _restart_at_once(rig: BoxRig, _rng: Random) -> None:
    """As after a crash of it."""
    await _restart(rig, signal.SIGQUIT)


async def _promote(rig: BoxRig, rng: Random) -> None:
    """An asynchronous standby that lags takes the server's place: what it had not got is lost."""
    if not (rig.server.programs / "pg_basebackup").exists():
        rig.broken.append("the drill: there is no pg_basebackup beside the server")
        return
    standby = rig.servers.enter_context(
        open_postgres(rig.folder, empty=True, within=rig.folder)
    )
    await trio.to_thread.run_sync(rig.server.copy_to, standby)
    await trio.to_thread.run_sync(lambda: standby.start(hot_standby="on"))
    # What is on record by now the standby gets; what comes after this it may have got, or not.
    began = since_boot()
    if not await trio.to_thread.run_sync(_followed, rig.server, standby):
        # Promoted it would lose more than is looked for, and each of that would be a broken law.
        rig.broken.append("the drill: its standby does not follow the server")
        return
    rig.lost_from = began
    for sql in ("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"):
        await trio.to_thread.run_sync(standby.ask, sql)
    await trio.sleep(rng.uniform(0.3, 2))
    for box in rig.boxes:
        box.may_end = True
        # Who is cut off hears of nothing, and is not joined again by this.
        if box.relay.mode != "hole":
            box.relay.refuse()
    await trio.to_thread.run_sync(rig.server.stop, signal.SIGQUIT)
    await trio.to_thread.run_sync(standby.ask, "SELECT pg_promote()")
    rig.server, rig.watch.url = standby, standby.url
    rig.watch.anew = True
    for box in rig.boxes:
        box.relay.target = standby.socket
        if box.relay.mode == "refuse":
            box.relay.mode = "up"


def _followed(server: PostgresServer, standby: PostgresServer) -> bool:
    """Whether the standby has soon what the server had when this was asked for."""
    ((place,),) = server.ask("SELECT pg_current_wal_flush_lsn()")
    give_up = time.monotonic() + PATIENCE
    reached = "SELECT coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false)"
    while standby.ask(reached, place) != [(True,)]:
        if time.monotonic() > give_up:
            return False
        time.sleep(LOOK_SECONDS)
    return True


async def _write_older(rig: BoxRig, rng: Random) -> None:
    """A run that a box of the first version put in line: some box has it done."""
    run_id = f"older-{since_boot()}"
    program = [sys.executable, "-I", "-S", witness.__file__, str(rig.marks), run_id]
    words = [*program, str(rng.uniform(0.1, 2))]
    with suppress(psycopg.Error):
        position = await trio.to_thread.run_sync(
            write_older_run, rig.server.url, SCHEMA, run_id, words
        )
        rig.told.accept(run_id, position)


SERVER_FAULTS: Mapping[str, ServerFault] = {
    "server restarted": _restart_fast,
    "server crashed": _restart_at_once,
    "lagging standby promoted": _promote,
    **({"rows of an older version": _write_older} if SHARES else {}),
}
