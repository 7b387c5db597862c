"""`penstock attach`: the terminal of a run that has one."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import click
import trio

from penstock.cli.attaching import Parted, attach_to
from penstock.cli.connect import open_daemon_for
from penstock.cli.options import run_argument
from penstock.cli.output import say
from penstock.cli.own_terminal import has_terminal
from penstock.cli.relay import exit_of, write_live
from penstock.cli.render import open_writer
from penstock.cli.replies import receipt_line
from penstock.cli.session import Session, pass_session, run_async
from penstock.client import Client, open_client
from penstock.words.address import Address
from penstock.words.detach_keys import keys_of
from penstock.words.errors import Conflict, PenstockError, Terminal
from penstock.words.recorded import Recorded

#: What keeps a command that ends as a run does from knowing how that ended.
PENSTOCK_FAILED = 125
SIGINT, SIGHUP = 2, 1


@click.command()
@run_argument
@click.option("--watch", is_flag=True, help="See what it shows, and type nothing.")
@pass_session
@click.pass_context
def attach(ctx: click.Context, session: Session, run_id: str, watch: bool) -> None:
    """The terminal of a run that was started with `--tty`.

    Ctrl-C, Ctrl-Z and Ctrl-\\ are the program's. C-\\ C-\\ (the setting `detach_keys`) leaves, and
    the run goes on. Exits as the run does. One types, any number look on with `--watch`.

    Example: penstock attach build-1
    """

    async def work() -> int:
        address = session.address()
        async with open_client(address) as client:
            parted = await attach_to(address, run_id, keys=_keys(session), watch=watch)
            return await _conclude(client, run_id, parted)

    ctx.exit(on_terminal(lambda: run_async(work)))


def on_terminal(work: Any) -> int:
    """Do it where there is a terminal: its exit code, or that of a failure of our own."""
    if not has_terminal():
        say("standard input and output must be a terminal for this")
        return PENSTOCK_FAILED
    try:
        code: int = work()
    except PenstockError as error:
        hint = "; `penstock attach --watch` looks on" if type(error) is Conflict else ""
        say(f"{error}{hint}")
        return PENSTOCK_FAILED
    return code


def run_attached(session: Session, request: dict[str, Any], *, block: bool) -> int:
    """Submit a run with a terminal and be attached to it until its end: how `run --tty` does."""

    async def work() -> int:
        async with open_daemon_for(session, request) as client:
            reply = await client.submit(request, wait=block)
            return await _run(session, client, reply["run_id"])

    return on_terminal(lambda: run_async(work))


async def _run(session: Session, client: Client, run_id: str) -> int:
    embedded = _is_embedded(session, client.address)
    stays = (
        "this run lives in this command, and ends with it: it cannot be left."
        " With a daemon (`penstock serve`) it could."
        if embedded
        else ""
    )
    try:
        parted = await attach_to(
            client.address, run_id, keys=_keys(session), stays=stays
        )
    except Terminal:
        # It was faster than we: what it showed is recorded.
        async with open_writer("command", json_wanted=False, quiet=False) as writer:
            return exit_of(await write_live(client, run_id, writer))
    interrupted = parted.how == "signal" and parted.number == SIGINT
    if parted.how in ("signal", "gone") and (embedded or interrupted):
        number = parted.number or SIGHUP
        with trio.CancelScope(shield=True), suppress(OSError):
            receipt = await client.cancel(run_id, "interrupted", wait=True)
            say(receipt_line(receipt))
        return 128 + number
    return await _conclude(client, run_id, parted)


async def _conclude(client: Client, run_id: str, parted: Parted) -> int:
    """Say what became of it, if that is not plain: the exit code."""
    back = f"`penstock attach {run_id}` comes back"
    # Nobody may be there to read it.
    with suppress(OSError):
        match parted.how:
            case "ended":
                return exit_of(await write_live(client, run_id, _Unwritten()))
            case "detached":
                say(f"detached; {run_id} goes on: {back}")
                return 0
            case "lost":
                say(f"{parted.why}; if {run_id} goes on, {back}")
                return PENSTOCK_FAILED
            case _:
                say(f"left; {run_id} goes on: {back}")
    return 128 + (parted.number or SIGHUP)


class _Unwritten:
    """Takes facts whose output the terminal has shown."""

    async def write(self, facts: Iterable[Recorded]) -> None:
        await trio.lowlevel.checkpoint()


def _keys(session: Session) -> bytes:
    config, _sources = session.config()
    return keys_of(config.detach_keys)


def _is_embedded(session: Session, address: Address) -> bool:
    """Whether the daemon at this address lives in this command."""
    config, _sources = session.config()
    folder = (
        session.paths(config).embedded_socket(session.paths(config).embedded).parent
    )
    return address.socket is not None and address.socket.parent == folder
