"""`penstock import`: an export, read into an empty log."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

import click

from penstock.cli.chosen_log import ServerLog, choose_log, log_options
from penstock.cli.output import emit, say
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.errors import Refused
from penstock.words.plain_files import open_source, reason_of


@click.command("import")
@click.argument("source", type=click.Path(allow_dash=True), default="-")
@log_options
@json_option
@pass_session
def import_(
    session: Session,
    source: str,
    database: Path | None,
    store: str | None,
    schema: str | None,
    as_json: bool,
) -> None:
    """Read an export into an empty log, of a daemon that is not running."""
    from penstock.log.export import import_lines
    from penstock.log.whole_copy import settle
    from penstock.service.environment import box_of

    chosen = choose_log(session, database, store, schema)
    with _opened(source) as file, chosen.filling() as log:
        count = import_lines(log, file)
        if isinstance(chosen, ServerLog):
            settle(log, box_of(session.config()[0]))
    if as_json:
        emit({"database": chosen.tell(), "events": count})
    else:
        say(f"{count} facts imported into {chosen.tell()}")


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
