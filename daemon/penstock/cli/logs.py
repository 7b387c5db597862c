"""`penstock logs`: what a run printed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import click

from penstock.cli.history import RunSource, open_source
from penstock.cli.interrupts import run_detachable
from penstock.cli.options import after_option, run_argument
from penstock.cli.relay import write_recorded, write_to_end
from penstock.cli.render import FactWriter, LineWriter, OutputWriter, only_types
from penstock.cli.render import as_json as to_json
from penstock.cli.session import Session, json_option, pass_session
from penstock.log.newest_output import NewestOutput, search_newest
from penstock.words.exit_codes import Exit
from penstock.words.printed import STREAMS, Stream

#: What `logs` is about.
LOGS = frozenset({"log", "log.truncated"})
#: What goes to each of ours: a pipeline's own words to stderr, as they are no data.
STDOUT: frozenset[Stream] = frozenset({"stdout"})
STDERR: frozenset[Stream] = STREAMS - STDOUT
#: Lines of `--tail`, and bytes that they may have: more than is kept of a run.
MOST_LINES = 1_000_000
MOST_BYTES = 64 * 1024 * 1024

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Since(click.ParamType[datetime]):
    """So long ago, as 90s, 10m, 2h or 1d, or a local time as ISO 8601 writes it."""

    name = "TIME"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            if ago := re.fullmatch(r"([0-9]{1,6})([smhd])", value):
                return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
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

    def show(
        self, source: RunSource, writer: FactWriter, printed: OutputWriter
    ) -> None:
        """Write it; `printed` is the writer where only lines are wanted."""
        head = source.view(self.run_id)["position"]
        after = self._find_start(source)
        if self.tail is not None:
            newest = self._find_newest(source, after, head)
            printed.write_pieces(newest.last_lines(self.tail).pieces)
            after = head
        if self.follow:
            write_to_end(source, self.run_id, writer, after)
        elif self.tail is None:
            write_recorded(source, self.run_id, writer, after)

    def _find_newest(self, source: RunSource, after: int, head: int) -> NewestOutput:
        """What was printed last, of at least as many lines as are wanted."""
        search = search_newest(
            head,
            lines=self.tail or MOST_LINES,
            most_bytes=MOST_BYTES,
            after=after,
            streams=self.streams,
        )
        try:
            begin, _ = next(search)
            while True:
                begin, _ = search.send(source.page(self.run_id, begin))
        except StopIteration as found:
            newest: NewestOutput = found.value
            return newest

    def _find_start(self, source: RunSource) -> int:
        """The position after which something is new enough."""
        after = self.after
        while self.since and (facts := source.page(self.run_id, after)):
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

    \b
    Examples: penstock logs 12 --tail 20
              penstock logs @last -f
    """
    if as_json and tail is not None:
        raise click.UsageError("--tail counts lines, and --json has none; see --after")
    streams = STREAMS if stdout == stderr else STDOUT if stdout else STDERR
    printed = OutputWriter(streams, raw=raw)
    writer: FactWriter = printed
    if as_json:
        writer = LineWriter(only_types(LOGS, to_json, streams))
    wanted = _WantedLog(run_id, after, since, tail, follow, streams)

    def work() -> int:
        with open_source(session, run_id) as source:
            wanted.show(source, writer, printed)
            printed.finish()
        return Exit.OK

    raise click.exceptions.Exit(run_detachable(work, run_id))
