"""`penstock follow`: a run from its beginning to its end, live."""

from __future__ import annotations

import click

from penstock.cli.history import open_source
from penstock.cli.interrupts import run_detachable
from penstock.cli.options import after_option, run_argument
from penstock.cli.relay import exit_of, write_to_end
from penstock.cli.render import open_writer
from penstock.cli.session import Session, json_option, pass_session


@click.command()
@run_argument
@after_option
@json_option
@pass_session
def follow(session: Session, run_id: str, after: int, as_json: bool) -> None:
    """A run from its beginning to its end, live; exits as the run ended.

    Ctrl-C leaves; the run goes on.
    """

    async def work() -> int:
        async with open_source(session, run_id) as source:
            kind = (await source.view(run_id))["kind"]
            async with open_writer(kind, json_wanted=as_json, quiet=False) as writer:
                end = await write_to_end(source, run_id, writer, after)
        return exit_of(end)

    raise click.exceptions.Exit(run_detachable(work, run_id))
