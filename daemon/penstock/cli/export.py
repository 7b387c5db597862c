"""`penstock export`: the log as NDJSON."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import click

from penstock.cli.log_file import database_option, readable, say_if_older
from penstock.cli.output import json_lines, say
from penstock.cli.session import Session, pass_session


@click.command()
@click.argument("out", type=click.File("wb", lazy=True), default="-")
@database_option
@click.option(
    "--with-secrets", is_flag=True, help="With the values of --env, as runs got them."
)
@click.option(
    "--json", is_flag=True, expose_value=False, help="It is NDJSON in any case."
)
@pass_session
def export(
    session: Session, out: BinaryIO, database: Path | None, with_secrets: bool
) -> None:
    """Write the log as NDJSON to OUT, or stdout; the daemon may be running.

    Values of inputs that are shown nowhere, such as those of --env, are left out.
    """
    from penstock.log.export import export_file

    path = database or session.paths().database
    if with_secrets:
        # The file is made at the first write.
        os.umask(0o077)
    with readable(path):
        count = export_file(path, json_lines(out), with_secrets=with_secrets)
    say_if_older(path)
    without = "" if with_secrets else ", without the values of --env (--with-secrets)"
    say(f"{count} facts exported{without}")
