"""Rows of boxes as a log's server would tell them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import trio

from penstock import __version__
from penstock.log.kept import BoxRow, Forsaken
from penstock.log.sqlite.store import SqliteStore
from penstock.log.store import Sharing
from penstock.testing.faulty_store import FaultyStore


@dataclass
class FreshLease:
    """A lease of two minutes that was renewed a second ago, but for 15 s that an end may take."""

    usable: float = 105.0

    def left(self) -> float:
        """Seconds."""
        return self.usable - 1


def box_row(box: str, **others: Any) -> BoxRow:
    """A box that renewed its lease of two minutes a second ago."""
    told: dict[str, Any] = {
        "machine": f"machine of {box}", "life": f"life of {box}", "state": "here", "silent_seconds": 1.0,
        "lease_seconds": 120.0, "slots": 4, "labels": {}, "accept": "self", "version": __version__,
    }  # fmt: skip
    told |= others
    told.setdefault("lease_left", told["lease_seconds"] - told["silent_seconds"])
    return BoxRow(box=box, **told)


#: The one that a test asks, one with a label, and one that is lost.
LOFT = box_row("loft")
ATTIC = box_row("attic", labels={"gpu": "1"}, accept="team", slots=2)
CELLAR = box_row("cellar", state="lost", silent_seconds=130.0)


@dataclass(eq=False, slots=True)
class QuietSharing:
    """Others may write the log, and none does."""

    box: str
    lease_seconds: float = 120.0
    amiss: str | None = None

    async def wait_written(self, seconds: float) -> bool:
        await trio.sleep(seconds)
        return True

    async def forsaken(self) -> Forsaken:
        await trio.lowlevel.checkpoint()
        return Forsaken((), frozenset())


class SharedStore(FaultyStore):
    """A store as a daemon of this box sees it that shares its log with these others."""

    def __init__(
        self, store: SqliteStore, box: str, rows: Sequence[BoxRow] = ()
    ) -> None:
        super().__init__(store)
        self._sharing, self._rows = QuietSharing(box), rows

    @property
    def sharing(self) -> Sharing:
        return self._sharing

    async def boxes(self) -> list[BoxRow]:
        return list(self._rows)
