"""`penstock intervene`: tell a run something."""

from __future__ import annotations

import click

from penstock.cli.options import named_run_argument
from penstock.cli.output import emit
from penstock.cli.session import Session, json_option, pass_session


@click.command()
@named_run_argument
@click.argument("text")
@json_option
@pass_session
def intervene(session: Session, run_id: str, text: str, as_json: bool) -> None:
    """Tell a run something; it is recorded at once and heeded by the run's own lights."""
    reply = session.call(lambda client: client.intervene(run_id, text))
    if as_json:
        emit(reply)
