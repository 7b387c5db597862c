"""What the daemon's answers say in the overview's panels. Values in, values out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from time import monotonic
from typing import Any

from penstock.words.box_standing import standing_line
from penstock.words.lifecycle import QUEUED_STATES
from penstock.words.sentences import number, size
from penstock_tui.state import DashboardState
from penstock_tui.whereabouts import lease_line
from penstock_tui.widgets.gauges import DaemonState, QueueState
from penstock_tui.widgets.top_bar import Load
from penstock_tui.wording import duration

#: Boxes that have a line of their own; a team has fewer.
MOST_BOXES = 8
#: How a box stands -> its tone; one that is not known here is a warning.
_BOX_TONES: Mapping[str, str] = {"lost": "error", "ok": "", "left": "dim"}
_LOUDEST_FIRST = ("error", "warning", "", "dim")


def queue_state(asked: Mapping[str, Any], queued: tuple[int, ...]) -> QueueState:
    """The queue from the newest answer of the daemon, and how many stand in it by priority."""
    return QueueState(
        queued=queued,
        capacity=int(asked.get("capacity") or 0),
        blocked=int(asked.get("waiting_submits") or 0),
        paused=_paused(asked),
    )


def is_paused(asked: Mapping[str, Any]) -> bool:
    """Whether the whole queue is."""
    return any(row.get("group") is None for row in asked.get("paused") or ())


def _paused(asked: Mapping[str, Any]) -> str:
    groups = {row.get("group"): row.get("reason") for row in asked.get("paused") or ()}
    said = []
    if None in groups:
        said.append(f"paused: {groups[None]}" if groups[None] else "paused")
    elif groups:
        said.append(f"paused: {', '.join(sorted(map(str, groups)))}")
    if asked.get("draining"):
        said.append("draining")
    return "  ".join(said)


def slots_of(model: DashboardState) -> int:
    """Slots that runs of the list may have: the daemon's, or those of all boxes that are there."""
    there = [box for box in model.boxes if box["standing"] not in ("lost", "left")]
    if len(model.boxes) < 2 or not there:
        return int(model.queue.get("slots") or 0)
    return sum(int(box["slots"]) for box in there)


def load_of(model: DashboardState, counts: Mapping[str, int], running: int) -> Load:
    """The load, by how many runs stand in which state."""
    asked = model.queue
    return Load(
        running,
        slots_of(model),
        sum(counts[state] for state in QUEUED_STATES),
        int(asked.get("capacity") or 0),
        counts["asks"],
        counts["news"],
        int(asked.get("waiting_submits") or 0),
        _paused(asked),
    )


def daemon_lines(model: DashboardState, running: int) -> DaemonState | None:
    """The lines of the daemon panel from the newest answers of the daemon; None before the first."""
    queue, clients, health = model.queue, model.clients, model.health
    if not queue or not health:
        return None
    slots = slots_of(model)
    busy = f"{running}/{slots} busy" if slots else f"{running} busy"
    lines = [("slots", busy, "" if not slots or running < slots else "warning")]
    kinds: dict[str, int] = {}
    for client in clients:
        kind = str(client.get("kind", "?"))
        kinds[kind] = kinds.get(kind, 0) + 1
    lag = max((int(str(client.get("lag") or 0)) for client in clients), default=0)
    dropped = sum(int(str(client.get("dropped") or 0)) for client in clients)
    said = (
        "  ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none"
    )
    said = f"lag {number(lag)}  {said}" if lag else said
    said = f"dropped {number(dropped)}  {said}" if dropped else said
    lines.append(("clients", said, "error" if dropped else ""))
    lines.append(_health(health))
    if lease := lease_line(health):
        lines.append(("lease", lease, ""))
    lines += box_lines(model.boxes)
    models = health.get("models")
    lines.append(
        ("models", _models(models) if isinstance(models, Mapping) else "none", "")
    )
    log = f"position {model.position:,}"
    if isinstance(up := health.get("uptime"), int | float):
        log += f"  up {duration(up + monotonic() - model.health_at)}"
    lines.append(("log", log, ""))
    return DaemonState(tuple(lines))


def box_lines(boxes: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """A line for each box where there are several, who needs somebody first; the last may be for many."""
    if len(boxes) < 2:
        return
    ranked = sorted(boxes, key=lambda box: _LOUDEST_FIRST.index(_loudness(box)))
    for place, box in enumerate(ranked[:MOST_BOXES]):
        said = f"{box['box']}  {standing_line(box['standing'], box['silent_seconds'])}"
        said += f"  {box['running']}/{box['slots']} busy"
        yield "" if place else "boxes", said, _loudness(box)
    if (more := len(ranked) - MOST_BOXES) > 0:
        yield "", f"{more} more", "dim"


def _loudness(box: Mapping[str, Any]) -> str:
    return _BOX_TONES.get(str(box["standing"]), "warning")


def _health(health: Mapping[str, object]) -> tuple[str, str, str]:
    """What ails the daemon, or else that it is well and how large its log is."""
    if reasons := health.get("reasons"):
        said = reasons if isinstance(reasons, list) else [reasons]
        return "health", "; ".join(map(str, said)), "error"
    status, store = str(health.get("status", "?")), health.get("store")
    taken = store.get("size") if isinstance(store, Mapping) else None
    if isinstance(taken, int):
        status += f"  store {size(taken)}"
    return "health", status, "success" if health else "dim"


def _models(models: Mapping[str, object]) -> str:
    if not models:
        return "none configured"
    chain = models.get("chain")
    if isinstance(chain, list) and chain:
        return " → ".join(str(name) for name in chain)
    return "  ".join(f"{name} {said}" for name, said in models.items())
