"""A run's facts, carried from where they are to who reads them: all there are, or to the end."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from penstock.cli.history import RunSource
from penstock.cli.output import say
from penstock.cli.patience import Telling
from penstock.cli.render import FactWriter, OutputWriter
from penstock.client.followed_log import FollowedLog, FollowedNews, ToldFacts
from penstock.client.live_output import FollowedLive, PrintedNow
from penstock.client.log_reader import EpochChanged, Reconnecting, Skipped, WentBack
from penstock.client.sync import SyncClient


class Carried(Protocol):
    """What has a turn whenever there is something for it."""

    @property
    def fileno(self) -> int | None:
        """What can be read once there is more; None: nothing now."""
        ...

    def due(self, now: float) -> float | None:
        """When to have a turn if nothing comes before; None: only then."""
        ...

    def turn(self, now: float, *, readable: bool) -> None: ...


C = TypeVar("C", bound=Carried)


class Relay:
    """One log on its way to a writer, and why it is not on its way."""

    def __init__(
        self,
        log: FollowedLog | FollowedLive,
        writer: FactWriter,
        telling: Telling | None = None,
        printed: OutputWriter | None = None,
    ) -> None:
        """`printed` writes what comes before it is recorded."""
        self._log, self._writer, self._telling = log, writer, telling
        self._printed = printed

    def close(self) -> None:
        """Nothing more is wanted."""
        self._log.close()

    @property
    def ended(self) -> bool:
        """Whether nothing follows, since the run has ended."""
        return self._log.ended

    @property
    def fileno(self) -> int | None:
        """See `Carried`."""
        return self._log.fileno()

    def due(self, now: float) -> float | None:
        """See `Carried`."""
        told = None if self._telling is None else self._telling.due(now)
        times = [due for due in (self._log.due, told) if due is not None]
        return min(times, default=None)

    def turn(self, now: float, *, readable: bool) -> None:
        """Carry what there is."""
        if readable or (self._log.due is not None and self._log.due <= now):
            for news in self._log.read():
                if isinstance(news, ToldFacts):
                    self._writer.write(news.facts)
                elif isinstance(news, PrintedNow):
                    if self._printed is not None:
                        self._printed.write_printed(news.stream, news.data)
                elif (notice := notice_of(news)) is not None:
                    self._writer.end_line()
                    say(notice)
        elif self._telling is not None:
            self._telling.tell(now)


def carry(
    carried: Iterable[C],
    over: Callable[[C], bool],
    give_up: float | None = None,
) -> None:
    """Let each have its turn when there is something for it, until all are `over`.

    Or until the monotonic clock says `give_up`.
    """
    left = list(carried)
    while left := [one for one in left if not over(one)]:
        now = time.monotonic()
        if give_up is not None and now >= give_up:
            return
        times = [give_up, *(one.due(now) for one in left)]
        due = min((moment for moment in times if moment is not None), default=None)
        readable = _wait(left, None if due is None else due - now)
        now = time.monotonic()
        for one in left:
            one.turn(now, readable=one.fileno in readable)


def _wait(carried: Iterable[Carried], seconds: float | None) -> set[int | None]:
    """The descriptors that can be read, once one can, or after so many seconds (None: no matter how many)."""
    poll = select.poll()
    for one in carried:
        if (number := one.fileno) is not None:
            poll.register(number, select.POLLIN)
    # Rounded up: a moment too early would be spent in asking again.
    patience = None if seconds is None else max(0, int(seconds * 1000) + (seconds > 0))
    return {number for number, _ in poll.poll(patience)}


def write_to_end(
    source: RunSource,
    run_id: str,
    writer: FactWriter,
    after: int,
    telling: Telling | None = None,
    beside: Sequence[Carried] = (),
) -> None:
    """Write the run's facts above `after`, to its end; what is `beside` has its turns meanwhile."""
    # A stream of a run whose end lies before `after` would be opened again and again.
    if source.client is None or source.view(run_id).get("ended_at"):
        write_recorded(source, run_id, writer, after)
    else:
        write_live(
            source.client, run_id, writer, after=after, telling=telling, beside=beside
        )


def write_recorded(
    source: RunSource, run_id: str, writer: FactWriter, after: int
) -> None:
    """Write what is recorded by now."""
    while facts := source.page(run_id, after):
        writer.write(facts)
        after = facts[-1].position


def write_live(
    client: SyncClient,
    run_id: str | None,
    writer: FactWriter,
    *,
    after: int = 0,
    telling: Telling | None = None,
    beside: Sequence[Carried] = (),
) -> None:
    """Write a run's facts above `after`, until its end; those of all runs for ever."""
    log = FollowedLog(client, run_id, after)
    relay = Relay(log, writer, telling)
    try:
        carry([relay, *beside], lambda _: relay.ended)
    finally:
        log.close()


def write_as_printed(
    client: SyncClient,
    run_id: str,
    writer: FactWriter,
    printed: OutputWriter,
    telling: Telling,
) -> None:
    """Write a run that this client started, to its end: what it prints as it is read, all of it.

    If that cannot be had (any more), the rest is written as it is recorded.
    """
    live = FollowedLive(client, run_id)
    try:
        carry([Relay(live, writer, telling, printed)], lambda relay: relay.ended)
    finally:
        live.close()


def notice_of(news: FollowedNews) -> str | None:
    """What happens to the stream itself, in words; None for what nobody need be told."""
    match news:
        case Reconnecting(why=why, attempt=1):
            return f"{why}; connecting again"
        case Skipped(first=first, last=last):
            return f"the facts {first} to {last} are not kept any more"
        case WentBack(first=first):
            return (
                f"the log does not hold the facts from {first} on any more; it was put back, and"
                " is read from its beginning"
            )
        case EpochChanged():
            return "the daemon has another log now; reading it from its beginning"
        case _:
            return None
