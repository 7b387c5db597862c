"""How old something is, on a machine whose clock may be wrong.

A clock that is 400 days ahead for a minute must not make everything old. So two things bound the
time that ages are counted from: it is never later than the newest fact there was at the start plus
the time since, which a clock that only counts seconds tells; and there is none while the time of day
and that clock disagree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

#: Seconds by which the two clocks may part between two looks; a slewed clock stays far below.
TOLERANCE_SECONDS = 30.0
#: Seconds after which a step of the time of day counts as its being put right.
SETTLE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Moment:
    """One look at both clocks: the time of day, and seconds that never go back."""

    wall: datetime
    steady: float

    def parted(self, other: Moment) -> float:
        """Seconds by which the time of day went another way than the seconds since `other`."""
        went = (self.wall - other.wall).total_seconds()
        return abs(went - (self.steady - other.steady))


@dataclass(frozen=True, slots=True)
class AgeClock:
    """What ages are counted from. `newest` is the time of the newest fact at the start."""

    newest: datetime
    start: Moment
    #: The last look at which the clocks agreed.
    agreed: Moment
    #: The first look at the step that is not believed yet.
    step: Moment | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether the clocks disagree now: then nothing has an age."""
        return self.step is not None

    def look(self, now: Moment) -> AgeClock:
        """The clock after one more look."""
        if now.parted(self.agreed) <= TOLERANCE_SECONDS:
            return replace(self, agreed=now, step=None)
        if self.step is None or now.parted(self.step) > TOLERANCE_SECONDS:
            return replace(self, step=now)
        if now.steady - self.step.steady >= SETTLE_SECONDS:
            return replace(self, agreed=now, step=None)
        return self

    def reference(self) -> datetime | None:
        """The time that ages are counted from at the last look; None while the clocks disagree."""
        if self.in_doubt:
            return None
        passed = timedelta(seconds=self.agreed.steady - self.start.steady)
        return min(self.agreed.wall, self.newest + passed)


def begin_ages(newest: datetime | None, now: Moment) -> AgeClock:
    """The clock of a life that begins now; without any fact, its beginning is the newest."""
    return AgeClock(now.wall if newest is None else newest, now, now)
