"""Which box will start a run that this one does not, and why none does, in a sentence. Values in, values out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from penstock.words.box_standing import BoxStanding
from penstock.words.placement import (
    NOWHERE,
    Needs,
    Place,
    accepted,
    fits,
    in_words,
    lacking,
    pinned_to,
)

#: A box has it or starts it; no box is known by that name; no box has it; the one that has it takes its own
#: runs only; it is drained.
PlaceCode = Literal["box", "box_unknown", "needs", "accept", "box_drained"]
Told = tuple[PlaceCode, str]


@dataclass(frozen=True, slots=True)
class SeenBox:
    """A box that shares the log, as who explains a wait knows it."""

    place: Place
    standing: BoxStanding = "ok"
    silent_seconds: float = 0.0
    #: Whether all its slots are taken, as far as is known.
    full: bool = False

    @property
    def name(self) -> str:
        return self.place.box

    @property
    def here(self) -> bool:
        """Whether it has a daemon, by its last word."""
        return self.standing not in ("lost", "left")


def why_not_here(
    needs: Needs,
    origin: str,
    here: Place,
    boxes: Sequence[SeenBox] = (),
    *,
    drained: bool = False,
) -> Told | None:
    """Why this box does not start such a run, and who will; None: it does. `boxes` may have this one too."""
    if accepted(origin, here) and fits(needs, here.labels):
        if not drained:
            return None
        return _elsewhere("This box is drained", needs, origin, here, boxes) or (
            "box_drained",
            f"This box is drained: `penstock resume --box {here.box}`.",
        )
    pin = pinned_to(needs)
    if pin is not None and pin != here.box:
        return _pinned(needs, origin, pin, boxes)
    lead = f"It asks for {in_words(needs)}"
    if fits(needs, here.labels):
        lead = f"It was submitted at {origin or 'no box'}"
    if (told := _elsewhere(lead, needs, origin, here, boxes)) is not None:
        return told
    if not fits(needs, here.labels):
        return _nowhere(needs, here, boxes)
    why = f"It was submitted at {origin or 'no box'}, and this box executes its own runs only."
    return "accept", why


def why_unheard(box: str, here: Place, boxes: Sequence[SeenBox]) -> Told | None:
    """Why nobody knows how a run is that executes at this box; None: its daemon tells."""
    found = [b for b in boxes if b.name == box != here.box]
    if not found or (away := _away(found[0])) is None:
        return None
    return "box", f"Its box {box} {away}; how it has been since then is not known."


def on_box(box: str, boxes: Sequence[SeenBox]) -> str:
    """Where a run executes, after its name, and whether nothing is heard of there."""
    away = next((_away(b) for b in boxes if b.name == box), None)
    return f"on the box {box}{f', which {away}' if away else ''}"


def nowhere(
    needs: Needs, origin: str, here: Place, boxes: Sequence[SeenBox]
) -> str | None:
    """Why no box that is known will start what asks for this; None: one may."""
    told = why_not_here(needs, origin, here, boxes)
    return told[1] if told is not None and told[0] in NOWHERE else None


def _pinned(needs: Needs, origin: str, pin: str, boxes: Sequence[SeenBox]) -> Told:
    """Of a run that one other box alone may start."""
    found = [b for b in boxes if b.name == pin]
    if not found:
        # A word that was typed wrong waits for ever; of a log that no other box shares nobody can say that.
        alone = f"It executes at the box {pin} alone"
        if not boxes:
            return "box", f"{alone}."
        return "box_unknown", f"{alone}, and none of that name is known."
    box = found[0]
    if missing := lacking(needs, box.place.labels):
        return "needs", f"It asks for {in_words(missing)}, which its box {pin} has not."
    if not accepted(origin, box.place):
        why = f"Its box {pin} executes its own runs only; it was submitted at {origin or 'none'}."
        return "accept", why
    if box.standing == "draining":
        why = f"Its box {pin} is drained: `penstock resume --box {pin}`."
        return "box_drained", why
    if (away := _away(box)) is not None:
        return "box", f"Its box {pin} {away}."
    full = ", and all are taken" if box.full else ""
    return "box", f"It waits for a slot of its box {pin}{full}."


def _elsewhere(
    lead: str, needs: Needs, origin: str, here: Place, boxes: Sequence[SeenBox]
) -> Told | None:
    """Who else has what it asks for, after these words; None: nobody."""
    having = [b for b in boxes if b.name != here.box and fits(needs, b.place.labels)]
    if not having:
        return None
    ready = [
        b.name
        for b in having
        if accepted(origin, b.place) and _away(b) is None and b.standing != "draining"
    ]
    if ready:
        return "box", f"{lead}, and it waits for a slot of {' or '.join(ready)}."
    return "box", f"{lead}: {', '.join(_hindrance(b, origin) for b in having)}."


def _hindrance(box: SeenBox, origin: str) -> str:
    if (away := _away(box)) is not None:
        return f"{box.name} {away}"
    if not accepted(origin, box.place):
        return f"{box.name} executes its own runs only"
    return f"{box.name} is drained"


def _nowhere(needs: Needs, here: Place, boxes: Sequence[SeenBox]) -> Told:
    """No box has all that it asks for."""
    count = sum(box.here for box in boxes)
    if count <= 1 or pinned_to(needs) == here.box:
        missing = in_words(lacking(needs, here.labels))
        return "needs", f"It asks for {missing}, which this box has not."
    why = f"It asks for {in_words(needs)}; none of the {count} boxes that are here has it."
    return "needs", why


def _away(box: SeenBox) -> str | None:
    """What is told of a box whose daemon says nothing; None: it does."""
    match box.standing:
        case "left":
            return "has no daemon now"
        case "lost":
            return f"is lost: silent for {box.silent_seconds:.0f} s"
        case "silent":
            return f"is silent for {box.silent_seconds:.0f} s"
    return None
