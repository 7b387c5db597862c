"""What the first line says, and the last one after quitting. Values in, values out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from penstock import __version__
from penstock.client.versions import MOST_LETTERS
from penstock.words.address import Address
from penstock.words.lifecycle import QUEUED_STATES, SLOT_STATES
from penstock.words.sentences import number
from penstock.words.version_order import compare
from penstock_tui.state import DashboardState
from penstock_tui.whereabouts import late_boxes, short_lease
from penstock_tui.widgets.top_bar import Load, TopLine
from penstock_tui.wording import clock_time, duration, plain

#: Seconds between a fact and its picture from which it is told.
LAG_TOLD = 1.0


def top_line(
    model: DashboardState,
    *,
    where: str,
    paused: int | None,
    read_only: bool,
    load: Load | None,
    now: datetime,
) -> TopLine:
    """The connection; `paused` is how many facts had been seen when the view was paused."""
    return TopLine(
        phase=model.phase,
        where=where,
        problem=model.problem if model.phase in ("lost", "refused") else "",
        paused=None if paused is None else model.tail_count - paused,
        read_only=read_only,
        difference=version_difference(model.daemon, __version__),
        load=load if is_known(model) else None,
        ails=tuple(ailments(model)),
        clock=clock_time(now),
    )


def ailments(model: DashboardState) -> Iterator[str]:
    """What is no news while it is well: of our view, of the daemon, and of who else looks."""
    if model.phase == "catching up" and model.head > model.position:
        yield f"{number(model.head - model.position)} behind"
    if model.phase == "live" and model.lag >= LAG_TOLD:
        yield f"lag {duration(model.lag)}"
    if model.missed:
        yield f"gaps {number(model.missed)}"
    if reasons := model.health.get("reasons"):
        yield plain(
            "; ".join(map(str, reasons)) if isinstance(reasons, list) else str(reasons)
        )
    yield from short_lease(model.health)
    yield from map(plain, late_boxes(model.boxes))
    if dropped := sum(int(str(client.get("dropped") or 0)) for client in model.clients):
        yield f"dropped {number(dropped)}"


def is_known(model: DashboardState) -> bool:
    """Whether anything is known of a log: what it said once stays, and is said to be old."""
    return bool(model.epoch)


def nothing_listed(model: DashboardState, where: str) -> str:
    """What stands where no run does. Nobody is told that there are none by one who cannot know."""
    if is_known(model):
        old = " when it was last heard" if model.phase in ("lost", "refused") else ""
        return f"there were no runs{old}" if old else "no runs yet: r starts one"
    match model.phase:
        case "lost":
            return f"nothing is known: {model.problem}; trying again"
        case "refused":
            return f"nothing is known: {model.problem}"
    return f"asking the daemon at {where} …" if where else "looking for the daemon …"


def nothing_needed(model: DashboardState) -> str:
    """What stands where no alert does."""
    if model.phase in ("live", "replay"):
        return "nothing needs you"
    return (
        "nothing is known yet"
        if not is_known(model)
        else "nothing since it was last heard"
    )


def version_difference(daemon: str, own: str) -> str:
    """A few words on a daemon (`penstock 1.2`) of another version than ours; empty for the same."""
    name, _, version = daemon.partition(" ")
    if name != "penstock" or not version:
        return ""
    version = version[:MOST_LETTERS]
    how = compare(version, own)
    return f"daemon {version}, {how} than this {own}" if how else ""


def farewell(model: DashboardState, where: str) -> str:
    """What is said in the terminal after quitting a live dashboard."""
    if model.phase in ("lost", "refused", "connecting"):
        return f"no daemon was reached: {model.problem or 'still connecting'}"
    states = [run.view.state for run in model.runs.values()]
    running = sum(state in SLOT_STATES for state in states)
    queued = sum(state in QUEUED_STATES for state in states)
    return f"the daemon at {where} goes on: {running} running, {queued} queued"


def place_of(address: Address) -> str:
    """Where a daemon is, in a few letters."""
    return address.base.split("//")[-1] if address.socket is None else "unix socket"
