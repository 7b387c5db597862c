"""The store port: what the recorder and the surfaces may ask of a store.

The writes of one `commit` share one transaction and are done in order. Whatever the recorder learns
of a commit it learns from the results, so that memory never knows more than the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from penstock.log.filters import RunFilter
from penstock.log.kept import (
    AskRow,
    Bounds,
    BoxRow,
    Forsaken,
    Opening,
    RunRow,
    ScheduleRow,
    TreeRun,
)
from penstock.log.results import Result
from penstock.log.writes import Write
from penstock.words.errors import PenstockError
from penstock.words.events import LARGEST_EVENT_BYTES
from penstock.words.recorded import Recorded
from penstock.words.surroundings import Surroundings

R = TypeVar("R", bound=Result)


class Sharing(Protocol):
    """A log that several daemons write, each from a box of its own, as one of them sees it.

    It is taken to be there for `lease_seconds` after each commit. With none for so long it writes nothing
    more (LeaseLost), and others speak for its runs.
    """

    #: What this daemon's box is called, and how long it is taken to be there without a word.
    box: str
    lease_seconds: float

    @property
    def amiss(self) -> str | None:
        """What is wrong with the server, as of the last look at leases: it does not keep what it acknowledges."""
        ...

    async def wait_written(self, seconds: float) -> bool:
        """Wait until another daemon may have written, but no longer; a hint, which may come for nothing.

        False: nothing could be heard, since the server is away, or was.
        """
        ...

    async def forsaken(self) -> Forsaken:
        """Whose lease is over, and what nobody executes any more that the log says is executed."""
        ...


class Store(Protocol):
    """One log, one queue, one set of guards, because they must commit together."""

    #: Id of the log, made with it.
    epoch: str

    @property
    def sharing(self) -> Sharing | None:
        """None: no other daemon writes this log."""
        ...

    @property
    def damage(self) -> str | None:
        """What was found damaged in the log so far, in one sentence; None: nothing."""
        ...

    async def commit(self, batch: Sequence[Write[R]]) -> list[R | PenstockError]:
        """Do all writes in order, in one transaction; a refused one is answered by its error.

        StoreUnavailable: result unknown, nothing was published, try the same batch again.
        StoreAway: the same, and nothing was written. StoreBroken: stop using the store. LogDamaged:
        a write met damage, nothing was written. An empty batch asks whether it takes
        writes, as large as those that it did not take before.
        """
        ...

    async def recall(self, head: int) -> list[Result | PenstockError] | None:
        """What became of the commit that got no answer: its results if it was done; None if it was not.

        Or if the last one was answered. `head` is the position of the newest fact that is known.
        StoreBroken if it was done, and what it did cannot be learned.
        """
        ...

    async def read(
        self,
        run_id: str,
        after: int = 0,
        limit: int = 500,
        *,
        max_bytes: int = LARGEST_EVENT_BYTES,
        types: frozenset[str] | None = None,
    ) -> list[Recorded]:
        """The run's facts with a position above `after`, in order; [] for an unknown run.

        At most `limit` facts and, beyond the first, `max_bytes` of bodies.
        """
        ...

    async def read_all(
        self, after: int = 0, limit: int = 500, *, max_bytes: int = LARGEST_EVENT_BYTES
    ) -> list[Recorded]:
        """Every stream's facts with a position above `after`, in order; bounds as in `read`."""
        ...

    async def run(self, run_id: str) -> RunRow | None: ...

    async def runs(self, wanted: RunFilter) -> list[RunRow]:
        """Newest first."""
        ...

    async def place_of(self, before: int | None, count: int) -> int | None:
        """The place of the run that is `count` older than the newest below `before`; None: none is."""
        ...

    async def opening(self) -> Opening:
        """What a start must know, as of one moment."""
        ...

    async def open_runs(self) -> list[RunRow]:
        """Every run that has not ended and whose row can be read, by place.

        Of any other nothing is recorded any more (LogDamaged); `damage` tells of it.
        """
        ...

    async def lose(self, run_id: str) -> None:
        """Take an open run for one whose row cannot be read, since its facts cannot."""
        ...

    async def tree(self, run_id: str) -> list[TreeRun]:
        """The run first, then what matters of all runs below it; [] for an unknown run.

        Of ended ones below only those whose end keeps a receipt: a loop may have had a thousand turns.
        """
        ...

    async def surroundings(self, run_id: str) -> Surroundings | None:
        """What the run's caller gave its programs; None if nothing. For the run alone."""
        ...

    async def asks(
        self, run_id: str | None = None, *, only_open: bool = True
    ) -> list[AskRow]: ...

    async def paused(self) -> Mapping[str | None, str]:
        """Paused groups and why; the key None is the whole queue."""
        ...

    async def draining(self) -> Mapping[str | None, str]:
        """Groups that take no new runs, and the box where that was said; the key None is the whole queue."""
        ...

    async def drained(self) -> frozenset[str]:
        """Boxes that start nothing more until they are resumed."""
        ...

    async def dismissed(self) -> Sequence[str]:
        """Runs whose failures somebody has seen, the newest `MOST_DISMISSED` of them, the newest last."""
        ...

    async def slots(self) -> Mapping[str | None, int]:
        """Slots that were given at run time; the key None is the whole queue."""
        ...

    async def box_slots(self) -> Mapping[str, int]:
        """Slots of the queue that were given to a box of several at run time."""
        ...

    async def schedules(self) -> list[ScheduleRow]:
        """All schedules, by name."""
        ...

    async def boxes(self) -> list[BoxRow]:
        """The boxes that write the log, by name; [] of a log that one daemon alone writes."""
        ...

    async def bounds(self) -> Bounds: ...

    async def size(self) -> int:
        """Bytes the log takes on disk, without pages that are free for reuse."""
        ...

    async def aclose(self) -> None: ...
