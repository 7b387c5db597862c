"""Where a run executes, and where a run is found again."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from penstock.cli.archives import check_new, find_log, one_form
from penstock.cli.daemon_log import set_up_logging
from penstock.cli.session import Session, off_loop
from penstock.client import Client, open_client
from penstock.words.address import Address, socket_address
from penstock.words.errors import DaemonUnreachable
from penstock.words.holder import Holder, read_holder

#: Seconds in which an embedded daemon has surely begun to answer, or has ended.
PASSING_SECONDS = 10.0
#: Seconds between two looks at it.
LOOK_SECONDS = 0.05


@asynccontextmanager
async def open_daemon_for(
    session: Session, request: dict[str, Any]
) -> AsyncIterator[Client]:
    """The running daemon; without one, an embedded one for as long as this is open.

    DaemonUnreachable if the user named a daemon and it does not answer. The embedded daemon is
    named after the run, so the request gets its run id here. An id that an embedded log has is that
    run: its daemon is asked, if it lives; else Conflict while there is a daemon, since what is left
    in that log would go on beside its queue.
    """
    address = await running(session)
    wanted = request.get("run_id") or f"{request['kind']}-{secrets.token_hex(4)}"
    log = None
    if request.get("run_id"):
        log = await off_loop(find_log, session, wanted)
    if log is not None and (alive := await embedded(log)) is not None:
        address = alive
    elif address is not None:
        await off_loop(check_new, session, request)
    if address is not None:
        async with open_client(address, session.heard) as client:
            yield client
        return
    from penstock.service.embedded import open_embedded

    run_id = request["run_id"] = one_form(wanted)
    config, sources = session.config()
    if "log_level" in sources:
        set_up_logging(config, session.environ)
    else:
        # What its log would say of the run, this command says better.
        logging.basicConfig(level=logging.CRITICAL)
    async with open_embedded(config, run_id, session.environ, log) as address:
        async with open_client(address, session.heard) as client:
            yield client


async def running(session: Session) -> Address | None:
    """The daemon that answers now; None if there is none and the user named none.

    DaemonUnreachable while its lock is held: a run beside it would go round its queue.
    """
    try:
        address = session.address()
        async with open_client(address, session.heard) as client:
            await client.health()
    except DaemonUnreachable:
        if session.named or read_holder(session.paths().lock) is not None:
            raise
        return None
    return address


async def embedded(database: Path) -> Address | None:
    """The embedded daemon that works on this log now, if there is one.

    DaemonUnreachable if there is one, by its lock, and it does not answer: its file is not ours.
    """
    holder = None
    with trio.move_on_after(PASSING_SECONDS):
        while (holder := read_holder(database.with_suffix(".lock"))) is not None:
            if (address := await _answering(holder)) is not None:
                return address
            await trio.sleep(LOOK_SECONDS)
    if holder is None:
        return None
    raise DaemonUnreachable(
        f"the embedded daemon ({holder}) of {database} does not answer"
    )


async def _answering(holder: Holder) -> Address | None:
    """Where the holder answers; None while it starts or stops."""
    if holder.socket is None:
        return None
    try:
        address = socket_address(holder.socket)
        async with open_client(address) as client:
            await client.health()
    except DaemonUnreachable:
        return None
    return address
