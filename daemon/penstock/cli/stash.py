"""`penstock stash`: put queued runs aside."""

from __future__ import annotations

import click

from penstock.cli.options import runs_argument
from penstock.cli.rearranging import rearrange
from penstock.cli.selecting import select_named
from penstock.cli.session import Session, json_option, pass_session


@click.command()
@runs_argument
@json_option
@pass_session
def stash(session: Session, words: tuple[str, ...], as_json: bool) -> None:
    """Put queued runs aside, until `enqueue`; they keep their place, and survive a restart.

    A new run is put aside by `penstock submit --stash`.
    """
    run_ids = select_named(session, words, "stash")
    rearrange(session, run_ids, {"stashed": True}, as_json=as_json)
