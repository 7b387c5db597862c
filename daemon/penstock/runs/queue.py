"""The order of the queue: what starts next, and who gives its slot to whom. Values in, values out.

A preemption asks what the next claim would do: a run is interrupted only if the slot it leaves then
goes to a run that is important enough. So nobody is interrupted twice for one waiting run, for a run
that could not start, or for one that stands behind the interrupted run itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from penstock.words.priority import may_preempt


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


@dataclass(frozen=True, slots=True)
class Holder:
    """A run that has a slot, and how it would stand in line without it."""

    waiter: Waiter
    #: Its kind allows it, it has no open child, and nothing ends its execution already.
    preemptible: bool = False
    #: Its slot will be free soon: it is cancelled, interrupted or stopped.
    leaving: bool = False
    #: It will stand in line then.
    returning: bool = False


@dataclass(frozen=True, slots=True)
class Preemption:
    """The run `victim` gives its slot to the run `by`."""

    victim: str
    by: str


def choose_preemption(
    waiters: Sequence[Waiter], holders: Sequence[Holder], rules: Rules, now: datetime
) -> Preemption | None:
    """The next run to interrupt, if any: the least important one that helps, the latest of equals.

    Aging moves runs within the line and is no reason to interrupt: the points compared are those
    that the runs were given.
    """
    staying = [holder for holder in holders if not holder.leaving]
    victims = [holder.waiter for holder in staying if holder.preemptible]
    if not victims or not waiters:
        return None
    back = [holder.waiter for holder in holders if holder.returning]
    line = [*waiters, *back]
    held = Counter(holder.waiter.group for holder in staying)
    served = {w.run_id for w in grant(in_order(line, rules, now), held, rules)}
    for victim in sorted(victims, key=lambda v: (v.priority, v.place), reverse=True):
        held[victim.group] -= 1
        for waiter in grant(in_order([*line, victim], rules, now), held, rules):
            helped = waiter.run_id not in served
            if helped and may_preempt(waiter.priority, victim.priority):
                return Preemption(victim.run_id, waiter.run_id)
        held[victim.group] += 1
    return None
