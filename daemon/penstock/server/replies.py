"""What surfaces answer, as JSON and in words: one place, so that they say the same of the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from penstock.log.bus import Gap, Overflow
from penstock.words.address import websocket_url
from penstock.words.api import GapFrame, RunReply, SubmitReply, TaskReply
from penstock.words.events import DAEMON_STREAM
from penstock.words.priority import Priority

if TYPE_CHECKING:
    from penstock.log.projections import AskView, RunView
    from penstock.runs.core import Core
    from penstock.runs.kind import Kind
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
    view = await core.reader.view(stream)
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


def gap_reply(gap: Gap, overflow: Overflow = "catch_up") -> GapFrame:
    """What is missing, and how many of it this client's own policy dropped."""
    dropped = gap.count if overflow == "drop_oldest" and not gap.put_back else None
    return GapFrame(
        first=gap.first, last=gap.last, dropped=dropped, put_back=gap.put_back
    )


async def read_page(
    core: Core,
    run_id: str | None,
    after: int,
    limit: int,
    *,
    after_id: UUID | None = None,
    max_bytes: int,
) -> bytes:
    """A page of events above `after`, of one run or of all, as JSON. RunNotFound.

    At most `limit` events and, beyond the first, `max_bytes`. `after_id`: the fact that the caller
    had at `after`, if it knows.
    """
    bus, store = core.bus, core.store
    head = bus.head if run_id is None else await head_of(core, run_id)
    start, gap = after, None
    if after and (after > bus.head or after_id):
        gap = await bus.find_put_back(after, after_id)
    if gap is not None:
        start = gap.first - 1
    if run_id is not None:
        facts = await store.read(run_id, start, limit, max_bytes=max_bytes)
    else:
        # Pruned, if it is not the log that is shorter.
        if start < bus.floor - 1:
            gap, start = gap or Gap(start + 1, bus.floor - 1), bus.floor - 1
        read = await store.read_all(start, limit, max_bytes=max_bytes)
        # What is committed but not yet published is not yet true for anybody else either.
        facts = [fact for fact in read if fact.position <= head]
    told = None if gap is None else gap_reply(gap)
    return events_page(facts, start, head=head, gap=told)


def events_page(
    facts: Sequence[Recorded], after: int, *, head: int, gap: GapFrame | None = None
) -> bytes:
    """A page, put together from bytes that were encoded once; `head` is where the stream ends now."""
    following = facts[-1].position if facts else after
    more = b"true" if facts and following < head else b"false"
    missing = b"" if gap is None else b',"gap":' + gap.model_dump_json().encode()
    events = b",".join(fact.wire() for fact in facts)
    return b'{"events":[%b],"next":%d,"more":%b%b}' % (events, following, more, missing)
