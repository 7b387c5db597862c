"""The order of the queue: what would start next, and who gives its slot to whom. Values in, values out.

What does start next is decided in SQL, by `log.tables.handle_claim`; a test holds the two together.

A preemption asks what the next claim would do: a run is interrupted only if the slot it leaves then
goes to a run that is important enough. So nobody is interrupted twice for one waiting run, for a run
that could not start, or for one that stands behind the interrupted run itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from penstock.runs.whereabouts import SeenBox
from penstock.words.placement import (
    ANY_PLACE,
    Needs,
    Place,
    knows_group,
    may_execute,
)
from penstock.words.priority import may_preempt


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """What a claim goes by. `paused` has the reasons by group; None is the whole queue.

    `aging`: seconds waited per point of importance gained; None: off.
    """

    slots: int
    kinds: frozenset[str]
    group_slots: Mapping[str, int] = field(default_factory=dict)
    paused: Mapping[str | None, str] = field(default_factory=dict)
    aging: float | None = None
    #: The box that claims, and whether it is drained.
    place: Place = ANY_PLACE
    drained: bool = False
    #: Slots that runs of other boxes have, by group: those of a group are everybody's.
    elsewhere: Mapping[str | None, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
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
    #: It starts no earlier; it is put aside.
    not_before: datetime | None = None
    stashed: bool = False
    #: What it asks of its box, and where it was submitted.
    needs: Needs = field(default_factory=dict)
    origin: str = ""
    #: Another run waits for it.
    child: bool = False

    def delayed(self, now: datetime) -> bool:
        """Whether its time has not come."""
        return self.not_before is not None and self.not_before > now


Rank = tuple[int, bool, int]


def startable(candidate: Candidate, rules: ClaimRules, now: datetime) -> bool:
    """Whether it may have a slot at all, if there is one. A parked run has passed all this."""
    return candidate.parked or (
        None not in rules.paused
        and candidate.group not in rules.paused
        and candidate.kind in rules.kinds
        and not candidate.prerequisites
        and not candidate.stashed
        and not candidate.delayed(now)
        and (not rules.drained or candidate.child)
        and may_execute(candidate.needs, candidate.origin, rules.place)
        and knows_group(candidate.group, rules.group_slots, rules.place)
    )


def rank(candidate: Candidate, rules: ClaimRules, now: datetime) -> Rank:
    """Lower goes first: importance, then parked runs, then place."""
    waited = max(timedelta(), now - candidate.since)
    gained = 0
    if rules.aging:
        gained = waited // timedelta(seconds=rules.aging)
    return (candidate.priority - gained, not candidate.parked, candidate.place)


def in_order(
    candidates: Iterable[Candidate], rules: ClaimRules, now: datetime
) -> list[Candidate]:
    """Those that may have a slot, first to last."""
    ready = [candidate for candidate in candidates if startable(candidate, rules, now)]
    return sorted(ready, key=lambda candidate: rank(candidate, rules, now))


def grant(
    ordered: Sequence[Candidate], held: Counter[str | None], rules: ClaimRules
) -> list[Candidate]:
    """Those that get a slot while `held` are taken, counted by group."""
    held = Counter(held)
    granted: list[Candidate] = []
    free = rules.slots - held.total()
    for candidate in ordered:
        if len(granted) >= free:
            break
        if group_full(candidate.group, held, rules):
            continue
        held[candidate.group] += 1
        granted.append(candidate)
    return granted


def group_full(
    group: str | None, held: Mapping[str | None, int], rules: ClaimRules
) -> bool:
    """Whether the group's own slots are all taken; a run without a group needs none."""
    limit = None if group is None else rules.group_slots.get(group)
    if limit is None:
        return False
    return held.get(group, 0) + rules.elsewhere.get(group, 0) >= limit


@dataclass(frozen=True, slots=True)
class SlotHolder:
    """A run that has a slot, and the place it would queue at without it."""

    candidate: Candidate
    #: Its kind allows it, it has no open child, and nothing ends its execution already.
    preemptible: bool = False
    #: Its slot will be free soon: it is cancelled, interrupted or stopped.
    leaving: bool = False
    #: It will queue again then.
    returning: bool = False


@dataclass(frozen=True)
class QueueSnapshot:
    """Who wants a slot and who has one, as a claim would find them now."""

    candidates: Sequence[Candidate]
    slot_holders: Sequence[SlotHolder]
    rules: ClaimRules
    now: datetime
    #: False while the daemon starts or stops: nothing is claimed.
    claiming: bool
    #: State of every open run.
    states: Mapping[str, str]
    #: For who explains a wait: the boxes that share the log, where there are several.
    boxes: Sequence[SeenBox] = ()
    #: For the same: runs that have a slot of another box, each with the name of that.
    elsewhere: Sequence[tuple[Candidate, str]] = ()

    @cached_property
    def ordered(self) -> list[Candidate]:
        """Those that may have a slot, first to last: of many runs it is asked of one picture."""
        return in_order(self.candidates, self.rules, self.now)

    @cached_property
    def by_id(self) -> Mapping[str, Candidate]:
        """Who wants a slot."""
        return {candidate.run_id: candidate for candidate in self.candidates}


@dataclass(frozen=True, slots=True)
class Preemption:
    """The run `victim` gives its slot to the run `by`."""

    victim: str
    by: str


def choose_preemption(
    candidates: Sequence[Candidate],
    slot_holders: Sequence[SlotHolder],
    rules: ClaimRules,
    now: datetime,
) -> Preemption | None:
    """The next run to interrupt, if any: the least important one that helps, the latest of equals.

    Aging moves runs within the queue and is no reason to interrupt: the points compared are those
    that the runs were given.
    """
    staying = [holder for holder in slot_holders if not holder.leaving]
    victims = [holder.candidate for holder in staying if holder.preemptible]
    if not victims or not candidates:
        return None
    back = [holder.candidate for holder in slot_holders if holder.returning]
    queued = [*candidates, *back]
    held = Counter(holder.candidate.group for holder in staying)
    served = {w.run_id for w in grant(in_order(queued, rules, now), held, rules)}
    for victim in sorted(victims, key=lambda v: (v.priority, v.place), reverse=True):
        held[victim.group] -= 1
        for candidate in grant(in_order([*queued, victim], rules, now), held, rules):
            helped = candidate.run_id not in served
            if helped and may_preempt(candidate.priority, victim.priority):
                return Preemption(victim.run_id, candidate.run_id)
        held[victim.group] += 1
    return None
