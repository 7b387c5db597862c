"""Where a run stands in the overview: in which section, and behind whom. Values in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from penstock.log.projections import RunView
from penstock.words.lifecycle import (
    FAILED,
    FIRST_STATE,
    QUEUED_STATES,
    ROLES,
    SLOT_STATES,
    Role,
    State,
)
from penstock.words.priority import Priority
from penstock_tui.state import ShownRun, name_of
from penstock_tui.whereabouts import BoxRows, missing_box
from penstock_tui.wording import clock_time

#: A running run that said nothing for this long is said to be quiet; most have nothing to say.
QUIET_AFTER = timedelta(seconds=60)
#: The kind whose runs are expected to speak, and how the step begins by which it tells that one does not.
AGENT, SILENT = "agent", "silent for "
#: A failure nobody looked at needs somebody for this long.
NEWS_FOR = timedelta(minutes=15)

#: The sections from the top down. What runs is never below what has failed for long.
NEEDS_YOU, RUNNING, QUEUED, TODAY, EARLIER = range(5)
#: Where a run of each role stands, unless it needs somebody or is of an earlier day.
SECTIONS: Mapping[Role, int] = {
    "slot": RUNNING,
    "parked": RUNNING,
    "in line": QUEUED,
    "ended": TODAY,
}
SORTS = ("attention", "newest", "priority", "elapsed")


@dataclass(frozen=True, slots=True)
class Standing:
    """`key`: smaller stands higher in its section. `news`: a failure that nobody has looked at."""

    section: int
    key: tuple[float, ...]
    state: State
    priority: int
    asks: bool
    news: bool
    #: In no line yet: it is stashed, or starts later.
    aside: bool
    parent: str | None
    #: Columns that this run has something for, of those that are left out where nobody has.
    columns: frozenset[str]
    #: Where it executes, or did; told once there are runs of two boxes.
    box: str


def standing_of(run: ShownRun, order: str, now: datetime) -> Standing:
    """Where the run stands."""
    view = run.view
    return Standing(
        _section(run, now),
        _key(run, order, now),
        view.state or FIRST_STATE,
        view.priority,
        run.asks,
        is_news(run, now),
        is_aside(view, now),
        view.parent_id,
        frozenset(_columns(run)),
        view.box,
    )


def is_quiet(view: RunView, now: datetime) -> bool:
    """Whether it runs and has said nothing for long."""
    return (
        view.state in SLOT_STATES
        and view.last_at is not None
        and now - view.last_at > QUIET_AFTER
    )


def is_silent(view: RunView, now: datetime) -> bool:
    """Whether it is an agent, which is expected to speak, and says nothing: for long, or so long that this is told."""
    if view.kind != AGENT or view.state not in SLOT_STATES:
        return False
    return is_quiet(view, now) or (view.step or "").startswith(SILENT)


def waits_until(run: ShownRun) -> datetime | None:
    """When its wait ends by itself: a question expires, a quota is there again."""
    if (ask := run.open_ask) is not None:
        return ask.expires_at
    waiting = run.view.waiting
    return waiting.until if waiting is not None else None


def is_news(run: ShownRun, now: datetime) -> bool:
    """Whether it failed of late, and nobody has looked."""
    ended = run.view.ended_at
    return (
        run.view.state == FAILED
        and not run.seen
        and ended is not None
        and now - ended < NEWS_FOR
    )


def is_aside(view: RunView, now: datetime) -> bool:
    """Whether it is queued and in no line: somebody has stashed it, or it starts later."""
    return (view.state or FIRST_STATE) in QUEUED_STATES and (
        view.stashed or (view.not_before is not None and view.not_before > now)
    )


def elapsed(view: RunView, now: datetime) -> float:
    """Seconds of the run's life: executing if it has begun, else waiting."""
    begin = view.started_at or view.created_at
    return ((view.ended_at or now) - begin).total_seconds() if begin else 0.0


def hindrance(
    view: RunView,
    queue: Mapping[str, Any],
    runs: Mapping[str, ShownRun],
    now: datetime,
    boxes: BoxRows = (),
) -> str:
    """What keeps a queued run from a slot though there may be one, in few words; "" for nothing."""
    if view.stashed:
        return "stashed"
    if view.not_before is not None and view.not_before > now:
        return f"starts at {clock_time(view.not_before)}"
    paused = {row.get("group") for row in queue.get("paused") or ()}
    if None in paused:
        return "the queue is paused"
    if view.group is not None and view.group in paused:
        return f"group {view.group} is paused"
    before = [r for r in view.after if r in runs and not runs[r].view.ended]
    if before:
        return f"after {', '.join(name_of(runs[r]) for r in before)}"
    group = (queue.get("groups") or {}).get(view.group)
    if group and group.get("running", 0) >= group.get("slots", 0):
        return f"group {view.group} is full"
    return missing_box(view, boxes)


def _section(run: ShownRun, now: datetime) -> int:
    view = run.view
    if run.asks:
        return NEEDS_YOU
    if view.ended:
        ended = view.ended_at
        today = ended is None or ended.astimezone().date() == now.astimezone().date()
        return TODAY if today else EARLIER
    return SECTIONS[ROLES[view.state or FIRST_STATE]]


def _key(run: ShownRun, order: str, now: datetime) -> tuple[float, ...]:
    view = run.view
    if order == "newest":
        return (-_born(view), -view.place)
    if order == "priority":
        return (view.ended, view.priority, *_turn(view))
    if order == "elapsed":
        return (-elapsed(view, now),)
    if view.ended:
        ended = view.ended_at.timestamp() if view.ended_at else 0.0
        return (True, -ended, -view.place)
    parked = ROLES[view.state or FIRST_STATE] == "parked"
    # Of those that need somebody, who asks comes first.
    return (
        not run.asks,
        not run.failing,
        parked,
        is_aside(view, now),
        view.priority,
        *_turn(view),
    )


def _turn(view: RunView) -> tuple[float, float]:
    """Its turn among those of its priority; the daemon's own, where somebody changed it."""
    if (view.state or FIRST_STATE) in QUEUED_STATES:
        return (view.place if view.turn is None else view.turn, _born(view))
    return (_born(view), view.place)


def _born(view: RunView) -> float:
    """When it was submitted; of runs of one moment their places in the log decide."""
    return view.created_at.timestamp() if view.created_at else 0.0


def _columns(run: ShownRun) -> Iterable[str]:
    view = run.view
    if waits_until(run) is not None:
        yield "until"
    if view.kind != "command":
        yield "kind"
    if view.priority != Priority.MEDIUM:
        yield "prio"
    if view.ended:
        yield "when"
    elif view.progress is not None:
        yield "progress"
    if not view.ended and view.step:
        yield "step"
    if view.tokens_in or view.tokens_out:
        yield "tokens"
    if view.code_version:
        yield "ver"
