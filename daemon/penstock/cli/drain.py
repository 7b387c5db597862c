"""`penstock drain`: take no new runs in, and wait for those there are."""

from __future__ import annotations

import click

from penstock.cli.options import group_option
from penstock.cli.output import say
from penstock.cli.replies import show_queue_change
from penstock.cli.session import Session, json_option, pass_session


@click.command()
@group_option
@click.option("--no-wait", is_flag=True, help="Do not wait for the runs that are left.")
@json_option
@pass_session
def drain(session: Session, group: str | None, no_wait: bool, as_json: bool) -> None:
    """Take no new runs in, and wait until none runs or is queued.

    New ones are refused until `resume`, or until the daemon starts again. Ctrl-C ends the waiting
    and not the drain.
    """
    try:
        told = session.call(lambda client: client.drain(group, wait=not no_wait))
    except KeyboardInterrupt:
        say("the drain goes on; `penstock resume` ends it")
        raise
    show_queue_change(told, as_json)
