"""The logs of embedded daemons: which there are, and which of them knows a run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from penstock.cli.session import Session
from penstock.client.sync import SyncClient
from penstock.words.address import Paths
from penstock.words.errors import Conflict, DaemonUnreachable, Refused, RunNotFound
from penstock.words.run_id import check_run_id


def one_form(run_id: str) -> str:
    """A run id as the daemon knows it: files are named after it. Refused if it can be none."""
    try:
        return check_run_id(run_id)
    except ValueError as error:
        raise Refused("run_id", str(error)) from None


def log_files(paths: Paths) -> list[Path]:
    """The log of each embedded daemon there was or is, the last written first."""
    return sorted(paths.embedded.glob("*.db"), key=last_written, reverse=True)


def last_written(file: Path) -> float:
    """When a log was last written, in seconds since 1970; 0 for one that is just removed."""
    moments = []
    # What a daemon that was killed wrote last is in the log beside the file.
    for part in (file, file.with_name(f"{file.name}-wal")):
        try:
            moments.append(part.stat().st_mtime)
        except FileNotFoundError:
            continue
    return max(moments, default=0.0)


def find_log(session: Session, run_id: str) -> Path | None:
    """The embedded log that has this run; None if there is none, or the daemon has it.

    A log is named after the run it was made for. Others are in it too: the children of that run,
    and what an agent started over `penstock mcp`, whose logs are named after no run.
    """
    if session.named:
        return None
    run_id, paths = one_form(run_id), session.paths()
    named = paths.embedded_database(run_id)
    # A log that cannot be read is that of its name, and who opens it says what ails it.
    if _knows(named, run_id) is not False:
        return named
    files = log_files(paths)
    if not files or _daemon_knows(session, run_id):
        return None
    return next((file for file in files if _knows(file, run_id)), None)


def check_new(session: Session, request: Mapping[str, Any]) -> None:
    """Conflict if the run that is asked for was made without the daemon that would be asked."""
    run_id = request.get("run_id")
    if run_id and (log := find_log(session, run_id)) is not None:
        if session.call(lambda client: _is_known(client, one_form(run_id))):
            return
        raise Conflict(
            f"{run_id} is a run that was made without the daemon, in {log}; `penstock show"
            f" {run_id}` tells how it stands, and another id makes a new run"
        )


def _is_known(client: SyncClient, run_id: str) -> bool:
    """Whether the daemon has a run of this id."""
    try:
        client.run(run_id)
    except RunNotFound:
        return False
    return True


def _daemon_knows(session: Session, run_id: str) -> bool:
    try:
        return session.call(lambda client: _is_known(client, run_id))
    except DaemonUnreachable:
        return False


def _knows(file: Path, run_id: str) -> bool | None:
    """Whether a log has this run; None if the file cannot be read."""
    if not file.exists():
        return False
    if not file.is_file():
        # To open what is no file, a FIFO above all, might wait for ever.
        return None
    # Late: mostly there is no such file.
    import sqlite3

    try:
        uri = f"{file.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as db:
            sql = "SELECT count(*) FROM runs WHERE run_id = ? AND key > 0"
            return bool(db.execute(sql, (run_id,)).fetchone()[0])
    except sqlite3.Error:
        return None
