"""`penstock slots`: how many runs may execute at once, from now on."""

from __future__ import annotations

import click

from penstock.cli.offers import offer_boxes, offer_groups
from penstock.cli.output import emit, say
from penstock.cli.session import Session, json_option, pass_session


@click.command()
@click.argument("count", metavar="[N]", required=False, type=click.IntRange(1))
@click.option(
    "--group",
    "-g",
    shell_complete=offer_groups,
    help="Of this group; one that is not there is made.",
)
@click.option(
    "--box",
    metavar="NAME",
    shell_complete=offer_boxes,
    help="Of this box; else of the one that is asked.",
)
@click.option("--reset", is_flag=True, help="As the configuration has it.")
@json_option
@pass_session
def slots(
    session: Session,
    count: int | None,
    group: str | None,
    box: str | None,
    reset: bool,
    as_json: bool,
) -> None:
    """Let N runs execute at once; what executes goes on. Without N: how many there are.

    Of boxes that share a log each has its own, and a group has its slots for all of them together.

    It is kept over restarts of the daemon, until `--reset`.
    """
    if reset and count is not None:
        raise click.UsageError("give N or --reset")
    if box is not None and group is not None:
        raise click.UsageError("name a group or a box")
    if count is None and not reset:
        told = session.call(lambda client: client.get("queue"))
    else:
        told = session.call(lambda client: client.slots(group, count, box=box))
    if as_json:
        emit(told)
        return
    if box is not None:
        _say_of_box(session, box)
        return
    say(f"{told['running']} of {told['slots']} slots are taken")
    for name, row in told["groups"].items():
        say(f"group {name}: {row['running']} of {row['slots']}")


def _say_of_box(session: Session, name: str) -> None:
    """Those of a box that may be another than the one that was asked, whose own are no answer."""
    for row in session.call(lambda client: client.get("boxes"))["boxes"]:
        if row["box"] == name:
            say(f"{row['running']} of {row['slots']} slots of the box {name} are taken")
