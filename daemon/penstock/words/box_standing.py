"""How a box stands, in one word and in two: decided once, for every surface."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from penstock.words.version_order import release_of

#: What the log says of a box: it has a lease, it ended in order, or its lease ran out and that was told.
BoxState = Literal["here", "left", "lost"]
#: How it stands; the first that is so, in this order: left, lost, silent, draining, older, ok.
BoxStanding = Literal["ok", "silent", "lost", "left", "draining", "older"]

#: A lease is renewed when a fourth of it is over; a box that was silent for this part of it is late.
LATE = 1 / 3


def standing_of(
    state: BoxState,
    *,
    silent_seconds: float,
    lease_left: float,
    lease_seconds: float,
    draining: bool,
    version: str,
    newest: str,
) -> BoxStanding:
    """How the box stands; `newest` is the newest version among boxes that are here."""
    if state == "left":
        return "left"
    if state == "lost" or lease_left <= 0:
        return "lost"
    if silent_seconds > lease_seconds * LATE:
        return "silent"
    if draining:
        return "draining"
    return "older" if release_of(version) < release_of(newest) else "ok"


def newest_of(versions: Iterable[str]) -> str:
    """The newest of these; "" of none."""
    return max(versions, key=release_of, default="")


def standing_line(standing: BoxStanding | str, silent_seconds: float) -> str:
    """The same for people: a box that says nothing is told with for how long."""
    if standing == "silent":
        return f"silent {silent_seconds:.0f} s"
    return standing


def loss_line(box: str, silent_seconds: float) -> str:
    """A lost box in a sentence."""
    return f"the box {box} is lost: silent for {silent_seconds:.0f} s"
