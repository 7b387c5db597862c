"""`penstock asks`: the questions that wait for an answer."""

from __future__ import annotations

import click

from penstock.cli.ask_lines import show_question
from penstock.cli.options import runs_argument
from penstock.cli.output import emit, local_time, say, show_line, table
from penstock.cli.replies import open_asks
from penstock.cli.selecting import select
from penstock.cli.session import Session, json_option, pass_session
from penstock.client.told import ToldEvent


@click.command()
@runs_argument
@json_option
@pass_session
def asks(session: Session, words: tuple[str, ...], as_json: bool) -> None:
    """The questions that wait for an answer, of all runs or of these; below, what each is about."""
    rows = session.call(open_asks)
    if words:
        wanted = select(session, words)
        rows = [row for row in rows if row["run_id"] in wanted]
        if not rows:
            say(f"{', '.join(wanted)}: nothing is asked")
    if as_json:
        for row in rows:
            emit(row)
        return
    table(
        ("RUN", "NAME", "QUESTION", "CHOICES", "DEFAULT", "EXPIRES"),
        (
            (
                row["run_id"],
                row["name"],
                row["question"],
                " ".join(row["choices"]),
                row["default"] or "",
                local_time(row["expires_at"]),
            )
            for row in rows
        ),
    )
    for row in rows:
        if row.get("details"):
            show_line("")
            show_question(ToldEvent(row), row["run_id"], whole=True, err=False)
            show_line(
                f"  penstock answer {row['run_id']} {row['name']} ",
                " | ".join(row["choices"]),
            )
