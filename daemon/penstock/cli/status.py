"""`penstock status`: the queue, what is open, and what ended last."""

from __future__ import annotations

import click

from penstock.cli.output import emit, show_line
from penstock.cli.read_runs import read_runs
from penstock.cli.reasons import rows_explained
from penstock.cli.replies import elsewhere, say_held
from penstock.cli.run_lines import show_runs
from penstock.cli.session import Session, json_option, pass_session

#: Open runs, and ended ones, that are shown: a screen together.
OPEN_ROWS = 15
ENDED_ROWS = 5


@click.command()
@json_option
@pass_session
def status(session: Session, as_json: bool) -> None:
    """The queue, what is open, and what ended last; `penstock` alone on a terminal shows it too."""
    told = session.call(lambda client: client.get("queue"))
    rows = read_runs(session, "state:open", OPEN_ROWS)
    rows += read_runs(session, "state:ended", ENDED_ROWS)
    if as_json:
        emit({"queue": told, "runs": rows})
        return
    line = f"{told['running']}/{told['slots']} running{elsewhere(told)}, {told['queued']} queued"
    if told["parked"]:
        line += f", {told['parked']} waiting"
    show_line(line)
    say_held(told)
    if rows:
        show_runs(rows_explained(session, rows))
