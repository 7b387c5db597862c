"""The daemon's replies that several verbs take: open questions, runs; in words: the queue."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from penstock.cli.output import emit, say, show_line
from penstock.client.sync import SyncClient

#: Runs in one page.
PAGE = 500


def is_open(ask: Mapping[str, Any]) -> bool:
    """Whether a question of a run waits for an answer; an older daemon takes none back."""
    return ask.get("answer") is None and ask.get("withdrawn") is None


def tell_replayed(reply: dict[str, Any]) -> None:
    """Say that a submit led to a run that was there before."""
    if not reply.get("created", True):
        moment = datetime.fromisoformat(reply["created_at"]).astimezone()
        today = moment.date() == datetime.now().astimezone().date()
        when = moment.strftime("%H:%M" if today else "%Y-%m-%d %H:%M")
        say(f"this is the run of {when}; not run anew (`--new` runs it)")


def show_started(reply: dict[str, Any], *, as_json: bool) -> None:
    """The run that was started, as data. Its id is told on stderr where stdout does not take it, and to a
    person the number that is typed.
    """
    try:
        if as_json:
            emit(reply)
            return
        show_line(reply["run_id"])
        if reply.get("number") and sys.stdout.isatty() and sys.stderr.isatty():
            say(f"it has number {reply['number']}")
    except OSError:
        say(f"the run {reply['run_id']} was started all the same")
        raise


def say_output_tail(view: dict[str, Any]) -> None:
    """What a failed run printed last, for whoever was not shown it."""
    for line in view.get("output_tail") or ():
        show_line(f"  {line}", err=True)


def show_queue_change(told: dict[str, Any], as_json: bool) -> None:
    """How the queue is after a change."""
    if as_json:
        emit(told)
        return
    say(f"{told['running']} running{elsewhere(told)}, {told['queued']} queued")
    say_held(told)


def elsewhere(told: Mapping[str, Any]) -> str:
    """How many run besides those of the box that was asked: the queue is that of all boxes."""
    return f" here, {count} at other boxes" if (count := told.get("elsewhere")) else ""


def say_held(told: dict[str, Any]) -> None:
    """What keeps runs from starting, or from being taken in."""
    for row in told["paused"]:
        because = f": {row['reason']}" if row["reason"] else ""
        say(f"{_name(row['group'])} is paused{because}")
    for group in told["draining"]:
        say(f"{_name(group)} is drained; `penstock resume` takes runs in again")
    for box in told.get("drained_boxes", ()):
        say(
            f"the box {box} is drained; `penstock resume --box {box}` has it start runs"
        )


def _name(group: str | None) -> str:
    return "the queue" if group is None else f"the group {group}"


def open_asks(client: SyncClient) -> list[dict[str, Any]]:
    """The questions that wait for an answer."""
    return list(client.get("asks")["asks"])


def newest_runs(client: SyncClient, q: str, limit: int) -> list[dict[str, Any]]:
    """The newest runs that this filter wants."""
    rows: list[dict[str, Any]] = []
    before = None
    while len(rows) < limit:
        page = client.runs(q, limit=min(limit - len(rows), PAGE), before=before)
        rows += page["runs"]
        before = page["next"]
        if before is None:
            break
    return rows
