"""Runs as a table for people: what one looks for, and only the columns that some run has something for."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from penstock.cli.output import Column, show_table
from penstock.cli.run_end import duration
from penstock.words.exit_codes import AGENT_KIND, PROGRAM_KIND
from penstock.words.lifecycle import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PAUSED,
    QUEUED_STATES,
    SLOT_STATES,
)
from penstock.words.run_id import GENERATED, NAME_LABEL
from penstock.words.sentences import about
from penstock.words.wait_reason import read_reason

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
#: Seconds, and the unit that is told below so many.
_UNITS = ((60, 1, "s"), (3600, 60, "m"), (86_400, 3600, "h"), (7 * 86_400, 86_400, "d"))
#: Where nothing is to be said.
NOTHING = "-"


def show_runs(rows: Sequence[Mapping[str, Any]], now: datetime | None = None) -> None:
    """The runs on stdout, a line each."""
    moment = now or datetime.now(UTC)
    show_table([
        Column("#", [str(row.get("number") or "") for row in rows]),
        Column("NAME", [name_of(row) for row in rows]),
        Column("STATE", [state_of(row) for row in rows], states=[row["state"] for row in rows]),
        Column("WHEN", [_when(row, moment) for row in rows], spare=1),
        Column("TOOK", [took(row, moment) for row in rows], spare=2),
        Column("COMMAND", [_told_command(row) for row in rows], shrinks=True),
        Column("BOX", boxes_of(rows), spare=2),
        Column("GROUP", [row.get("group") or "" for row in rows], spare=3),
        Column("WHERE", [folder_of(row) for row in rows], spare=4),
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


def long_span(span: timedelta) -> str:
    """A time that may be long, in its two largest units: 3 d 4 h, 4 h 12 m, 12 m, 8 s."""
    seconds = max(0, int(span.total_seconds()))
    days, seconds = divmod(seconds, 86_400)
    hours, seconds = divmod(seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} m"
    return f"{minutes} m" if minutes else f"{seconds} s"


def name_of(row: Mapping[str, Any]) -> str:
    """What people call it: its name, else the id that somebody chose."""
    if name := row.get("labels", {}).get(NAME_LABEL):
        return str(name)
    run_id: str = row["run_id"]
    parent: str = row.get("parent_id") or ""
    if GENERATED.fullmatch(parent):
        # Nobody has chosen that either.
        return run_id.removeprefix(f"{parent}.")
    # Without a number, as a run that was made without the daemon, it is found by its id alone.
    if GENERATED.fullmatch(run_id) and row.get("number"):
        return ""
    return run_id


def state_of(row: Mapping[str, Any]) -> str:
    """Its state with its mark; how a program failed, or how far it is, instead of the word."""
    state, code = row["state"], row.get("exit_code")
    mark = MARKS.get(state, ("", ""))[0 if _can_say("▶✗‖") else 1]
    word = state
    if state == FAILED and code and row.get("exit_from") == "program":
        word = f"exit {code}"
    elif row.get("cancel_requested") and not row.get("ended_at"):
        word = "cancelling"
    elif state in QUEUED_STATES and row.get("stashed"):
        word = "stashed"
    elif state in QUEUED_STATES and row.get("retried"):
        word = f"retry {row['retried']}/{row['retries']}"
    elif state == "waiting" and not row.get("ended_at"):
        word = _waits_for(row)
    elif state in SLOT_STATES and state != PAUSED and row.get("progress") is not None:
        word = f"{row['progress']:.0%}"
    return f"{mark} {word}"


def _waits_for(row: Mapping[str, Any]) -> str:
    """What a run that has no slot is without: an answer, a quota and until when, by the clock here."""
    waiting = read_reason(str(row.get("reason") or ""))
    if waiting.kind == "quota":
        until = waiting.until
        return "quota" if until is None else f"quota {until.astimezone():%H:%M}"
    return "asks" if waiting.kind in ("ask", "restart") else "waiting"


def time_left(row: Mapping[str, Any], now: datetime) -> timedelta:
    """How long it is to the moment before which the run may not start; nothing if there is none."""
    if not (moment := row.get("not_before")):
        return timedelta()
    return max(timedelta(), datetime.fromisoformat(moment) - now)


def _when(row: Mapping[str, Any], now: datetime) -> str:
    if row["state"] in QUEUED_STATES and (left := time_left(row, now)):
        return f"in {soon(left)}"
    if row.get("ended_at") is None and row.get("started_at") is not None:
        return "now"
    moment = datetime.fromisoformat(row.get("ended_at") or row["created_at"])
    return ago(now - moment) or moment.astimezone().strftime("%Y-%m-%d")


def took(row: Mapping[str, Any], now: datetime) -> str:
    """How long it ran, or has run by now."""
    if (began := row.get("started_at")) is None:
        return NOTHING
    end = datetime.fromisoformat(ended) if (ended := row.get("ended_at")) else now
    return duration(end - datetime.fromisoformat(began))


def command_of(row: Mapping[str, Any]) -> str:
    """What it was asked for: the command line, and the kind where it is another."""
    command = about(row.get("inputs", {}))
    kind = row.get("kind", PROGRAM_KIND)
    if kind == AGENT_KIND and (agent := row.get("inputs", {}).get("agent")):
        kind = f"{kind} {agent}"
    return command if kind == PROGRAM_KIND else f"{kind} {command}".rstrip()


def _told_command(row: Mapping[str, Any]) -> str:
    """What it was asked for, and what it does now or why it is where it is."""
    command = command_of(row)
    if row["state"] == COMPLETED:
        return command
    if said := step_of(row):
        return f"{command}  «{said}»"
    why = row.get("error") or row.get("reason")
    if row["state"] == FAILED and row.get("exit_from") == "program":
        # Its code is told already.
        why = ""
    return f"{command}  ({why})" if why else command


def step_of(row: Mapping[str, Any]) -> str:
    """What it does now, and what its model does; "" if nothing is known."""
    said = (row.get("step"), row.get("model_doing"))
    return ": ".join(str(word) for word in said if word)


def boxes_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which box executes each, or did; nothing while all of them are of one."""
    boxes = [str(row.get("box") or "") for row in rows]
    return boxes if len({*boxes} - {""}) > 1 else [""] * len(boxes)


def folder_of(row: Mapping[str, Any]) -> str:
    """Where it works, from the caller's home."""
    home, folder = os.path.expanduser("~"), row.get("inputs", {}).get("cwd")
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
