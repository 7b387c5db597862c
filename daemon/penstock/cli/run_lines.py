"""Runs as a table for people: what one looks for, and only the columns that some run has something for."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from penstock.cli.output import Column, show_table
from penstock.cli.run_end import duration
from penstock.words.lifecycle import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PAUSED,
    QUEUED_STATES,
    SLOT_STATES,
)
from penstock.words.run_id import NAME_LABEL
from penstock.words.sentences import about

#: state -> what it looks like at a glance, and where the terminal has no such character.
MARKS: Mapping[str, tuple[str, str]] = {
    "queued": ("…", "."),
    "running": ("▶", ">"),
    "paused": ("□", "|"),
    "waiting": ("?", "?"),
    "preempted": ("‖", "="),
    COMPLETED: ("✓", "+"),
    FAILED: ("✗", "x"),
    CANCELLED: ("■", "-"),
}
_GENERATED = re.compile(r"r-[0-9a-f]{12}")
#: Seconds, and the unit that is told below so many.
_UNITS = ((60, 1, "s"), (3600, 60, "m"), (86_400, 3600, "h"), (7 * 86_400, 86_400, "d"))
#: Where nothing is to be said.
NOTHING = "-"


def show_runs(rows: Sequence[Mapping[str, Any]], now: datetime | None = None) -> None:
    """The runs on stdout, a line each."""
    moment = now or datetime.now(UTC)
    home = os.path.expanduser("~")
    show_table([
        Column("#", [str(row.get("number") or "") for row in rows]),
        Column("NAME", [_name(row) for row in rows]),
        Column("STATE", [_state(row) for row in rows], states=[row["state"] for row in rows]),
        Column("WHEN", [_when(row, moment) for row in rows]),
        Column("TOOK", [_took(row, moment) for row in rows]),
        Column("COMMAND", [_command(row) for row in rows], shrinks=True),
        Column("GROUP", [row.get("group") or "" for row in rows]),
        Column("WHERE", [_where(row, home) for row in rows]),
    ])  # fmt: skip


def soon(span: timedelta) -> str:
    """How long it still is, in one unit."""
    seconds = max(1, round(span.total_seconds()))
    for below, unit, letter in _UNITS:
        if seconds < below:
            return f"{round(seconds / unit)} {letter}"
    return f"{round(seconds / 86_400)} d"


def ago(span: timedelta) -> str:
    """How long ago, in one unit; "" for a week and more, which a date tells better."""
    seconds = max(0, int(span.total_seconds()))
    for below, unit, letter in _UNITS:
        if seconds < below:
            return f"{seconds // unit} {letter} ago"
    return ""


def _name(row: Mapping[str, Any]) -> str:
    """What people call it: its name, else the id that somebody chose."""
    if name := row.get("labels", {}).get(NAME_LABEL):
        return str(name)
    run_id: str = row["run_id"]
    # Without a number, as a run that was made without the daemon, it is found by its id alone.
    if _GENERATED.fullmatch(run_id) and row.get("number"):
        return ""
    return run_id


def _state(row: Mapping[str, Any]) -> str:
    state, code = row["state"], row.get("exit_code")
    mark = MARKS.get(state, ("", ""))[0 if _can_say("▶✗‖") else 1]
    word = state
    if state == FAILED and code and row.get("exit_from") == "program":
        word = f"exit {code}"
    elif state in QUEUED_STATES and row.get("stashed"):
        word = "stashed"
    elif state in QUEUED_STATES and row.get("retried"):
        word = f"retry {row['retried']}/{row['retries']}"
    elif state in SLOT_STATES and state != PAUSED and row.get("progress") is not None:
        word = f"{row['progress']:.0%}"
    return f"{mark} {word}"


def _when(row: Mapping[str, Any], now: datetime) -> str:
    if row.get("not_before") and row["state"] in QUEUED_STATES:
        moment = datetime.fromisoformat(row["not_before"])
        if moment > now:
            return f"in {soon(moment - now)}"
    if row.get("ended_at") is None and row.get("started_at") is not None:
        return "now"
    moment = datetime.fromisoformat(row.get("ended_at") or row["created_at"])
    return ago(now - moment) or moment.astimezone().strftime("%Y-%m-%d")


def _took(row: Mapping[str, Any], now: datetime) -> str:
    if (began := row.get("started_at")) is None:
        return NOTHING
    end = datetime.fromisoformat(ended) if (ended := row.get("ended_at")) else now
    return duration(end - datetime.fromisoformat(began))


def _command(row: Mapping[str, Any]) -> str:
    """What it was asked for, and what it does now or why it is where it is."""
    command = about(row.get("inputs", {}))
    if row["kind"] != "command":
        command = f"{row['kind']} {command}".rstrip()
    if row["state"] == COMPLETED:
        return command
    if said := row.get("step"):
        return f"{command}  «{said}»"
    why = row.get("error") or row.get("reason")
    if row["state"] == FAILED and row.get("exit_from") == "program":
        # Its code is told already.
        why = ""
    return f"{command}  ({why})" if why else command


def _where(row: Mapping[str, Any], home: str) -> str:
    folder = row.get("inputs", {}).get("cwd")
    if not isinstance(folder, str):
        return ""
    if folder == home or folder.startswith(home.rstrip("/") + "/"):
        return "~" + folder[len(home) :]
    return folder


def _can_say(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
