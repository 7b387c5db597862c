"""`penstock clients`: who reads the log now, and how far behind."""

from __future__ import annotations

import click

from penstock.cli.output import emit, local_time, table
from penstock.cli.session import Session, json_option, pass_session


@click.command()
@json_option
@pass_session
def clients(session: Session, as_json: bool) -> None:
    """Who reads the log now, and how far behind."""
    rows = session.call(lambda client: client.get("clients"))["clients"]
    if as_json:
        for row in rows:
            emit(row)
        return
    heads = ("NAME", "KIND", "RUN", "CURSOR", "LAG", "DROPPED", "SINCE")
    table(
        heads,
        (
            (
                row["name"],
                row["kind"],
                row["run_id"] or "all",
                str(row["cursor"]),
                str(row["lag"]),
                str(row["dropped"]),
                local_time(row["since"]),
            )
            for row in rows
        ),
    )
