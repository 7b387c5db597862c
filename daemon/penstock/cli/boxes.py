"""`penstock boxes`: the machines that share the log, and how each stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from penstock.cli.offers import offer_boxes
from penstock.cli.output import Column, emit, local_time, show_table
from penstock.cli.run_lines import ago
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.box_standing import standing_line

#: How a box stands -> its colour; another is the terminal's own.
COLOURS: Mapping[str, str | None] = {
    "ok": "green", "silent": "yellow", "lost": "red", "draining": "yellow", "older": "yellow",
}  # fmt: skip


@click.command()
@click.option(
    "--forget",
    "gone",
    metavar="NAME",
    shell_complete=offer_boxes,
    help="Tell of this one no more, until it comes back.",
)
@json_option
@pass_session
def boxes(session: Session, gone: str | None, as_json: bool) -> None:
    """The boxes that share the log: `ok`, `silent`, `lost`, `left`, `draining` or `older`.

    One that is `lost` kept silent for longer than its lease: what it executed is taken over by the
    others. `left` are those whose daemon ended in order. The runs of one are found by its name:
    `penstock list box:NAME`. A log in a file has one box.

    One that never comes back is told of until it is forgotten, which is refused while it has a lease,
    or open runs that nobody else could execute.

    \b
    Examples: penstock boxes
              penstock boxes --forget cellar
    """
    if gone is None:
        rows = session.call(lambda client: client.get("boxes"))["boxes"]
    else:
        rows = session.call(lambda client: client.forget_box(gone))["boxes"]
    if as_json:
        for row in rows:
            emit(row)
        return
    show_boxes(rows)


def show_boxes(rows: Sequence[Mapping[str, Any]]) -> None:
    """A line each, by name; the one that was asked is marked where there are several."""
    now, several = datetime.now(UTC), len(rows) > 1
    standings = [str(row["standing"]) for row in rows]
    accepted = [str(row.get("accept") or "") for row in rows]
    show_table([
        Column("NAME", [row["box"] for row in rows]),
        Column("", ["*" if several and row.get("own") else "" for row in rows], spare=1),
        Column("STATE", [standing_line(row["standing"], row["silent_seconds"]) for row in rows],
               states=standings, colours=COLOURS),
        Column("RUNNING", [f"{row['running']}/{row['slots']}" for row in rows]),
        Column("ACCEPTS", accepted, spare=4),
        Column("LABELS", [_labels(row) for row in rows], shrinks=True),
        Column("VERSION", [row["version"] for row in rows], spare=3),
        Column("LAST SEEN", [_seen(row, now) for row in rows], spare=2),
    ])  # fmt: skip


def _labels(row: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in row.get("labels", {}).items())


def _seen(row: Mapping[str, Any], now: datetime) -> str:
    """Since when it has said nothing; of one that is well it is no news."""
    if row["standing"] not in ("silent", "lost", "left"):
        return "now"
    past = ago(timedelta(seconds=row["silent_seconds"]))
    return past or local_time(row["seen_at"])
