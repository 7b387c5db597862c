"""Look at runs, cancel them, try them again."""

from __future__ import annotations

from typing import Any

import click

from penstock.cli.completing import complete_run
from penstock.cli.history import ask_source, list_source
from penstock.cli.output import emit, fields, local_time, say, show_line, table
from penstock.cli.run import receipt_line
from penstock.cli.session import Session, json_option, pass_session
from penstock.client import Client
from penstock.words.errors import PenstockError
from penstock.words.problems import Exit, exit_code_of

#: Rows of a list when nothing is said: what fits a screen or two.
LIST_ROWS = 50


@click.command("list")
@click.argument("words", nargs=-1)
@click.option(
    "--limit", "-n", default=LIST_ROWS, show_default=True, type=click.IntRange(1)
)
@click.option(
    "--all", "everywhere", is_flag=True, help="Those made without the daemon too."
)
@json_option
@pass_session
def list_runs(
    session: Session,
    words: tuple[str, ...],
    limit: int,
    everywhere: bool,
    as_json: bool,
) -> None:
    """The runs, newest first.

    Filter by words: `state:failed prio:high kind:command label:k=v group:g parent:ID text !text`.
    `state:open` and `state:ended` stand for several states. Without a daemon, the runs that were
    made without one are listed; with --all these too: of `penstock run` and `penstock mcp`.
    """
    q = " ".join(_quoted(word) for word in words)
    rows = list_source(session, q, limit, everywhere=everywhere)
    if as_json:
        for row in rows:
            emit(row)
        return
    table(("ID", "KIND", "STATE", "PRIORITY", "CREATED", "STEP"), map(_cells, rows))


@click.command()
@click.argument("run_id", metavar="ID", shell_complete=complete_run)
@json_option
@pass_session
def show(session: Session, run_id: str, as_json: bool) -> None:
    """One run as it stands; runs of embedded daemons are found too."""
    view = ask_source(session, run_id, lambda source: source.view(run_id))
    if as_json:
        emit(view)
        return
    times = {
        name: local_time(view.get(name))
        for name in ("created_at", "started_at", "ended_at")
    }
    first = {
        name: view.get(name) for name in ("run_id", "kind", "state", "reason", "error")
    }
    rest = {
        name: value for name, value in view.items() if name not in {**first, **times}
    }
    for name in ("tokens_in", "tokens_out", "cost", "model_seconds"):
        # Most runs ask no model.
        rest[name] = rest.get(name) or None
    if view.get("progress") is not None:
        rest["progress"] = f"{view['progress']:.0%}"
    hidden = (
        "sequence",
        "position",
        "last_at",
        "stale",
        "anomalies",
        "details",
        "code_version",
    )
    fields({**first, **times, **{k: v for k, v in rest.items() if k not in hidden}})


@click.command()
@click.argument(
    "run_ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_run
)
@click.option("--reason", default="requested", show_default=True)
@click.option("--wait", is_flag=True, help="Until nothing of the run is left.")
@json_option
@pass_session
def cancel(
    session: Session, run_ids: tuple[str, ...], reason: str, wait: bool, as_json: bool
) -> None:
    """Cancel runs; the receipt says what became of each.

    An id that is not known is remembered for a day: such a run will not start.
    """

    def work(run_id: str) -> dict[str, Any]:
        return ask_source(
            session, run_id, lambda s: s.cancel(run_id, reason, wait=wait)
        )

    receipts = list(map(work, run_ids))
    for receipt in receipts:
        if as_json:
            emit(receipt)
        else:
            show_line(receipt_line(receipt))
    if any(receipt["survivors"] for receipt in receipts):
        raise click.exceptions.Exit(Exit.RUN_FAILED)


@click.command()
@click.argument(
    "run_ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_run
)
@json_option
@pass_session
def retry(session: Session, run_ids: tuple[str, ...], as_json: bool) -> None:
    """The same inputs again, as new runs; prints their ids."""
    codes: list[int] = []

    async def work(client: Client) -> None:
        for run_id in run_ids:
            try:
                reply = await client.retry(run_id)
            except PenstockError as error:
                say(f"{run_id}: {error}")
                codes.append(exit_code_of(error))
                continue
            if as_json:
                emit(reply)
            else:
                show_line(reply["run_id"])

    session.ask(work)
    raise click.exceptions.Exit(codes[0] if codes else Exit.OK)


def _quoted(word: str) -> str:
    """A word with spaces stays one term of the filter."""
    return f'"{word}"' if " " in word and '"' not in word else word


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    step = row.get("step") or row.get("error") or row.get("reason") or ""
    return (
        row["run_id"],
        row["kind"],
        row["state"],
        row["priority"],
        local_time(row["created_at"]),
        str(step)[:60],
    )
