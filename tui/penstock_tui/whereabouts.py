"""What is said of the boxes that share the log, and of runs that need one of them. Values in, text out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from penstock.log.projections import RunView
from penstock.words.box_standing import LATE
from penstock.words.lifecycle import EXECUTING_STATES
from penstock.words.placement import BOX_LABEL, fits, in_words, pinned_to

#: Rows of boxes, as the daemon tells them.
BoxRows = Sequence[Mapping[str, Any]]


def lease_line(health: Mapping[str, Any]) -> str:
    """How long until this box ends what it executes, unless it is heard; "" where nobody else writes its log."""
    lease = health.get("lease")
    # An older daemon told only how long its lease is, of which it uses less.
    if not isinstance(lease, Mapping) or "usable" not in lease:
        return ""
    return f"{lease['left']:.0f} of {lease['usable']:.0f} s left"


def short_lease(health: Mapping[str, Any]) -> Iterator[str]:
    """The same where it was not renewed in time, by what the others call late."""
    if said := lease_line(health):
        lease = health["lease"]
        if lease["usable"] - lease["left"] > lease["seconds"] * LATE:
            yield f"lease {said}"


def late_boxes(boxes: BoxRows) -> Iterator[str]:
    """A sentence for each other box that is late; who is lost is told by the daemon's health."""
    for box in boxes:
        if box["standing"] == "silent" and not box.get("own"):
            yield f"the box {box['box']} {_away(box)}"


def doubt_about(view: RunView, boxes: BoxRows) -> str:
    """Why what is told of a run that executes may be over; "" while its box is heard."""
    if view.state not in EXECUTING_STATES:
        return ""
    for box in boxes:
        if box["box"] == view.box and not box.get("own") and (away := _away(box)):
            return f"its box {view.box} {away}: nothing of it is known since then"
    return ""


def missing_box(view: RunView, boxes: BoxRows) -> str:
    """What keeps a queued run from a box that it could have, in few words; "" for nothing."""
    if len(boxes) < 2 and not (boxes and view.needs):
        return ""
    fitting = [box for box in boxes if fits(view.needs, _labels(box))]
    if not fitting:
        pin = pinned_to(view.needs)
        return f"no box {pin}" if pin else f"no box has {in_words(view.needs)}"
    hindered = [_hindrance(view, box) for box in fitting]
    if not all(hindered):
        free = any(_is_here(box) and not _is_full(box) for box in boxes)
        # Where every slot is taken its place in the line says all.
        if free and all(map(_is_full, fitting)) and len(fitting) == 1:
            return f"box {fitting[0]['box']} is full"
        return ""
    return hindered[0] if len(fitting) == 1 else f"no box takes it: {hindered[0]}"


def _hindrance(view: RunView, box: Mapping[str, Any]) -> str:
    """Why this box starts no such run, whether or not it has a slot; "": it does."""
    if away := _away(box):
        return f"box {box['box']} {away}"
    if box["standing"] == "draining":
        return f"box {box['box']} is drained"
    if box.get("accept") == "self" and view.origin not in ("", box["box"]):
        return f"box {box['box']} takes its own runs only"
    return ""


def _away(box: Mapping[str, Any]) -> str:
    match box["standing"]:
        case "left":
            return "has no daemon now"
        case "lost":
            return "is lost"
        case "silent":
            return f"is silent for {box['silent_seconds']:.0f} s"
    return ""


def _is_here(box: Mapping[str, Any]) -> bool:
    return not _away(box) and box["standing"] != "draining"


def _is_full(box: Mapping[str, Any]) -> bool:
    return int(box["running"]) >= int(box["slots"])


def _labels(box: Mapping[str, Any]) -> dict[str, str]:
    return {**(box.get("labels") or {}), BOX_LABEL: box["box"]}
