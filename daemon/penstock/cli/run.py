"""`penstock run KIND …`: start a run, follow it to its end, and end as it did."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import trio

from penstock.cli.connect import open_daemon_for
from penstock.cli.ending import failures_in_json, tell_end
from penstock.cli.forwarding import forward, is_piped
from penstock.cli.interrupts import heeded
from penstock.cli.kind_commands import Kinds, submit_only
from penstock.cli.notes import RunNotes
from penstock.cli.output import emit, joined, say
from penstock.cli.patience import open_telling, tell_submitting
from penstock.cli.relay import write_as_printed, write_live
from penstock.cli.render import FactWriter, OutputWriter, open_writer
from penstock.cli.replies import receipt_line, tell_replayed
from penstock.cli.run_options import RunOptions
from penstock.cli.session import Session, run_async
from penstock.client import Client
from penstock.client.surroundings import with_caller
from penstock.words.errors import PenstockError
from penstock.words.exits import CODES_OF_RUNS, PROGRAM_KIND, Exit, in_a_line
from penstock.words.run_exit import RunExit


def run_to_end(session: Session, request: dict[str, Any], options: RunOptions) -> int:
    """Submit, tell what happens, and end as the run did."""
    forwards = forwards_stdin(request)

    if request["kind"] == PROGRAM_KIND and not options.as_json and joined():
        request["inputs"].setdefault("stderr", "stdout")

    async def work() -> int:
        async with open_daemon_for(session, request) as client:
            asked = with_caller(request, session.environ, client.address)
            live = request["kind"] == PROGRAM_KIND and not options.as_json
            reply = await tell_submitting(
                lambda: client.submit(asked, wait=options.block, live=live),
                quiet=options.quiet or not options.block,
            )
            tell_replayed(reply)
            interrupt = Interrupt()
            async with open_writer(
                reply["kind"],
                json_wanted=options.as_json,
                quiet=options.quiet,
                told=interrupt.exit,
            ) as writer:
                followed = FollowedRun(
                    client, reply, options, writer, interrupt, forwards=forwards
                )
                await followed.follow()
            code = followed.tell_end()
            if code == Exit.OK and reply.get("created", True) and incomplete(writer):
                say(
                    "what came out here is not whole, so this fails; the program did not"
                )
                code = Exit.PENSTOCK
            if not options.as_json and reply["kind"] != PROGRAM_KIND:
                followed.show_result()
            return code

    with failures_in_json(options.as_json):
        return run_async(work)


def incomplete(writer: FactWriter) -> bool:
    """Whether a pipe or a file lacks some of the output; nobody may take it for all there was."""
    return isinstance(writer, OutputWriter) and writer.incomplete


def forwards_stdin(request: dict[str, Any]) -> bool:
    """Whether the program of this request gets our standard input, which the request then says."""
    if request["kind"] != "command" or not is_piped():
        return False
    return bool(request["inputs"].setdefault("stdin", "open") == "open")


def has_tty(request: dict[str, Any]) -> bool:
    """Whether the program of this request gets a terminal, and so ours."""
    inputs = request["inputs"]
    return request["kind"] == "command" and (
        inputs.get("stdin") == "tty" or inputs.get("tty") is not None
    )


@dataclass
class Interrupt:
    """The signal that told this command to end its run, once one came."""

    number: int | None = None

    def exit(self) -> RunExit | None:
        """What this command ends with then."""
        if self.number is None:
            return None
        return RunExit(128 + self.number, "penstock")


class FollowedRun:
    """One run that this command started, and may end."""

    def __init__(
        self,
        client: Client,
        reply: dict[str, Any],
        options: RunOptions,
        writer: FactWriter,
        interrupt: Interrupt,
        *,
        forwards: bool = False,
    ) -> None:
        self._client, self._run_id = client, reply["run_id"]
        self._quiet = options.quiet
        #: Whether the program gets what is piped in here.
        self._forwards = forwards
        self._notes = RunNotes(self._run_id, reply["kind"], reply["state"], writer)
        #: Who writes what the program prints; as it is read, where the daemon promised that.
        self._printed = writer if isinstance(writer, OutputWriter) else None
        self._live = self._printed is not None and reply.get("live", False)
        self._interrupt = interrupt
        self._receipt_shown = trio.Event()

    async def follow(self) -> None:
        """Tell the run until it has ended or a second signal comes."""
        with trio.open_signal_receiver(*heeded()) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._heed, signals, nursery)
                if self._forwards:
                    nursery.start_soon(forward, self._client, self._run_id)
                await self._write()
                if self._interrupt.number is not None:
                    await self._receipt_shown.wait()
                nursery.cancel_scope.cancel(reason="the run has ended")

    def tell_end(self) -> int:
        """How it ended, or that we were told to end it: the exit code."""
        if (told := self._interrupt.exit()) is not None:
            return told.code
        return tell_end(self._notes, quiet=self._quiet)

    def show_result(self) -> None:
        """The result, as the data of this command."""
        end = self._notes.end
        result = None if end is None else getattr(end.event, "result", None)
        if result is not None:
            emit(result, indent=2)

    async def _write(self) -> None:
        telling = open_telling(self._client, self._notes, quiet=self._quiet)
        try:
            async with telling:
                await self._write_facts()
            return
        except OSError as error:
            lost = error
        # As a pipe ends a program that nobody listens to any more; a full disk is such an end too.
        await self._client.cancel(self._run_id, "nobody reads its output", wait=True)
        raise lost

    async def _write_facts(self) -> None:
        client, run_id, notes = self._client, self._run_id, self._notes
        if self._live and self._printed is not None:
            await write_as_printed(client, run_id, notes, self._printed)
        else:
            await write_live(client, run_id, notes)

    async def _heed(self, signals: AsyncIterator[int], nursery: trio.Nursery) -> None:
        async for number in signals:
            if self._printed is not None:
                self._printed.end_line()
            if self._interrupt.number is None:
                self._interrupt.number = number
                say(f"cancelling {self._run_id}; once more to leave at once")
                nursery.start_soon(self._cancel)
            else:
                say(f"left; cancelling {self._run_id} goes on")
                nursery.cancel_scope.cancel(reason="a second signal")

    async def _cancel(self) -> None:
        try:
            receipt = await self._client.cancel(self._run_id, "interrupted", wait=True)
            say(receipt_line(receipt))
        except PenstockError as error:
            say(f"{self._run_id} could not be cancelled: {error}")
        self._receipt_shown.set()


def run_or_detach(
    session: Session, request: dict[str, Any], options: RunOptions
) -> int:
    """`--detach` makes it `penstock submit`."""
    if has_tty(request) and not options.detach:
        from penstock.cli.terminal_run import run_attached

        return run_attached(session, request, options)
    work = submit_only if options.detach else run_to_end
    return work(session, request, options)


run = Kinds(
    run_or_detach,
    name="run",
    help="Start a run, follow it to its end, and end as it did.\n\n"
    "Ctrl-C cancels it and shows the receipt. Without a running daemon one is made for the "
    "length of the run.",
    epilog=f"Exit codes: {in_a_line(CODES_OF_RUNS)}.",
)
