"""`penstock pause`: start no more runs."""

from __future__ import annotations

import click

from penstock.cli.options import group_option, runs_argument
from penstock.cli.rearranging import ask_each
from penstock.cli.replies import show_queue_change
from penstock.cli.selecting import select_named
from penstock.cli.session import Session, json_option, pass_session
from penstock.client.sync import SyncClient


@click.command()
@runs_argument
@group_option
@click.option("--reason", default="", help="Told to everybody who asks why.")
@json_option
@pass_session
def pause(
    session: Session,
    words: tuple[str, ...],
    group: str | None,
    reason: str,
    as_json: bool,
) -> None:
    """Stop the processes of these runs' programs, which keep their slots, their time standing still; without ID,
    start no more runs until `resume`: what executes goes on, and submits queue up.

    A pause is kept over restarts of the daemon.
    """
    if words:
        if group is not None:
            raise click.UsageError("name runs or a group")
        run_ids = select_named(session, words, "pause")
        ask_each(session, run_ids, SyncClient.pause_run, as_json=as_json)
        return
    told = session.call(lambda client: client.pause(group, reason))
    show_queue_change(told, as_json)
