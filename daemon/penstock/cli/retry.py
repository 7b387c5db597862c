"""`penstock retry`: the same inputs again, as a new run."""

from __future__ import annotations

import click

from penstock.cli.options import runs_argument
from penstock.cli.output import emit, say, show_line
from penstock.cli.session import Session, json_option, pass_session
from penstock.client.sync import SyncClient
from penstock.words.errors import PenstockError
from penstock.words.exits import Exit
from penstock.words.problems import exit_code_of


@click.command()
@runs_argument
@json_option
@pass_session
def retry(session: Session, run_ids: tuple[str, ...], as_json: bool) -> None:
    """The same inputs again, as new runs; prints their ids."""
    codes: list[int] = []

    def work(client: SyncClient) -> None:
        for run_id in run_ids:
            try:
                reply = client.retry(run_id)
            except PenstockError as error:
                say(f"{run_id}: {error}")
                codes.append(exit_code_of(error))
                continue
            if as_json:
                emit(reply)
            else:
                show_line(reply["run_id"])

    session.call(work)
    raise click.exceptions.Exit(codes[0] if codes else Exit.OK)
