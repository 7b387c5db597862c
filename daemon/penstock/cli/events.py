"""`penstock events`: the recorded facts as NDJSON, and those to come."""

from __future__ import annotations

import click

from penstock.cli.history import RunSource, ask_source
from penstock.cli.offers import offer_runs, offer_types
from penstock.cli.options import after_option
from penstock.cli.relay import write_live, write_recorded, write_to_end
from penstock.cli.render import LineWriter, only_types
from penstock.cli.render import as_json as to_json
from penstock.cli.selecting import select_one
from penstock.cli.session import Session, pass_session
from penstock.client.sync import SyncClient
from penstock.client.told import ToldFact
from penstock.words.exit_codes import Exit
from penstock.words.near_words import did_you_mean
from penstock.words.sentences import SENTENCES


@click.command()
@click.argument("run_id", metavar="[ID]", required=False, shell_complete=offer_runs)
@after_option
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="TYPE",
    shell_complete=offer_types,
    help="Only these (repeatable).",
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
    if run_id is not None:
        run_id = select_one(session, run_id)
    for name in types:
        if name not in SENTENCES:
            hint = did_you_mean(name, SENTENCES)
            raise click.UsageError(f"no fact has the type {name!r}{hint}")
    writer = LineWriter(only_types(frozenset(types), to_json))

    def one(source: RunSource, run_id: str) -> None:
        source.view(run_id)
        write = write_to_end if follow else write_recorded
        write(source, run_id, writer, after)

    def everything(client: SyncClient) -> None:
        position = after
        while (page := client.events(after=position))["events"]:
            writer.write(map(ToldFact, page["events"]))
            position = page["next"]
        if follow:
            write_live(client, None, writer, after=position)

    try:
        if run_id is None:
            session.call(everything)
        else:
            ask_source(session, run_id, lambda source: one(source, run_id))
    except KeyboardInterrupt:
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None
