"""`penstock events`: the recorded facts as NDJSON, and those to come."""

from __future__ import annotations

import click

from penstock.cli.history import RunSource, ask_source
from penstock.cli.options import after_option, complete_run
from penstock.cli.relay import notice, write_recorded, write_to_end
from penstock.cli.render import PieceWriter, only_types
from penstock.cli.render import as_json as to_json
from penstock.cli.session import Session, pass_session
from penstock.client import Client, Facts
from penstock.words.exit_codes import Exit
from penstock.words.recorded import Recorded


@click.command()
@click.argument("run_id", metavar="[ID]", required=False, shell_complete=complete_run)
@after_option
@click.option(
    "--type", "types", multiple=True, metavar="TYPE", help="Only these (repeatable)."
)
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes.")
@click.option(
    "--json", is_flag=True, expose_value=False, help="They are JSON in any case."
)
@pass_session
def events(
    session: Session,
    run_id: str | None,
    after: int,
    types: tuple[str, ...],
    follow: bool,
) -> None:
    """The recorded facts as NDJSON, of one run or of all; `position` is the next --after."""
    writer = PieceWriter(only_types(frozenset(types), to_json))

    async def one(source: RunSource, run_id: str) -> None:
        await source.view(run_id)
        write = write_to_end if follow else write_recorded
        await write(source, run_id, writer, after)

    async def everything(client: Client) -> None:
        position = after
        while (page := await client.events(after=position))["events"]:
            await writer.write(Recorded.from_wire(data) for data in page["events"])
            position = page["next"]
        if follow:
            async with client.follow(after=position) as stream:
                async for news in stream:
                    await writer.write(news.facts) if isinstance(
                        news, Facts
                    ) else notice(news)

    try:
        if run_id is None:
            session.ask(everything)
        else:
            ask_source(session, run_id, lambda source: one(source, run_id))
    except KeyboardInterrupt:
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None
