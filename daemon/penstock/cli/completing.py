"""What the shell offers after TAB. It must be quick, and silent whatever goes wrong."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from penstock.cli.session import session_of
from penstock.words.errors import PenstockError
from penstock.words.text import neutralise

#: Ids offered: more than fit a screen help nobody.
MOST_OFFERED = 50


def complete_run(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Ids of the newest runs that begin like this, with their state."""
    session = session_of(ctx)
    try:
        page = session.ask(lambda client: client.runs(limit=500))
    except PenstockError:
        return []
    return [
        CompletionItem(row["run_id"], help=f"{row['kind']} {row['state']}")
        for row in page["runs"]
        # The shell shows them as they are: what could turn a line around is not offered.
        if row["run_id"].startswith(incomplete)
        and neutralise(row["run_id"]) == row["run_id"]
    ][:MOST_OFFERED]
