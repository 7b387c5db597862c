"""`penstock priority`: more or less important than before."""

from __future__ import annotations

import click

from penstock.cli.offers import offer_runs_or_priorities
from penstock.cli.rearranging import rearrange
from penstock.cli.run_options import PRIORITIES
from penstock.cli.selecting import select_named
from penstock.cli.session import Session, json_option, pass_session


@click.command()
@click.argument(
    "words",
    metavar="ID...",
    nargs=-1,
    required=True,
    shell_complete=offer_runs_or_priorities,
)
@click.argument("level", type=click.Choice(PRIORITIES, case_sensitive=False))
@json_option
@pass_session
def priority(
    session: Session, words: tuple[str, ...], level: str, as_json: bool
) -> None:
    """Give queued runs another priority; among runs of it they keep their places."""
    run_ids = select_named(session, words, "priority")
    rearrange(session, run_ids, {"priority": level}, as_json=as_json)
