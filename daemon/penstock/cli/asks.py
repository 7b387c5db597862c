"""`penstock asks`: the questions that wait for an answer."""

from __future__ import annotations

import click

from penstock.cli.output import emit, local_time, table
from penstock.cli.replies import open_asks
from penstock.cli.session import Session, json_option, pass_session


@click.command()
@json_option
@pass_session
def asks(session: Session, as_json: bool) -> None:
    """The questions that wait for an answer."""
    rows = session.call(open_asks)
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
