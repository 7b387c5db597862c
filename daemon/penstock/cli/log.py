"""The log as a file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import click

from penstock.cli.output import emit, say
from penstock.cli.session import Session, json_option, pass_session

_database = click.option(
    "--database",
    type=click.Path(dir_okay=False, path_type=Path),
    help="This file instead of the daemon's own.",
)


@click.command()
@click.argument("out", type=click.File("wb", lazy=True), default="-")
@_database
@click.option(
    "--json", is_flag=True, expose_value=False, help="It is NDJSON in any case."
)
@pass_session
def export(session: Session, out: BinaryIO, database: Path | None) -> None:
    """Write the log as NDJSON to OUT, or stdout; the daemon may be running."""
    from penstock.record.export import export_file

    count = export_file(database or session.paths().database, out)
    say(f"{count} facts exported")


@click.command("import")
@click.argument("source", type=click.File("rb"), default="-")
@_database
@json_option
@pass_session
def import_(
    session: Session, source: BinaryIO, database: Path | None, as_json: bool
) -> None:
    """Read an export into an empty log, of a daemon that is not running."""
    from penstock.record.export import import_file
    from penstock.record.lock import hold_lock

    paths = session.paths()
    path = database or paths.database
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Another file than the daemon's own is nobody's but ours.
    lock = paths.lock if database is None else path.with_name(f"{path.name}.lock")
    with hold_lock(lock):
        count = import_file(path, source)
    if as_json:
        emit({"database": str(path), "events": count})
    else:
        say(f"{count} facts imported into {path}")
