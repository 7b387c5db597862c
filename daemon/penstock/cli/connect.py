"""Where a run executes, and where a run is found again."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from penstock.cli.logs import set_up_logging
from penstock.cli.session import Session
from penstock.client import Client, open_client
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
    """The daemon that answers now; None if there is none and the user named none."""
    try:
        address = session.address()
        async with open_client(address) as client:
            await client.health()
    except DaemonUnreachable:
        if session.named:
            raise
        return None
    return address


async def embedded(session: Session, run_id: str) -> Address | None:
    """The embedded daemon that executes this run now, if there is one."""
    try:
        address = socket_address(session.paths().embedded_socket(one_form(run_id)))
        async with open_client(address) as client:
            await client.health()
    except DaemonUnreachable:
        return None
    return address
