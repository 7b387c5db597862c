"""Which running run gives its slot to which waiting one. Values in, values out.

The decision asks what the next claim would do: a run is interrupted only if the slot it leaves then
goes to a run that is important enough. So nobody is interrupted twice for one waiting run, for a run
that could not start, or for one that stands behind the interrupted run itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from penstock.runs.line import Rules, Waiter, grant, in_order
from penstock.words.priority import may_preempt


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
