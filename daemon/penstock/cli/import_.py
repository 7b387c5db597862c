"""`penstock import`: an export, read into an empty log."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

import click

from penstock.cli.log_file import database_option, readable
from penstock.cli.output import emit, say
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.errors import Refused, StartRefused
from penstock.words.plain_files import open_source, reason_of


@click.command("import")
@click.argument("source", type=click.Path(allow_dash=True), default="-")
@database_option
@json_option
@pass_session
def import_(
    session: Session, source: str, database: Path | None, as_json: bool
) -> None:
    """Read an export into an empty log, of a daemon that is not running."""
    from penstock.log.export import import_file
    from penstock.log.sqlite.database import hold_lock

    paths = session.paths()
    path = session.log_file(database)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        why = f"the folder {path.parent} cannot be made: {error.strerror}"
        raise StartRefused(why) from None
    # Another file than the daemon's own is nobody's but ours.
    lock = paths.lock if database is None else path.with_name(f"{path.name}.lock")
    with _opened(source) as file, hold_lock(lock), readable(path):
        count = import_file(path, file)
    if as_json:
        emit({"database": str(path), "events": count})
    else:
        say(f"{count} facts imported into {path}")


def _opened(source: str) -> AbstractContextManager[BinaryIO]:
    """The export; a FIFO would wait for somebody who writes to it, for ever where there is nobody."""
    if source == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return open_source(Path(source))
    except OSError as error:
        raise Refused(
            "source", f"{source} cannot be read: {reason_of(error)}"
        ) from None
