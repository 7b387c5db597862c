"""`penstock logs`: what a run printed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

import click

from penstock.cli.history import RunSource, open_source
from penstock.cli.interrupts import run_detachable
from penstock.cli.options import after_option, run_argument
from penstock.cli.relay import write_recorded, write_to_end
from penstock.cli.render import FactWriter, OutputWriter, PieceWriter, only_types
from penstock.cli.render import as_json as to_json
from penstock.cli.session import Session, json_option, pass_session
from penstock.log.newest_output import newest_output
from penstock.words.config import MIB
from penstock.words.exit_codes import Exit
from penstock.words.printed import STREAMS, Stream
from penstock.words.values import utc_now

#: What `logs` is about.
LOGS = frozenset({"log", "log.truncated"})
#: What goes to each of ours: a pipeline's own words to stderr, as they are no data.
STDOUT: frozenset[Stream] = frozenset({"stdout"})
STDERR: frozenset[Stream] = STREAMS - STDOUT
#: Lines of `--tail`, and bytes that they may have: more than is kept of a run.
MOST_LINES = 1_000_000
MOST_BYTES = 64 * MIB

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Since(click.ParamType[datetime]):
    """So long ago, as 90s, 10m, 2h or 1d, or a local time as ISO 8601 writes it."""

    name = "TIME"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            if ago := re.fullmatch(r"([0-9]{1,6})([smhd])", value):
                return utc_now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            return datetime.fromisoformat(value).astimezone()
        except (ValueError, OverflowError):
            why = f"{value!r} is neither so long ago (90s, 10m, 2h, 1d) nor a time"
            self.fail(f"{why} (2026-01-31T12:00)", param, ctx)


@dataclass(frozen=True, slots=True)
class _WantedLog:
    """Which part of a run's output, and in which form."""

    run_id: str
    after: int
    since: datetime | None
    tail: int | None
    follow: bool
    streams: frozenset[Stream]

    async def show(
        self, source: RunSource, writer: FactWriter, printed: OutputWriter
    ) -> None:
        """Write it; `printed` is the writer where only lines are wanted."""
        head = (await source.view(self.run_id))["position"]
        after = await self._find_start(source)
        if self.tail is not None:
            newest = await newest_output(
                lambda begin, _limit: source.page(self.run_id, begin),
                head,
                lines=self.tail,
                most_bytes=MOST_BYTES,
                after=after,
                streams=self.streams,
            )
            await printed.write_pieces(newest.last_lines(self.tail).pieces)
            after = head
        if self.follow:
            await write_to_end(source, self.run_id, writer, after)
        elif self.tail is None:
            await write_recorded(source, self.run_id, writer, after)

    async def _find_start(self, source: RunSource) -> int:
        """The position after which something is new enough."""
        after = self.after
        while self.since and (facts := await source.page(self.run_id, after)):
            for fact in facts:
                if fact.at >= self.since:
                    return after
                after = fact.position
        return after


@click.command()
@run_argument
@click.option("--follow", "-f", is_flag=True, help="Go on until the run has ended.")
@click.option(
    "--tail", "-n", type=click.IntRange(1, MOST_LINES), metavar="N",
    help="Only the last N lines.",
)  # fmt: skip
@click.option("--since", type=Since(), help="Only what was printed since: 10m, 2h, …")
@after_option
@click.option("--stdout", is_flag=True, help="Only what it printed to its stdout.")
@click.option("--stderr", is_flag=True, help="Only what goes to stderr.")
@click.option("--raw", is_flag=True, help="The exact bytes on a terminal too.")
@json_option
@pass_session
def logs(
    session: Session,
    run_id: str,
    follow: bool,
    tail: int | None,
    since: datetime | None,
    after: int,
    stdout: bool,
    stderr: bool,
    raw: bool,
    as_json: bool,
) -> None:
    """What a run printed: its stdout on stdout, the rest on stderr.

    A pipe gets the exact bytes. A terminal gets colours and the last state of each line, and
    everything else that it would obey is shown instead.
    """
    if as_json and tail is not None:
        raise click.UsageError("--tail counts lines, and --json has none; see --after")
    streams = STREAMS if stdout == stderr else STDOUT if stdout else STDERR
    printed = OutputWriter(streams, raw=raw)
    writer: FactWriter = printed
    if as_json:
        writer = PieceWriter(only_types(LOGS, to_json, streams))
    wanted = _WantedLog(run_id, after, since, tail, follow, streams)

    async def work() -> int:
        async with open_source(session, run_id) as source:
            await wanted.show(source, writer, printed)
            await printed.finish()
        return Exit.OK

    raise click.exceptions.Exit(run_detachable(work, run_id))
