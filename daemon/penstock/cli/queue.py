"""`penstock queue`: how full it is, what is paused, and who stands in line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from penstock.cli.output import Column, emit, fields, show_line, show_table, table
from penstock.cli.reasons import MOST_EXPLAINED, explained
from penstock.cli.replies import PAGE, say_held
from penstock.cli.run_lines import ago, command_of, folder_of, name_of
from penstock.cli.session import Session, json_option, pass_session
from penstock.client.sync import SyncClient
from penstock.words.priority import parse_priority

Told = Mapping[str, Any]


@click.command()
@json_option
@pass_session
def queue(session: Session, as_json: bool) -> None:
    """How many runs queue and execute, what is paused, and who stands first in line."""

    def ask(client: SyncClient) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        told = client.get("queue")
        return told, [] if as_json else _first_in_line(client, told)

    told, line = session.call(ask)
    if as_json:
        emit(told)
        return
    by_priority = told["queued_by_priority"].items()
    fields({
        "running": f"{told['running']} of {told['slots']} slots",
        "queued": f"{told['queued']} of {told['capacity']}",
        "by priority": ", ".join(f"{n} {name.lower()}" for name, n in by_priority if n),
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


def _first_in_line(client: SyncClient, told: Told) -> list[dict[str, Any]]:
    """Those that would start first, each with what keeps it. None where the line is longer than a page.

    Aging is left out: who has gained by it says so in `why`.
    """
    if not 0 < told["queued"] <= PAGE:
        return []
    rows = client.runs("state:queued", limit=PAGE)["runs"]
    rows.sort(key=lambda row: (parse_priority(row["priority"]), row["place"]))
    return explained(client, rows[:MOST_EXPLAINED])


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
        Column("PRIORITY", [row["priority"].lower() for row in rows]),
        Column("SUBMITTED", waited),
        Column("COMMAND", list(map(command_of, rows)), shrinks=True),
        Column("WAITS FOR", [row["reason"] for row in rows]),
        Column("WHERE", list(map(folder_of, rows))),
    ])  # fmt: skip
