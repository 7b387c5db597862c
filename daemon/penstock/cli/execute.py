"""A run from submit to its end, and what Ctrl-C does on the way."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import click
import trio

from penstock.cli.output import emit, say
from penstock.cli.places import open_place
from penstock.cli.session import Session, run_async
from penstock.cli.telling import Ended, Teller, ended, open_teller
from penstock.cli.wishes import Wishes
from penstock.client import (
    Client,
    EpochChanged,
    Facts,
    Gap,
    News,
    Reconnecting,
)
from penstock.words.errors import PenstockError
from penstock.words.problems import Exit

#: What a person or a supervisor sends to end a command.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def submit_only(session: Session, request: dict[str, Any], wishes: Wishes) -> int:
    """Submit to the running daemon; the id is the data."""
    reply = session.ask(lambda client: client.submit(request, wait=wishes.block))
    if wishes.as_json:
        emit(reply)
    else:
        click.echo(reply["run_id"])
    return Exit.OK


def run_to_end(session: Session, request: dict[str, Any], wishes: Wishes) -> int:
    """Submit, tell what happens, and end as the run did."""

    async def work() -> int:
        async with open_place(session, request) as client:
            reply = await client.submit(request, wait=wishes.block)
            execution = Execution(client, reply["run_id"], wishes)
            async with open_teller(
                reply["kind"], json_wanted=wishes.as_json, quiet=wishes.quiet
            ) as teller:
                code = await execution.follow(teller)
            if not wishes.as_json and reply["kind"] != "command":
                execution.show_result()
            return code

    return run_async(work)


class Execution:
    """One run that this command started, and may end."""

    def __init__(self, client: Client, run_id: str, wishes: Wishes) -> None:
        self._client, self._run_id, self._wishes = client, run_id, wishes
        self._end: Ended | None = None
        self._signal: int | None = None
        self._receipt_shown = trio.Event()

    async def follow(self, teller: Teller) -> int:
        """Tell the run until it has ended or a second signal comes: the exit code."""
        with trio.open_signal_receiver(*heeded()) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._heed, signals, nursery)
                self._end = await self._tell(teller)
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
            click.echo(json.dumps(self._end.result, indent=2, ensure_ascii=False))

    async def _tell(self, teller: Teller) -> Ended | None:
        with suppress(BrokenPipeError):
            return await tell_to_end(self._client, self._run_id, teller)
        # As a pipe ends a program that nobody listens to any more.
        await self._client.cancel(self._run_id, "nobody reads its output", wait=True)
        raise BrokenPipeError

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


async def tell_to_end(
    client: Client, run_id: str, teller: Teller, *, after: int = 0
) -> Ended | None:
    """Tell a run's facts above `after`, until its end."""
    end = None
    async with client.follow(run_id, after=after) as stream:
        async for news in stream:
            if isinstance(news, Facts):
                await teller.tell(news.facts)
                end = ended(news.facts[-1]) or end
            else:
                notice(news)
    return end


def notice(news: News) -> None:
    """What happens to the stream itself, on stderr."""
    match news:
        case Reconnecting(why=why, attempt=1):
            say(f"{why}; connecting again")
        case Gap(first=first, last=last):
            say(f"the facts {first} to {last} are not kept any more")
        case EpochChanged():
            say("the daemon has another log now; reading it from its beginning")
        case _:
            pass


def receipt_line(receipt: dict[str, Any]) -> str:
    """A receipt in a sentence; it never claims more than was proven."""
    run_id, outcome = receipt["run_id"], receipt["outcome"]
    if outcome == "already_terminal":
        return f"{run_id} had ended before"
    if outcome == "tombstoned":
        return (
            f"{run_id} is not known; if it is submitted within a day it will not start"
        )
    survivors = receipt["survivors"]
    if survivors:
        return f"{run_id} cancelled, but not proven gone; survivors: {survivors}"
    if receipt["gone_at"] is None:
        return f"{run_id}: cancel requested"
    pids = " ".join(map(str, receipt["pids"]))
    proof = f" ({receipt['method']}: {pids})" if pids else ""
    return f"{run_id} cancelled, nothing of it is left{proof}"


def heeded() -> tuple[signal.Signals, ...]:
    """The signals to act on: those that our parent did not tell us to ignore (nohup, `&`)."""
    return tuple(s for s in SIGNALS if signal.getsignal(s) is not signal.SIG_IGN)
