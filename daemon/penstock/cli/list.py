"""`penstock list`: the runs, newest first."""

from __future__ import annotations

import click

from penstock.cli.offers import offer_filters
from penstock.cli.output import emit
from penstock.cli.read_runs import read_runs
from penstock.cli.reasons import rows_explained
from penstock.cli.run_lines import show_runs
from penstock.cli.session import Session, json_option, pass_session

#: Rows of a list when nothing is said: what fits a screen or two.
LIST_ROWS = 50


@click.command("list")
@click.argument("words", nargs=-1, shell_complete=offer_filters)
@click.option(
    "--limit", "-n", default=LIST_ROWS, show_default=True, type=click.IntRange(1)
)
@click.option(
    "--all", "everywhere", is_flag=True, help="Those made without the daemon too."
)
@json_option
@pass_session
def list_(
    session: Session,
    words: tuple[str, ...],
    limit: int,
    everywhere: bool,
    as_json: bool,
) -> None:
    """The runs, newest first.

    Filter by words: `state:failed prio:high kind:command label:k=v group:g box:NAME parent:ID text !text`; text is
    looked for in ids, labels and command lines.
    `state:open` and `state:ended` stand for several states. Without a daemon, the runs that were
    made without one are listed; with --all these too: of `penstock run` and `penstock mcp`.
    """
    q = " ".join(_quoted(word) for word in words)
    rows = read_runs(session, q, limit, everywhere=everywhere)
    if as_json:
        for row in rows:
            emit(row)
        return
    show_runs(rows_explained(session, rows))


def _quoted(word: str) -> str:
    """A word with spaces stays one term of the filter; after a key it is its value."""
    if " " not in word or '"' in word:
        return word
    key, colon, value = word.partition(":")
    if colon and key.isalpha() and " " not in key:
        return f'{key}:"{value}"'
    return f'"{word}"'
