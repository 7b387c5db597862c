"""A run's facts, carried from where they are to who reads them: all there are, or to the end."""

from __future__ import annotations

from penstock.cli.history import RunSource
from penstock.cli.output import say
from penstock.cli.render import FactWriter
from penstock.client import (
    Client,
    EpochChanged,
    Facts,
    News,
    Reconnecting,
    Skipped,
    WentBack,
)


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
