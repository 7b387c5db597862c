"""What travels between the bus and its subscribers, and what is told of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from penstock.record.stored import RunRow
from penstock.words.errors import PenstockError
from penstock.words.events import TERMINAL_TYPES
from penstock.words.recorded import Recorded

Overflow = Literal["catch_up", "drop_oldest", "disconnect"]


class Lagged(PenstockError):
    """The subscriber fell behind the ring, and its policy is to be disconnected."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Positions `first` to `last` were not delivered."""

    first: int
    last: int

    @property
    def count(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Batch:
    """What a subscriber gets at once; readers that stand at the same place get the same one.

    `live`: nothing recorded so far is still to come; `last`: the run's end is in it.
    """

    facts: tuple[Recorded, ...] = ()
    gap: Gap | None = None
    live: bool = False
    last: bool = False
    _written: dict[Callable[[tuple[Recorded, ...]], bytes], bytes] = field(
        default_factory=dict, repr=False, compare=False
    )

    def written(self, write: Callable[[tuple[Recorded, ...]], bytes]) -> bytes:
        """What `write` makes of the facts; it is called once for all who got this batch.

        `write` is remembered with the batch, so it must be a function of a module.
        """
        data = self._written.get(write)
        if data is None:
            data = self._written[write] = write(self.facts)
        return data


def batch_of(facts: tuple[Recorded, ...], run_id: str | None, *, live: bool) -> Batch:
    """Facts for the readers of a run, or of all runs for None; after a run's end nothing comes."""
    last = run_id is not None and facts[-1].type in TERMINAL_TYPES
    return Batch(facts, None, live or last, last)


class Page(NamedTuple):
    """The next facts of the ring for a reader, None if none is for it, and its cursor after them."""

    batch: Batch | None
    cursor: int


@dataclass(frozen=True, slots=True)
class SubscriberStatistics:
    """One subscriber as `GET /clients` shows it; `lag` in positions."""

    name: str
    kind: str
    run_id: str | None
    cursor: int
    lag: int
    overflow: Overflow
    dropped: int
    since: datetime


@dataclass(frozen=True, slots=True)
class BusStatistics:
    """How full the ring is, and who reads it."""

    head: int
    ring_events: int
    ring_bytes: int
    subscribers: int
    #: Facts that all subscribers together were let miss so far.
    dropped: int


class History(Protocol):
    """What the bus reads of the store."""

    async def read(
        self, run_id: str, after: int, limit: int, *, max_bytes: int
    ) -> list[Recorded]: ...

    async def read_all(
        self, after: int, limit: int, *, max_bytes: int
    ) -> list[Recorded]: ...

    async def run(self, run_id: str) -> RunRow | None: ...
