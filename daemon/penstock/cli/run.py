"""`penstock run KIND …`: start a run, follow it to its end, and end as it did."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import trio

from penstock.cli.connect import open_daemon_for
from penstock.cli.interrupts import heeded
from penstock.cli.kind_commands import Kinds, submit_only
from penstock.cli.output import emit, say
from penstock.cli.relay import write_live
from penstock.cli.render import Ended, FactWriter, open_writer
from penstock.cli.replies import receipt_line
from penstock.cli.run_options import RunOptions
from penstock.cli.session import Session, run_async
from penstock.client import Client
from penstock.client.surroundings import with_caller
from penstock.words.errors import PenstockError
from penstock.words.problems import Exit


def run_to_end(session: Session, request: dict[str, Any], options: RunOptions) -> int:
    """Submit, tell what happens, and end as the run did."""

    async def work() -> int:
        async with open_daemon_for(session, request) as client:
            asked = with_caller(request, session.environ, client.address)
            reply = await client.submit(asked, wait=options.block)
            followed = FollowedRun(client, reply["run_id"], options)
            async with open_writer(
                reply["kind"], json_wanted=options.as_json, quiet=options.quiet
            ) as writer:
                code = await followed.follow(writer)
            if not options.as_json and reply["kind"] != "command":
                followed.show_result()
            return code

    return run_async(work)


class FollowedRun:
    """One run that this command started, and may end."""

    def __init__(self, client: Client, run_id: str, options: RunOptions) -> None:
        self._client, self._run_id, self._options = client, run_id, options
        self._end: Ended | None = None
        self._signal: int | None = None
        self._receipt_shown = trio.Event()

    async def follow(self, writer: FactWriter) -> int:
        """Tell the run until it has ended or a second signal comes: the exit code."""
        with trio.open_signal_receiver(*heeded()) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._heed, signals, nursery)
                self._end = await self._write(writer)
                if self._signal is not None:
                    await self._receipt_shown.wait()
                nursery.cancel_scope.cancel(reason="the run has ended")
        if self._signal is not None:
            return 128 + self._signal
        if self._end is None:
            return Exit.RUN_FAILED
        if self._end.sentence:
            say(self._end.sentence)
        return self._end.code

    def show_result(self) -> None:
        """The result, as the data of this command."""
        if self._end is not None and self._end.result is not None:
            emit(self._end.result, indent=2)

    async def _write(self, writer: FactWriter) -> Ended | None:
        try:
            return await write_live(self._client, self._run_id, writer)
        except OSError as error:
            lost = error
        # As a pipe ends a program that nobody listens to any more; a full disk is such an end too.
        await self._client.cancel(self._run_id, "nobody reads its output", wait=True)
        raise lost

    async def _heed(self, signals: AsyncIterator[int], nursery: trio.Nursery) -> None:
        async for number in signals:
            if self._signal is None:
                self._signal = number
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
    work = submit_only if options.detach else run_to_end
    return work(session, request, options)


run = Kinds(
    run_or_detach,
    name="run",
    help="Start a run, follow it to its end, and end as it did.\n\n"
    "Ctrl-C cancels it and shows the receipt. Without a running daemon one is made for the "
    "length of the run.",
)
