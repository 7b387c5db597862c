"""A run that has this command's terminal: how it is begun, parted from, and told of."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

import trio

from penstock.cli.connect import open_daemon_for
from penstock.cli.notes import RunNotes
from penstock.cli.output import say
from penstock.cli.own_terminal import has_terminal
from penstock.cli.patience import tell_submitting
from penstock.cli.raw_terminal import Parted, attach_to
from penstock.cli.relay import write_live
from penstock.cli.render import open_writer
from penstock.cli.replies import tell_replayed
from penstock.cli.run_end import tell_end
from penstock.cli.run_options import RunOptions
from penstock.cli.session import Session, run_async
from penstock.client import Client
from penstock.client.surroundings import with_caller
from penstock.words.address import Address
from penstock.words.cancel_receipt import receipt_line
from penstock.words.detach_keys import keys_of
from penstock.words.errors import Terminal
from penstock.words.exit_codes import PROGRAM_KIND, Exit
from penstock.words.recorded import Recorded


def run_attached(session: Session, request: dict[str, Any], options: RunOptions) -> int:
    """Submit a run with a terminal and be attached to it until its end: how `run --tty` does."""

    async def work() -> int:
        async with open_daemon_for(session, request) as client:
            asked = with_caller(request, session.environ, client.address)
            reply = await tell_submitting(
                lambda: client.submit(asked, wait=options.block),
                quiet=options.quiet or not options.block,
            )
            tell_replayed(reply)
            return await _run(session, client, reply["run_id"])

    return at_terminal(work)


def at_terminal(work: Callable[[], Awaitable[int]]) -> int:
    """Do it where there is a terminal: its exit code."""
    if not has_terminal():
        say("standard input and output must be a terminal for this")
        return Exit.PENSTOCK
    return run_async(work)


async def _run(session: Session, client: Client, run_id: str) -> int:
    embedded = _is_embedded(session, client.address)
    stays = (
        "this run lives in this command, and ends with it: it cannot be left."
        " With a daemon (`penstock serve`) it could."
        if embedded
        else ""
    )
    keys = read_keys(session)
    try:
        parted = await attach_to(client.address, run_id, keys=keys, stays=stays)
    except Terminal:
        # It was faster than we: what it showed is recorded.
        return await _tell_end(client, run_id, shown=False)
    interrupted = parted.how == "signal" and parted.number == signal.SIGINT
    if parted.how in ("signal", "gone") and (embedded or interrupted):
        with trio.CancelScope(shield=True), suppress(OSError):
            receipt = await client.cancel(run_id, "interrupted", wait=True)
            say(receipt_line(receipt))
        return 128 + (parted.number or signal.SIGHUP)
    return await conclude(client, run_id, parted)


async def conclude(client: Client, run_id: str, parted: Parted) -> int:
    """Say what became of it, if that is not plain: the exit code."""
    back = f"`penstock attach {run_id}` comes back"
    # Nobody may be there to read it.
    with suppress(OSError):
        match parted.how:
            case "ended":
                return await _tell_end(client, run_id, shown=True)
            case "detached":
                say(f"detached; {run_id} goes on: {back}")
                return Exit.OK
            case "lost":
                say(f"{parted.why}; if {run_id} goes on, {back}")
                return Exit.PENSTOCK
            case _:
                say(f"left; {run_id} goes on: {back}")
    return 128 + (parted.number or signal.SIGHUP)


async def _tell_end(client: Client, run_id: str, *, shown: bool) -> int:
    """Tell how the run ended, and what it said unless the terminal has `shown` it: the exit code."""
    view = await client.run(run_id)
    async with open_writer(PROGRAM_KIND, json_wanted=False, quiet=False) as writer:
        notes = RunNotes.of_view(run_id, view, _Unwritten() if shown else writer)
        await write_live(client, run_id, notes)
    return tell_end(notes, quiet=False)


class _Unwritten:
    """Takes facts whose output the terminal has shown."""

    async def write(self, facts: Iterable[Recorded]) -> None:
        await trio.lowlevel.checkpoint()


def read_keys(session: Session) -> bytes:
    """What a terminal sends for the keys that detach."""
    config, _sources = session.config()
    return keys_of(config.detach_keys)


def _is_embedded(session: Session, address: Address) -> bool:
    """Whether the daemon at this address lives in this command."""
    config, _sources = session.config()
    folder = (
        session.paths(config).embedded_socket(session.paths(config).embedded).parent
    )
    return address.socket is not None and address.socket.parent == folder
