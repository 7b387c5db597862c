"""`penstock export`: the log as NDJSON."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, cast

import click

from penstock.cli.chosen_log import FileLog, ServerLog, choose_log, log_options
from penstock.cli.output import json_lines, say
from penstock.cli.session import Session, pass_session


@click.command()
@click.argument("out", type=click.File("wb", lazy=True), default="-")
@log_options
@click.option(
    "--with-secrets", is_flag=True, help="With the values of --env, as runs got them."
)
@click.option(
    "--examples",
    is_flag=True,
    help="Training examples instead: what models were asked and said, with how the tests went.",
)
@click.option(
    "--json", is_flag=True, expose_value=False, help="It is NDJSON in any case."
)
@pass_session
def export(
    session: Session,
    out: BinaryIO,
    database: Path | None,
    store: str | None,
    schema: str | None,
    with_secrets: bool,
    examples: bool,
) -> None:
    """Write the log as NDJSON to OUT, or stdout; the daemon may be running.

    Values of inputs that are shown nowhere, such as those of --env, are left out.
    """
    chosen = choose_log(session, database, store, schema)
    if examples:
        _export_examples(chosen, out)
        return
    from penstock.log.export import export_log

    if with_secrets:
        # The file is made at the first write.
        os.umask(0o077)
    with chosen.reading() as log:
        count = export_log(log, json_lines(out), with_secrets=with_secrets)
    chosen.say_if_older()
    without = "" if with_secrets else ", without the values of --env (--with-secrets)"
    say(f"{count} facts exported{without}")


def _export_examples(chosen: FileLog | ServerLog, out: BinaryIO) -> None:
    """A line for each question and the answer that was used."""
    from penstock.llm.examples import ExampleLines
    from penstock.log.export import export_log

    lines = ExampleLines(json_lines(out).write)
    with chosen.reading() as log:
        # Whole lines are written to it, and nothing else is asked.
        export_log(log, cast("BinaryIO", lines))
        lines.close()
    chosen.say_if_older()
    say(f"{lines.count} examples exported")
