"""Read what happens: in one run, in several, in all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import click
import trio

from penstock.cli.completing import complete_run
from penstock.cli.history import RunSource, ask_source, open_source
from penstock.cli.output import emit, say, show_line
from penstock.cli.render import (
    Ended,
    PieceTeller,
    Teller,
    as_output,
    ended,
    only_types,
    open_teller,
)
from penstock.cli.render import as_json as to_json
from penstock.cli.run import heeded, notice, tell_to_end
from penstock.cli.session import Session, json_option, pass_session, run_async
from penstock.client import Client, Facts
from penstock.words.errors import PenstockError
from penstock.words.problems import Exit, exit_code_of
from penstock.words.recorded import Recorded

#: What `logs` is about.
LOGS = frozenset({"log", "log.truncated"})

_after = click.option(
    "--after",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Only facts above position N.",
)


@click.command()
@click.argument("run_id", metavar="ID", shell_complete=complete_run)
@_after
@json_option
@pass_session
def follow(session: Session, run_id: str, after: int, as_json: bool) -> None:
    """A run from its beginning to its end, live; exits as the run ended.

    Ctrl-C leaves; the run goes on.
    """

    async def work() -> int:
        async with open_source(session, run_id) as source:
            kind = (await source.view(run_id))["kind"]
            async with open_teller(kind, json_wanted=as_json, quiet=False) as teller:
                end = await _tell(source, run_id, teller, after)
        return _exit_of(end)

    raise click.exceptions.Exit(_detachable(work, run_id))


@click.command()
@click.argument("run_id", metavar="ID", shell_complete=complete_run)
@click.option("--follow", "-f", is_flag=True, help="Go on until the run has ended.")
@_after
@json_option
@pass_session
def logs(
    session: Session, run_id: str, follow: bool, after: int, as_json: bool
) -> None:
    """What a run printed: its stdout on stdout, the rest on stderr."""
    teller = PieceTeller(only_types(LOGS, to_json) if as_json else as_output)

    async def work() -> int:
        async with open_source(session, run_id) as source:
            await source.view(run_id)
            if follow:
                await _tell(source, run_id, teller, after)
            else:
                await _tell_history(source, run_id, teller, after)
        return Exit.OK

    raise click.exceptions.Exit(_detachable(work, run_id))


@click.command()
@click.argument(
    "run_ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_run
)
@json_option
@pass_session
def wait(session: Session, run_ids: tuple[str, ...], as_json: bool) -> None:
    """Wait until runs have ended; exits as the first of them that did not complete.

    Ctrl-C leaves; the runs go on.
    """
    codes: dict[str, int] = {}

    async def one(run_id: str) -> None:
        try:
            view = await end_of(run_id)
        except PenstockError as error:
            # The others are waited for all the same.
            say(f"{run_id}: {error}" if len(run_ids) > 1 else str(error))
            codes[run_id] = exit_code_of(error)
            return
        if as_json:
            emit(view)
        else:
            show_line(f"{run_id}  {view['state']}")

    async def end_of(run_id: str) -> dict[str, Any]:
        async with open_source(session, run_id) as source:
            view = await source.view(run_id)
            silent = PieceTeller(lambda fact: None)
            codes[run_id] = _exit_of(
                await _tell(source, run_id, silent, view["position"] - 1)
            )
            return await source.view(run_id)

    async def work() -> int:
        async with trio.open_nursery() as nursery:
            for run_id in run_ids:
                nursery.start_soon(one, run_id)
        return next((codes[run_id] for run_id in run_ids if codes[run_id]), Exit.OK)

    raise click.exceptions.Exit(_detachable(work, " ".join(run_ids)))


@click.command()
@click.argument("run_id", metavar="[ID]", required=False, shell_complete=complete_run)
@_after
@click.option(
    "--type", "types", multiple=True, metavar="TYPE", help="Only these (repeatable)."
)
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes.")
@click.option(
    "--json", is_flag=True, expose_value=False, help="They are JSON in any case."
)
@pass_session
def events(
    session: Session,
    run_id: str | None,
    after: int,
    types: tuple[str, ...],
    follow: bool,
) -> None:
    """The recorded facts as NDJSON, of one run or of all; `position` is the next --after."""
    teller = PieceTeller(only_types(frozenset(types), to_json))

    async def one(source: RunSource, run_id: str) -> None:
        await source.view(run_id)
        tell = _tell if follow else _tell_history
        await tell(source, run_id, teller, after)

    async def everything(client: Client) -> None:
        position = after
        while (page := await client.events(after=position))["events"]:
            await teller.tell(Recorded.from_wire(data) for data in page["events"])
            position = page["next"]
        if follow:
            async with client.follow(after=position) as stream:
                async for news in stream:
                    await teller.tell(news.facts) if isinstance(
                        news, Facts
                    ) else notice(news)

    try:
        if run_id is None:
            session.ask(everything)
        else:
            ask_source(session, run_id, lambda source: one(source, run_id))
    except KeyboardInterrupt:
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None


async def _tell(
    source: RunSource, run_id: str, teller: Teller, after: int
) -> Ended | None:
    """Tell the run's facts above `after` to its end."""
    if source.client is None:
        return await _tell_history(source, run_id, teller, after)
    return await tell_to_end(source.client, run_id, teller, after=after)


async def _tell_history(
    source: RunSource, run_id: str, teller: Teller, after: int
) -> Ended | None:
    """Tell what is recorded by now."""
    end = None
    while facts := await source.page(run_id, after):
        await teller.tell(facts)
        after = facts[-1].position
        end = ended(facts[-1]) or end
    return end


def _exit_of(end: Ended | None) -> int:
    """The exit code of a run's end, after its sentence; a story without an end is a failure."""
    if end is None:
        say("the run has not ended, as far as its log goes")
        return Exit.RUN_FAILED
    if end.sentence:
        say(end.sentence)
    return end.code


def _detachable(work: Callable[[], Awaitable[int]], what: str) -> int:
    """Do the work; a signal ends only this command, and says so."""

    async def heed(nursery: trio.Nursery, received: list[int]) -> None:
        with trio.open_signal_receiver(*heeded()) as signals:
            async for number in signals:
                received.append(number)
                nursery.cancel_scope.cancel(reason="the user leaves")

    async def both() -> int:
        received: list[int] = []
        code = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(heed, nursery, received)
            code = await work()
            nursery.cancel_scope.cancel(reason="done")
        if received:
            say(f"left; {what} goes on")
            return 128 + received[0]
        return code

    return run_async(both)
