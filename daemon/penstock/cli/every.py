"""`penstock every`: run something again and again."""

from __future__ import annotations

from functools import partial
from typing import Any, NoReturn

import click

from penstock.cli.agent_command import Requests
from penstock.cli.kind_commands import Kinds
from penstock.cli.output import emit, say
from penstock.cli.run_options import RunOptions
from penstock.cli.schedule_lines import show_schedules
from penstock.cli.session import Session, pass_session
from penstock.client.surroundings import with_caller
from penstock.client.sync import SyncClient
from penstock.words.durations import local_zone_name
from penstock.words.errors import Refused
from penstock.words.exit_codes import Exit
from penstock.words.run_id import NAME_LABEL
from penstock.words.sentences import clause, made_name


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.option(
    "--zone", metavar="ZONE", help="Whose clock a line of cron is of.  [default: yours]"
)
@click.option("--replace", is_flag=True, help="Change the schedule of this name.")
@click.argument("timing")
@click.argument(
    "rest", metavar="[KIND] [OPTIONS] [--] PROGRAM...", nargs=-1, required=True,
    type=click.UNPROCESSED,
)  # fmt: skip
@pass_session
@click.pass_context
def every(
    ctx: click.Context,
    session: Session,
    zone: str | None,
    replace: bool,
    timing: str,
    rest: tuple[str, ...],
) -> None:
    """Run something every so often (`90m`, `1d`), or as a line of cron says ('30 2 * * *').

    What follows is as for `penstock submit`; its `--name` is the name of the schedule, else it is made of
    the command. Due times that nobody was there for are made up for by one run; one at which the last
    run is still open is passed over.

    \b
    Examples: penstock every 1d -- make backup
              penstock every --zone Europe/Vienna '30 2 * * mon-fri' --name nightly make test
              penstock schedules --remove nightly
    """
    said = {"timing": timing, "zone": zone or local_zone_name(), "replace": replace}
    kinds = Kinds(partial(_set, said), _refuse_several, name="every")
    with kinds.make_context(str(ctx.info_name), list(rest), parent=ctx) as inner:
        kinds.invoke(inner)


def _refuse_several(_session: Session, _requests: Requests) -> NoReturn:
    """One task has one name, so that each would take the place of the one before it."""
    raise click.UsageError("several agents cannot share one: set a schedule for each")


def _set(
    said: dict[str, Any], session: Session, request: dict[str, Any], options: RunOptions
) -> int:
    """Make the schedule of runs that are asked for so."""
    if options.notify:
        why = "is for one run; a hook tells you of each that comes"
        raise Refused("--notify", why)
    # As the label it is too, since a kind may have a `--name` of its own.
    given = request.get("labels", {}).pop(NAME_LABEL, None)
    name = given or made_name(request["kind"], request["inputs"])

    def work(client: SyncClient) -> dict[str, Any]:
        run = with_caller(request, session.environ, client.address)
        return client.set_schedule({**said, "name": name, "run": run})

    told = session.call(work)
    if options.as_json:
        emit(told)
    else:
        show_schedules([told])
    if (nowhere := told.get("nowhere")) is not None:
        say(f"{name}: {clause(nowhere)}")
    return int(Exit.OK)
