"""`penstock schedules`: what is run again and again."""

from __future__ import annotations

import click

from penstock.cli.offers import offer_schedules
from penstock.cli.output import emit, say
from penstock.cli.schedule_lines import show_schedules
from penstock.cli.session import Session, json_option, pass_session


@click.command()
@click.option(
    "--remove",
    metavar="NAME",
    shell_complete=offer_schedules,
    help="Make no more runs of this one.",
)
@json_option
@pass_session
def schedules(session: Session, remove: str | None, as_json: bool) -> None:
    """What is run again and again, and when next; `penstock every` makes one.

    The runs of one are found by its label: `penstock list label:schedule=backup`.
    """
    if remove is None:
        told = session.call(lambda client: client.get("schedules"))
    else:
        told = session.call(lambda client: client.remove_schedule(remove))
        say(f"no more runs of {remove}; those there are go on")
    if as_json:
        emit(told)
    elif remove is None:
        show_schedules(told["schedules"])
