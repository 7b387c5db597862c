"""Where a run may execute: what it needs of a box, and what a box has. Values in, values out.

A box is chosen by nobody: a run says what it needs, a box says what it has, and whoever has a slot free
takes what fits. What a run needs first of all is mostly the box where its files are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: The label that each box has without being told: its name.
BOX_LABEL = "box"

Needs = Mapping[str, str]
#: Of a run that may execute anywhere.
NOTHING: Needs = {}
#: Codes of why a run waits that no free slot helps against: no box that is known has what it asks for.
NOWHERE = frozenset({"needs", "box_unknown"})


@dataclass(frozen=True, slots=True)
class Place:
    """A box as runs see it. `labels` hold its name too.

    `team`: it takes runs that were submitted at other boxes. `shared`: there may be other boxes; of a
    log that has one box alone, and may be copied to another, nothing is pinned to it.
    """

    box: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    team: bool = True
    shared: bool = False


#: A box without labels, which takes whatever asks for none.
ANY_PLACE = Place()


def place_of(box: str, labels: Mapping[str, str], *, team: bool, shared: bool) -> Place:
    """The box of this name, with what it says that it has."""
    return Place(box, {**labels, BOX_LABEL: box}, team or not shared, shared)


def own_labels(place: Place) -> dict[str, str]:
    """What a box says that it has, beside its name."""
    return {name: has for name, has in place.labels.items() if name != BOX_LABEL}


def fits(needs: Needs, labels: Mapping[str, str]) -> bool:
    """Whether a box with these labels has all that a run needs."""
    return all(labels.get(name) == value for name, value in needs.items())


def lacking(needs: Needs, labels: Mapping[str, str]) -> dict[str, str]:
    """What a run needs and such a box has not."""
    return {name: value for name, value in needs.items() if labels.get(name) != value}


def accepted(origin: str, place: Place) -> bool:
    """Whether the box takes what was submitted there."""
    return place.team or origin == place.box


def may_execute(needs: Needs, origin: str, place: Place) -> bool:
    """Whether this box may start the run."""
    return accepted(origin, place) and fits(needs, place.labels)


def knows_group(
    group: str | None, group_slots: Mapping[str, int], place: Place
) -> bool:
    """Whether the box knows how many runs of the group may execute at once.

    Where there are others, one that does not would start as many as it has slots.
    """
    return group is None or not place.shared or group in group_slots


def pinned_to(needs: Needs) -> str | None:
    """The one box that may start such a run; None: any that fits."""
    return needs.get(BOX_LABEL)


def stays(needs: Needs, place: Place) -> bool:
    """Whether a new run executes at this box, or nowhere."""
    return not place.shared or pinned_to(needs) == place.box


def has_its_caller(needs: Needs, origin: str, box: str) -> bool:
    """Whether a run that executes at this box is to have what its caller had: it stays where that was."""
    return not origin or origin == box == pinned_to(needs)


def in_words(needs: Needs) -> str:
    """As `gpu=1, os=linux`."""
    return ", ".join(f"{name}={value}" for name, value in needs.items())


def place_run(
    asked: Needs,
    place: Place,
    *,
    home: str,
    parent: Needs | None = None,
    local: bool = False,
    anywhere: bool = False,
) -> dict[str, str]:
    """What a new run needs. `local`: it has files on the box `home`; `parent`: what its parent needs.

    A box that is asked for by name is taken at its word; else what is local stays where its files are,
    unless somebody says that they are everywhere. Where there is one box alone nothing is pinned.
    """
    needs = {**(parent or NOTHING), **asked}
    if place.shared and local and not anywhere:
        needs.setdefault(BOX_LABEL, home)
    return needs


def moved(needs: Needs, asked: Needs, *, anywhere: bool = False) -> dict[str, str]:
    """What a run needs that is the same again, where it is asked to be this time."""
    kept = {name: value for name, value in needs.items() if name != BOX_LABEL}
    return {**(kept if anywhere else needs), **asked}


def stranded(needs: Needs, asked: Needs, place: Place) -> str | None:
    """Why a run that stays at this box for its files can never start there; None: it may.

    Who asked for a box by name, or for none, is not meant.
    """
    if BOX_LABEL in asked or pinned_to(needs) != place.box:
        return None
    if not (missing := lacking(asked, place.labels)):
        return None
    return (
        f"it asks for {in_words(missing)}, which the box {place.box} has not, and its files are here; if they"
        " are where it asks to be as well, or it needs none, say that it may execute anywhere"
    )
