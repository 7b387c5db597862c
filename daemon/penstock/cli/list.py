"""`penstock list`: the runs, newest first."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from penstock.cli.archives import last_written, log_files
from penstock.cli.output import emit, say
from penstock.cli.replies import newest_runs
from penstock.cli.run_lines import show_runs
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.errors import DaemonUnreachable, Refused, StartRefused, StoreBroken

#: Rows of a list when nothing is said: what fits a screen or two.
LIST_ROWS = 50


@click.command("list")
@click.argument("words", nargs=-1)
@click.option(
    "--limit", "-n", default=LIST_ROWS, show_default=True, type=click.IntRange(1)
)
@click.option(
    "--all", "everywhere", is_flag=True, help="Those made without the daemon too."
)
@json_option
@pass_session
def list_(
    session: Session,
    words: tuple[str, ...],
    limit: int,
    everywhere: bool,
    as_json: bool,
) -> None:
    """The runs, newest first.

    Filter by words: `state:failed prio:high kind:command label:k=v group:g parent:ID text !text`; text is
    looked for in ids, labels and command lines.
    `state:open` and `state:ended` stand for several states. Without a daemon, the runs that were
    made without one are listed; with --all these too: of `penstock run` and `penstock mcp`.
    """
    q = " ".join(_quoted(word) for word in words)
    rows = read_runs(session, q, limit, everywhere=everywhere)
    if as_json:
        for row in rows:
            emit(row)
        return
    show_runs(rows)


def _quoted(word: str) -> str:
    """A word with spaces stays one term of the filter; after a key it is its value."""
    if " " not in word or '"' in word:
        return word
    key, colon, value = word.partition(":")
    if colon and key.isalpha() and " " not in key:
        return f'{key}:"{value}"'
    return f'"{word}"'


def read_runs(
    session: Session, q: str, limit: int, *, everywhere: bool = False
) -> list[dict[str, Any]]:
    """The daemon's newest runs; `everywhere`: and those that were made without it.

    Without a daemon these alone, if there are any.
    """
    if everywhere and session.named:
        raise Refused("--all", "reads the logs of this box; leave the address out")
    files = [] if session.named else log_files(session.paths())
    try:
        rows = session.call(lambda client: newest_runs(client, q, limit))
    except DaemonUnreachable:
        if not files:
            raise
        say("no daemon is running; these are the runs that were made without one")
        rows, everywhere = [], True
    if everywhere:
        rows += _rows_of(session, files, q, limit)
    return sorted(rows, key=_created, reverse=True)[:limit] if everywhere else rows


def _rows_of(
    session: Session, files: list[Path], q: str, limit: int
) -> list[dict[str, Any]]:
    """The newest runs of these logs, of which the last written come first."""
    # What reads a log without a daemon is heavy, and rarely needed.
    from penstock.cli.history import open_log

    rows: list[dict[str, Any]] = []
    for file in files:
        newest = sorted(map(_created, rows), reverse=True)[:limit]
        if len(newest) == limit and newest[-1].timestamp() > last_written(file):
            # No run of this log, or of those that follow, is as new.
            break
        try:
            with open_log(session, file) as source:
                rows += source.runs(q, limit)
        except (DaemonUnreachable, StartRefused, StoreBroken) as error:
            # The others are listed all the same.
            say(str(error))
    return rows


def _created(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["created_at"])
