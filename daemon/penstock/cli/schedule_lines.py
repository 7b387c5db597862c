"""Schedules as a table for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from penstock.cli.output import Column, show_table
from penstock.cli.run_lines import command_of, soon


def show_schedules(rows: list[dict[str, Any]]) -> None:
    """A line each, by name."""
    now = datetime.now(UTC)
    due = [datetime.fromisoformat(row["due"]) for row in rows]
    show_table([
        Column("NAME", [row["name"] for row in rows]),
        Column("EVERY", [row["timing"] for row in rows]),
        Column("ZONE", [row["zone"] if " " in row["timing"] else "" for row in rows], spare=2),
        Column("NEXT", [moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") for moment in due]),
        Column("IN", [soon(moment - now) for moment in due], spare=1),
        Column("LAST RUN", [row["last_run"] or "" for row in rows], spare=4),
        Column("SKIPPED", [str(row["skipped"] or "") for row in rows], spare=3),
        Column("COMMAND", [command_of(row) for row in rows], shrinks=True),
    ])  # fmt: skip
