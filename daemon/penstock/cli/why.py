"""`penstock why`: what a run waits for, and what stands before it."""

from __future__ import annotations

import click

from penstock.cli.options import run_argument
from penstock.cli.output import emit, show_line
from penstock.cli.run_lookup import call_source
from penstock.cli.session import Session, json_option, pass_session


@click.command()
@run_argument
@json_option
@pass_session
def why(session: Session, run_id: str, as_json: bool) -> None:
    """Why a run is where it is: what it waits for, and what stands before it.

    Runs of embedded daemons are found too.

    Example: penstock why 12
    """
    told = call_source(
        session,
        run_id,
        live=lambda client: client.why(run_id),
        kept=lambda source: source.why(run_id),
    )
    if as_json:
        emit(told)
        return
    show_line(f"{told['run_id']} is {told['state']}.")
    for reason in told["reasons"]:
        show_line(reason["text"])
