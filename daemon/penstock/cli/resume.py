"""`penstock resume`: start and take in runs again."""

from __future__ import annotations

import click

from penstock.cli.options import box_option, group_option, runs_argument
from penstock.cli.rearranging import ask_each
from penstock.cli.replies import show_queue_change
from penstock.cli.selecting import select_named
from penstock.cli.session import Session, json_option, pass_session
from penstock.client.sync import SyncClient


@click.command()
@runs_argument
@group_option
@box_option
@json_option
@pass_session
def resume(
    session: Session,
    words: tuple[str, ...],
    group: str | None,
    box: str | None,
    as_json: bool,
) -> None:
    """Let the programs of these runs go on; without ID, start runs again after `pause`, and take them in
    again after `drain`.
    """
    if [bool(words), group is not None, box is not None].count(True) > 1:
        raise click.UsageError("name runs, a group or a box")
    if words:
        run_ids = select_named(session, words, "resume")
        ask_each(session, run_ids, SyncClient.resume_run, as_json=as_json)
        return
    told = session.call(lambda client: client.resume(group, box=box))
    show_queue_change(told, as_json)
