"""`penstock logs`: what a run printed."""

from __future__ import annotations

import click

from penstock.cli.history import open_source
from penstock.cli.interrupts import run_detachable
from penstock.cli.options import after_option, run_argument
from penstock.cli.relay import write_recorded, write_to_end
from penstock.cli.render import PieceWriter, as_output, only_types
from penstock.cli.render import as_json as to_json
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.exits import Exit

#: What `logs` is about.
LOGS = frozenset({"log", "log.truncated"})


@click.command()
@run_argument
@click.option("--follow", "-f", is_flag=True, help="Go on until the run has ended.")
@after_option
@json_option
@pass_session
def logs(
    session: Session, run_id: str, follow: bool, after: int, as_json: bool
) -> None:
    """What a run printed: its stdout on stdout, the rest on stderr."""
    writer = PieceWriter(only_types(LOGS, to_json) if as_json else as_output)

    async def work() -> int:
        async with open_source(session, run_id) as source:
            await source.view(run_id)
            if follow:
                await write_to_end(source, run_id, writer, after)
            else:
                await write_recorded(source, run_id, writer, after)
        return Exit.OK

    raise click.exceptions.Exit(run_detachable(work, run_id))
