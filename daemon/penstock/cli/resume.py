"""`penstock resume`: start and take in runs again."""

from __future__ import annotations

import click

from penstock.cli.options import group_option
from penstock.cli.replies import show_queue_change
from penstock.cli.session import Session, json_option, pass_session


@click.command()
@group_option
@json_option
@pass_session
def resume(session: Session, group: str | None, as_json: bool) -> None:
    """Start runs again after `pause`, and take them in again after `drain`."""
    told = session.call(lambda client: client.resume(group))
    show_queue_change(told, as_json)
