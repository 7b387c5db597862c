"""What travels between the bus and its subscribers, and what is told of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from penstock.envelope import Recorded
from penstock.errors import PenstockError
from penstock.record.store import RunRow

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
    """What a subscriber gets at once; `live`: nothing recorded so far is still to come."""

    facts: tuple[Recorded, ...] = ()
    gap: Gap | None = None
    live: bool = False
    _joined: list[str] = field(default_factory=list, repr=False, compare=False)

    def joined(self) -> str:
        """The facts' envelopes with commas between; put together once for all who got the same."""
        if not self._joined:
            self._joined.append(b",".join(fact.wire() for fact in self.facts).decode())
        return self._joined[0]


class Page(NamedTuple):
    """The next facts of the ring for a reader, and its cursor after them."""

    facts: tuple[Recorded, ...]
    cursor: int
    joined: list[str]


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
