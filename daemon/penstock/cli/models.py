"""`penstock models`: the models there are, and how fast they answer."""

from __future__ import annotations

from typing import Any

import click

from penstock.cli.output import emit, say, table
from penstock.cli.session import Session, json_option, pass_session, run_async
from penstock.words.errors import DaemonUnreachable


@click.command()
@json_option
@pass_session
def models(session: Session, as_json: bool) -> None:
    """The configured models, small to large: window, server, measured speed.

    Without a running daemon they are read from the configuration, and nothing is measured.
    """
    try:
        rows = session.call(lambda client: client.get("models"))["models"]
    except DaemonUnreachable:
        if session.named:
            raise
        say("no daemon is running; this is what the configuration says")
        rows = run_async(lambda: _configured(session))
    if as_json:
        for row in rows:
            emit(row)
        return
    if not rows:
        say("no model is configured; set provider, url and chain under [models]")
    table(("MODEL", "WINDOW", "TOKENS/S", "REQUESTS", "SERVER", "ANSWERS"), map(_cells, rows))  # fmt: skip


async def _configured(session: Session) -> list[dict[str, Any]]:
    from penstock.llm.models import list_models, open_models, probe

    async with open_models(session.config()[0].models, session.environ) as chain:
        return [] if chain is None else list_models(chain, await probe(chain))


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    speed = row["tokens_per_second"]
    return (
        row["model"],
        f"{row['window']}{'?' if row['window_assumed'] else ''}",
        "" if speed is None else f"{speed:.1f}",
        str(row["requests"]),
        row["url"],
        row["problem"] or "yes",
    )
