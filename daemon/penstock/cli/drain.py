"""`penstock drain`: take no new runs in, and wait for those there are."""

from __future__ import annotations

import click

from penstock.cli.options import box_option, group_option
from penstock.cli.output import say
from penstock.cli.replies import show_queue_change
from penstock.cli.session import Session, json_option, pass_session


@click.command()
@group_option
@box_option
@click.option("--no-wait", is_flag=True, help="Do not wait for the runs that are left.")
@json_option
@pass_session
def drain(
    session: Session, group: str | None, box: str | None, no_wait: bool, as_json: bool
) -> None:
    """Take no new runs in, and wait until none runs or is queued.

    New ones are refused until `resume`, or until the daemon starts again; where several boxes share the
    log no box takes one, until `resume` alone. Ctrl-C ends the waiting and not the drain.

    A box that is drained starts nothing more, also once its daemon has started again; what executes
    there goes on, and what is queued for it waits.
    """
    if box is not None and group is not None:
        raise click.UsageError("name a group or a box")
    try:
        told = session.call(
            lambda client: client.drain(group, wait=not no_wait, box=box)
        )
    except KeyboardInterrupt:
        ends = "resume" if box is None else f"resume --box {box}"
        say(f"the drain goes on; `penstock {ends}` ends it")
        raise
    show_queue_change(told, as_json)
