"""`penstock move`: the first or last place in line."""

from __future__ import annotations

import click

from penstock.cli.options import named_run_argument
from penstock.cli.rearranging import rearrange
from penstock.cli.session import Session, json_option, pass_session


@click.command()
@named_run_argument
@click.option("--first", "place", flag_value="first", help="Before all others.")
@click.option("--last", "place", flag_value="last", help="Behind all others.")
@json_option
@pass_session
def move(session: Session, run_id: str, place: str | None, as_json: bool) -> None:
    """Move a queued run within the line of its priority.

    `penstock priority` moves it past more important ones.
    """
    if place is None:
        raise click.UsageError("say --first or --last")
    rearrange(session, [run_id], {"move": place}, as_json=as_json)
