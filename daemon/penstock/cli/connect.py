"""Where a run executes, and where a run is found again."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from penstock.cli.logs import set_up_logging
from penstock.cli.session import Session
from penstock.client import Client, open_client
from penstock.holder import read_holder
from penstock.words.address import Address, socket_address
from penstock.words.errors import DaemonUnreachable, Refused
from penstock.words.values import check_run_id


@asynccontextmanager
async def open_place(
    session: Session, request: dict[str, Any]
) -> AsyncIterator[Client]:
    """The running daemon; without one, an embedded one for as long as this is open.

    DaemonUnreachable if the user named a daemon and it does not answer. The embedded daemon is
    named after the run, so the request gets its run id here.
    """
    address = await running(session)
    if address is not None:
        async with open_client(address) as client:
            yield client
        return
    from penstock.embedded import open_embedded

    wanted = request.get("run_id") or f"{request['kind']}-{secrets.token_hex(4)}"
    run_id = request["run_id"] = one_form(wanted)
    config, sources = session.config()
    if "log_level" in sources:
        set_up_logging(config, session.environ)
    else:
        # What its log would say of the run, this command says better.
        logging.basicConfig(level=logging.CRITICAL)
    async with open_embedded(config, run_id, session.environ) as address:
        async with open_client(address) as client:
            yield client


def one_form(run_id: str) -> str:
    """A run id as the daemon knows it: files are named after it. Refused if it can be none."""
    try:
        return check_run_id(run_id)
    except ValueError as error:
        raise Refused("run_id", str(error)) from None


async def running(session: Session) -> Address | None:
    """The daemon that answers now; None if there is none and the user named none.

    DaemonUnreachable while its lock is held: a run beside it would go round its queue.
    """
    try:
        address = session.address()
        async with open_client(address) as client:
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
    holder = read_holder(database.with_suffix(".lock"))
    if holder is None:
        return None
    if holder.socket is None:
        raise DaemonUnreachable(
            f"the embedded daemon ({holder}) is starting or stopping; try again"
        )
    address = socket_address(holder.socket)
    async with open_client(address) as client:
        await client.health()
    return address
