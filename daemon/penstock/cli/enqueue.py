"""`penstock enqueue`: put runs in line."""

from __future__ import annotations

from datetime import datetime

import click

from penstock.cli.options import at_option, in_option, moment_said, runs_argument
from penstock.cli.rearranging import rearrange
from penstock.cli.selecting import select_named
from penstock.cli.session import Session, json_option, pass_session


@click.command()
@runs_argument
@in_option
@at_option
@json_option
@pass_session
def enqueue(
    session: Session,
    words: tuple[str, ...],
    delay: float | None,
    not_before: datetime | None,
    as_json: bool,
) -> None:
    """Put runs in line that are stashed or wait for a moment: now, or with another moment."""
    run_ids = select_named(session, words, "enqueue")
    wanted = {"stashed": False, **moment_said(delay, not_before)}
    rearrange(session, run_ids, wanted, as_json=as_json)
