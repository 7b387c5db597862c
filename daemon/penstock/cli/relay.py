"""A run's facts, carried from where they are to who reads them: all there are, or to the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from penstock.cli.history import RunSource
from penstock.cli.notes import RunNotes
from penstock.cli.output import say
from penstock.cli.render import FactWriter, OutputWriter
from penstock.client import (
    Client,
    EpochChanged,
    Facts,
    News,
    Reconnecting,
    Skipped,
    WentBack,
)
from penstock.client.log_reader import Lost
from penstock.words.errors import PenstockError
from penstock.words.recorded import Recorded

if TYPE_CHECKING:
    from penstock.client.live_output import ShownSoFar


async def write_to_end(
    source: RunSource, run_id: str, writer: FactWriter, after: int
) -> None:
    """Write the run's facts above `after`, to its end."""
    # A stream of a run whose end lies before `after` would be opened again and again.
    if source.client is None or (await source.view(run_id)).get("ended_at"):
        await write_recorded(source, run_id, writer, after)
    else:
        await write_live(source.client, run_id, writer, after=after)


async def write_recorded(
    source: RunSource, run_id: str, writer: FactWriter, after: int
) -> None:
    """Write what is recorded by now."""
    while facts := await source.page(run_id, after):
        await writer.write(facts)
        after = facts[-1].position


async def write_live(
    client: Client, run_id: str, writer: FactWriter, *, after: int = 0
) -> None:
    """Write a run's facts above `after`, until its end."""
    async with client.follow(run_id, after=after) as stream:
        async for news in stream:
            if isinstance(news, Facts):
                await writer.write(news.facts)
            else:
                notice(news)


async def write_as_printed(
    client: Client, run_id: str, notes: RunNotes, printed: OutputWriter
) -> None:
    """Write a run that this client started, to its end: what it prints as it is read, all of it.

    If that cannot be had (any more), the rest is written as it is recorded.
    """
    from penstock.client.live_output import PrintedNow, ShownSoFar, open_live

    shown = ShownSoFar()
    try:
        async with open_live(client.address, run_id) as live:
            shown = live.shown
            while True:
                for news in await live.receive():
                    if isinstance(news, PrintedNow):
                        await printed.write_printed(news.stream, news.data)
                    elif isinstance(news, Facts):
                        await notes.write(news.facts)
                    else:
                        notice(news)
    except trio.EndOfChannel:
        return
    except (Lost, PenstockError) as lost:
        if shown.programs:
            say(f"{lost}; connecting again")
    notes.writer = _Rest(notes.writer, shown)
    await write_live(client, run_id, notes)


@dataclass(frozen=True, slots=True)
class _Rest:
    """Writes facts from the first on, without the output that was shown."""

    writer: FactWriter
    shown: ShownSoFar

    async def write(self, facts: Iterable[Recorded]) -> None:
        await self.writer.write(tuple(self.shown.cut(facts)))


def notice(news: News) -> None:
    """What happens to the stream itself, on stderr."""
    match news:
        case Reconnecting(why=why, attempt=1):
            say(f"{why}; connecting again")
        case Skipped(first=first, last=last):
            say(f"the facts {first} to {last} are not kept any more")
        case WentBack(first=first):
            say(
                f"the log does not hold the facts from {first} on any more; it was put back, and"
                " is read from its beginning"
            )
        case EpochChanged():
            say("the daemon has another log now; reading it from its beginning")
        case _:
            pass
