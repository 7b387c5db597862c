"""The newest runs: the daemon's, and those that were made without it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from penstock.cli.archives import last_written, log_files
from penstock.cli.output import say
from penstock.cli.replies import newest_runs
from penstock.cli.session import Session
from penstock.words.errors import DaemonUnreachable, Refused, StartRefused, StoreBroken


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
