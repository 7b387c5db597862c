"""`penstock health`: whether the daemon is well."""

from __future__ import annotations

import click

from penstock.cli.output import emit, fields
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.exit_codes import Exit


@click.command()
@json_option
@pass_session
def health(session: Session, as_json: bool) -> None:
    """Whether the daemon is well; exits 1 if it is not."""
    told = session.call(lambda client: client.health())
    if as_json:
        emit(told)
    else:
        fields(told)
    raise click.exceptions.Exit(Exit.OK if told["status"] == "ok" else Exit.RUN_FAILED)
