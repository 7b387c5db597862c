"""`penstock queue`: how full it is, and what is paused."""

from __future__ import annotations

import click

from penstock.cli.output import emit, fields, table
from penstock.cli.replies import say_held
from penstock.cli.session import Session, json_option, pass_session


@click.command()
@json_option
@pass_session
def queue(session: Session, as_json: bool) -> None:
    """How many runs queue and execute, and what is paused."""
    told = session.call(lambda client: client.get("queue"))
    if as_json:
        emit(told)
        return
    by_priority = told["queued_by_priority"].items()
    fields({
        "running": f"{told['running']} of {told['slots']} slots",
        "queued": f"{told['queued']} of {told['capacity']}",
        "by priority": ", ".join(f"{n} {name}" for name, n in by_priority if n),
        "waiting": f"{told['parked']} without a slot" if told["parked"] else "",
        "submits": f"{told['waiting_submits']} in line" if told["waiting_submits"] else "",
    })  # fmt: skip
    if told["groups"]:
        rows = [
            (name, str(row["running"]), str(row["slots"]), str(row["queued"]))
            for name, row in told["groups"].items()
        ]
        table(("GROUP", "RUNNING", "SLOTS", "QUEUED"), rows)
    say_held(told)
