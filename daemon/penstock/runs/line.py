"""The line before the slots: who may start, in which order, who would get a slot. Values only.

The store's `Claim` decides by these rules in its own words; a test holds the two together. Here
they serve what needs to know before it happens: preemption, and `why`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Rules:
    """What a claim goes by. `paused` has the reasons by group; None is the whole queue.

    `aging`: seconds waited per point of importance gained; None: off.
    """

    slots: int
    kinds: frozenset[str]
    group_slots: Mapping[str, int] = field(default_factory=dict)
    paused: Mapping[str | None, str] = field(default_factory=dict)
    aging: float | None = None


@dataclass(frozen=True, slots=True)
class Waiter:
    """A run that wants a slot. A `parked` one executes already and gave its slot back."""

    run_id: str
    kind: str
    priority: int
    place: int
    since: datetime
    group: str | None = None
    parked: bool = False
    #: What it comes after and has not ended.
    prerequisites: tuple[str, ...] = ()


Rank = tuple[int, bool, int]


def startable(waiter: Waiter, rules: Rules) -> bool:
    """Whether it may have a slot at all, if there is one. A parked run has passed all this."""
    return waiter.parked or (
        None not in rules.paused
        and waiter.group not in rules.paused
        and waiter.kind in rules.kinds
        and not waiter.prerequisites
    )


def rank(waiter: Waiter, rules: Rules, now: datetime) -> Rank:
    """Lower goes first: importance, then parked runs, then place."""
    waited = max(timedelta(), now - waiter.since)
    gained = 0
    if rules.aging:
        gained = waited // timedelta(seconds=rules.aging)
    return (waiter.priority - gained, not waiter.parked, waiter.place)


def in_order(waiters: Iterable[Waiter], rules: Rules, now: datetime) -> list[Waiter]:
    """Those that may have a slot, first to last."""
    ready = [waiter for waiter in waiters if startable(waiter, rules)]
    return sorted(ready, key=lambda waiter: rank(waiter, rules, now))


def grant(
    ordered: Sequence[Waiter], held: Counter[str | None], rules: Rules
) -> list[Waiter]:
    """Those that get a slot while `held` are taken, counted by group."""
    held = Counter(held)
    granted: list[Waiter] = []
    free = rules.slots - held.total()
    for waiter in ordered:
        if len(granted) >= free:
            break
        if group_full(waiter.group, held, rules):
            continue
        held[waiter.group] += 1
        granted.append(waiter)
    return granted


def group_full(group: str | None, held: Mapping[str | None, int], rules: Rules) -> bool:
    """Whether the group's own slots are all taken; a run without a group needs none."""
    limit = None if group is None else rules.group_slots.get(group)
    return limit is not None and held.get(group, 0) >= limit
