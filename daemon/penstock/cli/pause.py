"""`penstock pause`: start no more runs."""

from __future__ import annotations

import click

from penstock.cli.options import group_option
from penstock.cli.replies import show_queue_change
from penstock.cli.session import Session, json_option, pass_session


@click.command()
@group_option
@click.option("--reason", default="", help="Told to everybody who asks why.")
@json_option
@pass_session
def pause(session: Session, group: str | None, reason: str, as_json: bool) -> None:
    """Start no more runs until `resume`; what executes goes on, and submits queue up.

    A pause is kept over restarts of the daemon.
    """
    told = session.call(lambda client: client.pause(group, reason))
    show_queue_change(told, as_json)
