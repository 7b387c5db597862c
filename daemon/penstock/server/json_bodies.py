"""What surfaces answer, as JSON and in words: one place, so that they say the same of the same thing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import from_json

from penstock.log.bus import Bus, Gap, Overflow, SubscriberStatistics
from penstock.log.kept import AskRow, ScheduleRow
from penstock.log.projections import AskView, RunView
from penstock.runs.boxes import KnownBox
from penstock.runs.core import Core
from penstock.runs.kind import Kind
from penstock.runs.schedules import run_id_of
from penstock.runs.submit import Submitted
from penstock.words.address import websocket_url
from penstock.words.api import GapFrame, RunReply, SubmitReply, TaskReply
from penstock.words.lifecycle import FIRST_STATE, TERMINAL_STATES
from penstock.words.priority import Priority
from penstock.words.values import format_time


def open_asks(view: RunView) -> dict[str, AskView]:
    """The questions that wait for an answer, by name; an ended run needs none any more."""
    if view.ended:
        return {}
    return {name: ask for name, ask in view.asks.items() if ask.open}


def status_line(view: RunView) -> str:
    """Where the run stands: its state, and what it does or why it stands there."""
    parts = [str(view.state)]
    if asks := open_asks(view):
        parts.append(f"asks: {next(iter(asks.values())).question}")
    elif view.ended or view.reason:
        parts.append(view.error or view.reason)
    elif view.step:
        parts.append(view.step)
    if view.progress is not None and not view.ended:
        parts.append(f"{view.progress:.0%}")
    return ", ".join(part for part in parts if part)


def submit_json(
    submitted: Submitted, base: str, *, live: bool = False
) -> dict[str, Any]:
    """What a submit is answered with; `base` is how the caller addresses the daemon.

    `live`: its output is kept for the caller to come for.
    """
    view = submitted.view
    reply = SubmitReply(
        run_id=view.run_id,
        number=submitted.terms.number,
        kind=view.kind,
        state=str(view.state),
        priority=Priority(view.priority).name,
        sequence=view.sequence,
        position=view.position,
        websocket_url=websocket_url(base, view.run_id),
        created=submitted.created,
        created_at=view.created_at,
        live=live,
    )
    # Who did not ask for it is told nothing of it.
    return reply.model_dump(mode="json", exclude=None if live else {"live"})


async def run_told_json(core: Core, run_id: str) -> dict[str, Any]:
    """The run, and unless it just executes why it is where it is: for who has no call for that alone."""
    told = (await core.reader.reply(run_id)).model_dump(mode="json")
    if told["state"] not in TERMINAL_STATES:
        why = await core.why(run_id)
        if not {"running", "ended"} & {reason.code for reason in why.reasons[:1]}:
            told["why"] = why.text
    return told


def task_reply(run: RunReply, base: str) -> TaskReply:
    """The task that a run is; `base` is how the caller addresses the daemon."""
    status = "created" if run.state == FIRST_STATE else run.state
    return TaskReply(
        **dict(run),
        task_id=run.run_id,
        status=status,
        websocket_url=websocket_url(base, run.run_id),
    )


def schedule_json(row: ScheduleRow) -> dict[str, Any]:
    """A schedule as surfaces show it."""
    return {
        "name": row.name,
        "timing": row.timing,
        "zone": row.zone,
        "kind": from_json(row.request)["kind"],
        "inputs": dict(row.shown),
        "made_at": format_time(row.made_at),
        "due": format_time(row.due),
        "next_run": run_id_of(row.name, row.due),
        "last_run": row.last_run,
        "skipped": row.skipped,
    }


async def made_schedule_json(core: Core, row: ScheduleRow) -> dict[str, Any]:
    """The same of one that was just made, with why no box that is known will start its runs, if so."""
    nowhere = await core.nowhere(from_json(row.request).get("needs", {}))
    return schedule_json(row) | ({} if nowhere is None else {"nowhere": nowhere})


def ask_json(row: AskRow, details: Mapping[str, Any]) -> dict[str, Any]:
    """A question as surfaces show it."""
    return {
        "run_id": row.run_id,
        "name": row.name,
        "question": row.question,
        "choices": list(row.choices),
        "default": row.default,
        "expires_at": None if row.expires_at is None else format_time(row.expires_at),
        "state": row.state,
        "answer": row.answer,
        "answered_by": row.answered_by,
        "raised_at": format_time(row.raised_at),
        "details": dict(details),
    }


def boxes_json(boxes: Iterable[KnownBox]) -> dict[str, Any]:
    """The boxes that share the log."""
    return {"boxes": [box.to_json() for box in boxes]}


def clients_json(bus: Bus) -> dict[str, Any]:
    """Who reads streams, and where the log ends that they read."""
    rows = [client_json(row) for row in bus.subscribers()]
    return {"clients": rows, "head": bus.head}


def client_json(row: SubscriberStatistics) -> dict[str, Any]:
    """A reader of a stream."""
    return {
        "name": row.name,
        "kind": row.kind,
        "run_id": row.run_id,
        "cursor": row.cursor,
        "lag": row.lag,
        "overflow": row.overflow,
        "dropped": row.dropped,
        "since": format_time(row.since),
    }


def kinds_json(kinds: Iterable[Kind]) -> dict[str, Any]:
    """What can be run, by name."""
    by_name = sorted(kinds, key=lambda kind: kind.name)
    return {"pipelines": [kind_json(kind) for kind in by_name]}


def kind_json(kind: Kind) -> dict[str, Any]:
    """A kind, with the schemas that forms and tools are made of."""
    return {
        "name": kind.name,
        "summary": kind.summary,
        "needs_model": kind.needs_model,
        "on_restart": kind.on_restart,
        "preemptible": kind.preemptible,
        "milestones": sorted(kind.milestones),
        "inputs": kind.inputs.model_json_schema(),
        "output": kind.output.model_json_schema(),
    }


def gap_reply(gap: Gap, overflow: Overflow = "catch_up") -> GapFrame:
    """What is missing, and how many of it this client's own policy dropped."""
    dropped = gap.count if overflow == "drop_oldest" and not gap.put_back else None
    return GapFrame(
        first=gap.first, last=gap.last, dropped=dropped, put_back=gap.put_back
    )
