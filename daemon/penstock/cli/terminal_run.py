"""A run that has this command's terminal: how it is begun, parted from, and told of."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from penstock.cli.notes import RunNotes
from penstock.cli.open_daemon import open_daemon_for
from penstock.cli.output import say
from penstock.cli.own_terminal import begin_line, has_terminal
from penstock.cli.patience import tell_submitting
from penstock.cli.raw_terminal import Parted, attach_to
from penstock.cli.relay import write_live
from penstock.cli.render import LineWriter, open_writer
from penstock.cli.replies import tell_replayed
from penstock.cli.run_end import tell_end
from penstock.cli.run_options import RunOptions
from penstock.cli.session import Session, run_async
from penstock.client.surroundings import with_caller
from penstock.client.sync import SyncClient
from penstock.words.cancel_receipt import receipt_line
from penstock.words.detach_keys import keys_of
from penstock.words.errors import Conflict, Terminal
from penstock.words.exit_codes import PROGRAM_KIND, Exit


def run_attached(session: Session, request: dict[str, Any], options: RunOptions) -> int:
    """Submit a run with a terminal and be attached to it until its end: how `run --tty` does."""

    def work() -> int:
        with open_daemon_for(session, request) as client:
            asked = with_caller(request, session.environ, client.address)
            reply = tell_submitting(
                lambda: client.submit(asked, wait=options.block),
                quiet=options.quiet or not options.block,
            )
            tell_replayed(reply)
            run_id = reply["run_id"]
            try:
                return _run(session, client, run_id)
            except Conflict as error:
                if reply.get("created") and "box" in error.facts:
                    # Ours, on another box, where nobody will ever be at its terminal.
                    _cancel(client, run_id, "its terminal is on another box")
                raise

    return at_terminal(work)


def at_terminal(work: Callable[[], int]) -> int:
    """Do it where there is a terminal: its exit code."""
    if not has_terminal():
        say("standard input and output must be a terminal for this")
        return Exit.PENSTOCK
    return work()


def _run(session: Session, client: SyncClient, run_id: str) -> int:
    embedded = not client.comes_back
    stays = (
        "this run lives in this command, and ends with it: it cannot be left."
        " With a daemon (`penstock serve`) it could."
        if embedded
        else ""
    )
    keys = read_keys(session)
    try:
        parted = run_async(
            lambda: attach_to(client.address, run_id, keys=keys, stays=stays)
        )
    except Terminal:
        # It was faster than we: what it showed is recorded.
        return _tell_end(client, run_id, shown=False)
    interrupted = parted.how == "signal" and parted.number == signal.SIGINT
    if parted.how in ("signal", "gone") and (embedded or interrupted):
        _cancel(client, run_id, "interrupted")
        return 128 + (parted.number or signal.SIGHUP)
    return conclude(client, run_id, parted)


def _cancel(client: SyncClient, run_id: str, why: str) -> None:
    with suppress(OSError):
        receipt = client.cancel(run_id, why, wait=True)
        say(receipt_line(receipt))


def conclude(client: SyncClient, run_id: str, parted: Parted) -> int:
    """Say what became of it, if that is not plain: the exit code."""
    back = f"`penstock attach {run_id}` comes back"
    # Nobody may be there to read it.
    with suppress(OSError):
        match parted.how:
            case "ended":
                return _tell_end(client, run_id, shown=True)
            case "detached":
                say(f"detached; {run_id} goes on: {back}")
                return Exit.OK
            case "lost":
                say(f"{parted.why}; if {run_id} goes on, {back}")
                return Exit.PENSTOCK
            case _:
                say(f"left; {run_id} goes on: {back}")
    return 128 + (parted.number or signal.SIGHUP)


def _tell_end(client: SyncClient, run_id: str, *, shown: bool) -> int:
    """Tell how the run ended, and what it said unless the terminal has `shown` it: the exit code."""
    view = client.run(run_id)
    with open_writer(PROGRAM_KIND, json_wanted=False, quiet=False) as writer:
        taken = LineWriter(lambda fact: None) if shown else writer
        notes = RunNotes.of_view(run_id, view, taken)
        write_live(client, run_id, notes)
    if shown:
        begin_line()
    return tell_end(notes, quiet=False)


def read_keys(session: Session) -> bytes:
    """What a terminal sends for the keys that detach."""
    config, _sources = session.config()
    return keys_of(config.detach_keys)
