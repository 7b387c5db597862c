"""What surfaces answer, as JSON and in words: one place, so that they say the same of the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from penstock.words.address import websocket_url
from penstock.words.api import GapFrame, RunReply, SubmitReply, TaskReply
from penstock.words.events import DAEMON_STREAM
from penstock.words.priority import Priority

if TYPE_CHECKING:
    from penstock.log.projections import AskView, RunView
    from penstock.runs.core import Core
    from penstock.runs.run import Kind
    from penstock.words.recorded import Recorded


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


def submit_json(view: RunView, base: str) -> dict[str, Any]:
    """What a submit is answered with; `base` is how the caller addresses the daemon."""
    reply = SubmitReply(
        run_id=view.run_id,
        kind=view.kind,
        state=str(view.state),
        priority=Priority(view.priority).name,
        sequence=view.sequence,
        position=view.position,
        websocket_url=websocket_url(base, view.run_id),
    )
    return reply.model_dump(mode="json")


async def head_of(core: Core, stream: str) -> int:
    """Position of the newest fact of a run, or of the daemon's own stream. RunNotFound."""
    if stream == DAEMON_STREAM:
        return core.bus.head
    view = await core.scheduler.view(stream)
    return view.position


def task_reply(run: RunReply, base: str) -> TaskReply:
    """The task that a run is; `base` is how the caller addresses the daemon."""
    status = "created" if run.state == "queued" else run.state
    return TaskReply(
        **dict(run),
        task_id=run.run_id,
        status=status,
        websocket_url=websocket_url(base, run.run_id),
    )


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


def events_page(
    facts: Sequence[Recorded], after: int, *, head: int, gap: GapFrame | None = None
) -> bytes:
    """A page, put together from bytes that were encoded once; `head` is where the stream ends now."""
    following = facts[-1].position if facts else after
    more = b"true" if facts and following < head else b"false"
    missing = b"" if gap is None else b',"gap":' + gap.model_dump_json().encode()
    events = b",".join(fact.wire() for fact in facts)
    return b'{"events":[%b],"next":%d,"more":%b%b}' % (events, following, more, missing)
