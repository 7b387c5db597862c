"""`penstock queue`: how full it is, what is paused, and who stands in line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from penstock.cli.output import Column, emit, fields, show_line, show_table, table
from penstock.cli.reasons import MOST_EXPLAINED, explained
from penstock.cli.replies import PAGE, elsewhere, say_held
from penstock.cli.run_lines import ago, command_of, folder_of, name_of, time_left
from penstock.cli.session import Session, json_option, pass_session
from penstock.client.sync import SyncClient
from penstock.words.priority import parse_priority

Told = Mapping[str, Any]


@click.command()
@json_option
@pass_session
def queue(session: Session, as_json: bool) -> None:
    """How many runs queue and execute, what is paused, and who stands first in line."""

    def ask(client: SyncClient) -> tuple[dict[str, Any], list[dict[str, Any]], int]:
        told = client.get("queue")
        return (told, [], 0) if as_json else (told, *_first_in_line(client, told))

    told, line, aside = session.call(ask)
    if as_json:
        emit(told)
        return
    by_priority = told["queued_by_priority"].items()
    fields({
        "running": f"{told['running']} of {told['slots']} slots{elsewhere(told)}",
        "queued": f"{told['queued']} of {told['capacity']}",
        "by priority": ", ".join(f"{n} {name.lower()}" for name, n in by_priority if n),
        "aside": f"{aside} stashed or for later" if aside else "",
        "waiting": f"{told['parked']} without a slot" if told["parked"] else "",
        "submits": f"{told['waiting_submits']} in line" if told["waiting_submits"] else "",
    })  # fmt: skip
    if told["groups"]:
        show_line("")
        _show_groups(told)
    if line:
        show_line("")
        _show_line_of(line)
    say_held(told)


def _first_in_line(client: SyncClient, told: Told) -> tuple[list[dict[str, Any]], int]:
    """Those that would start first, each with what keeps it, and how many stand aside.

    None where the line is longer than a page. Aging is left out: who has gained by it says so in `why`.
    """
    if not 0 < told["queued"] <= PAGE:
        return [], 0
    rows, now = client.runs("state:queued", limit=PAGE)["runs"], datetime.now(UTC)
    line = [row for row in rows if not (row.get("stashed") or time_left(row, now))]
    line.sort(key=_rank)
    return explained(client, line[:MOST_EXPLAINED]), len(rows) - len(line)


def _rank(row: Told) -> tuple[int, int]:
    """Lower goes first: importance, then the place that somebody gave it, or its own."""
    turn = row.get("turn")
    return parse_priority(row["priority"]), row["place"] if turn is None else turn


def _show_groups(told: Told) -> None:
    paused = {row["group"] for row in told["paused"]}
    rows = [
        (
            name,
            f"{row['running']}/{row['slots']}",
            str(row["queued"]),
            "paused" if name in paused
            else "takes no more" if name in told["draining"]
            else "full" if row["running"] >= row["slots"]
            else "",
        )
        for name, row in told["groups"].items()
    ]  # fmt: skip
    table(("GROUP", "RUNNING", "QUEUED", ""), rows)


def _show_line_of(rows: list[dict[str, Any]]) -> None:
    now = datetime.now(UTC)
    waited = [ago(now - datetime.fromisoformat(row["created_at"])) for row in rows]
    show_table([
        Column("#", [str(row.get("number") or "") for row in rows]),
        Column("NAME", list(map(name_of, rows))),
        Column("PRIORITY", [row["priority"].lower() for row in rows], spare=1),
        Column("SUBMITTED", waited, spare=2),
        Column("COMMAND", list(map(command_of, rows)), shrinks=True),
        Column("WAITS FOR", [row["reason"] for row in rows]),
        Column("WHERE", list(map(folder_of, rows)), spare=3),
    ])  # fmt: skip
