"""The boxes that share the log: what its server knows of each, and how much executes there."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from penstock.log.kept import BoxRow
from penstock.log.projections import RunView
from penstock.log.recorder import Recorder
from penstock.log.store import Store
from penstock.log.writes import ForgetBox
from penstock.runs.table import RunTable
from penstock.runs.whereabouts import SeenBox
from penstock.words.box_standing import (
    BoxStanding,
    loss_line,
    newest_of,
    standing_of,
)
from penstock.words.errors import Conflict, StoreUnavailable
from penstock.words.lifecycle import SLOT_STATES
from penstock.words.placement import own_labels, place_of
from penstock.words.values import format_time

log = logging.getLogger("penstock.boxes")

#: Seconds for which a lost box is something to complain of; one that stays away is off by then.
LOSS_TOLD = 86_400.0


@dataclass(frozen=True, slots=True)
class KnownBox:
    """A box that shares the log, and how it stands; seconds are by the clock of the log's server."""

    box: str
    standing: BoxStanding
    #: Whether it is this daemon's.
    own: bool
    running: int
    slots: int
    labels: Mapping[str, str]
    accept: str
    version: str
    #: The start of its daemon that was seen last.
    life: str
    seen_at: datetime
    silent_seconds: float
    #: None of both: one daemon alone writes the log.
    lease_seconds: float | None
    lease_left: float | None

    def to_json(self) -> dict[str, Any]:
        """As every surface tells it."""
        told = asdict(self)
        return told | {
            "labels": dict(self.labels),
            "seen_at": format_time(self.seen_at),
        }


@dataclass(eq=False, slots=True)
class Boxes:
    """Asks the store for boxes; where one daemon alone writes the log, its own is all there is."""

    store: Store
    table: RunTable
    recorder: Recorder
    version: str
    now: Callable[[], datetime]
    #: As they were told last; empty before anybody asked.
    last: Sequence[KnownBox] = ()
    #: Why what boxes that are lost left cannot be recorded, as health tells it; None: it can.
    left: str | None = None

    def note_left(self, why: StoreUnavailable | None) -> None:
        """Have it told: by health until it is over, and in the daemon's log when it changes."""
        left = None
        if why is not None:
            code = why.facts.get("code", "")
            left = f"what lost boxes left is not taken over{code and f' ({code})'}"
        if left != self.left:
            log.warning("%s", why or "what lost boxes left is taken over again")
        self.left = left

    @property
    def own(self) -> str:
        """The box of this daemon."""
        return self.table.host

    async def told(self) -> Sequence[KnownBox]:
        """All boxes by name, as surfaces tell them. StoreUnavailable."""
        rows = await self.store.boxes() or [self._alone()]
        drained = self.table.drained
        self.last = tell_boxes(
            [
                replace(
                    row,
                    draining=row.box in drained,
                    slots=self.table.box_slots.get(row.box, row.slots),
                )
                for row in rows
            ],
            own=self.own,
            running=running_by_box(self.table.views.values(), self.own),
            own_slots=self.table.slots,
            now=self.now(),
        )
        return self.last

    async def seen(self) -> Sequence[SeenBox]:
        """The same for who explains why runs wait; none where no other box shares the log.

        As they were told last where the log's server does not answer.
        """
        if not self.table.place.shared:
            return ()
        told = self.last
        with suppress(StoreUnavailable):
            told = await self.told()
        return [
            SeenBox(
                place_of(b.box, b.labels, team=b.accept == "team", shared=True),
                b.standing,
                b.silent_seconds,
                full=b.running >= b.slots,
            )
            for b in told
        ]

    async def names(self) -> frozenset[str]:
        """What the boxes are called. StoreUnavailable."""
        return frozenset(box.box for box in await self.told())

    async def forget(self, box: str) -> Sequence[KnownBox]:
        """Tell of a box no more until it comes back; those that are left. NotFound, Conflict, StoreUnavailable."""
        if not self.table.place.shared:
            raise Conflict("this log is shared by no boxes")
        write = ForgetBox(box, self.now(), self.own)
        # Who asks hears at once that it is not taken, and nobody else's writes wait with it.
        await self.recorder.record(write, apart=True)
        return await self.told()

    def _alone(self) -> BoxRow:
        return BoxRow(
            box=self.own,
            machine="",
            life=self.table.life,
            state="here",
            silent_seconds=0.0,
            lease_left=0.0,
            lease_seconds=0.0,
            slots=self.table.slots,
            labels=own_labels(self.table.place),
            accept="",
            version=self.version,
        )


def running_by_box(views: Iterable[RunView], own: str) -> Counter[str]:
    """How many runs hold a slot, by box. A run of an older log names none, and is this one's."""
    return Counter(view.box or own for view in views if view.state in SLOT_STATES)


def tell_boxes(
    rows: Sequence[BoxRow],
    *,
    own: str,
    running: Mapping[str, int],
    own_slots: int,
    now: datetime,
) -> list[KnownBox]:
    """Rows of boxes as surfaces tell them. One that needs no lease is always well."""
    newest = newest_of(row.version for row in rows if row.state == "here")
    return [
        KnownBox(
            box=row.box,
            standing=_standing(row, newest),
            own=row.box == own,
            running=running.get(row.box, 0),
            # Its row tells those of its last commit.
            slots=own_slots if row.box == own else row.slots,
            labels=dict(row.labels),
            accept=row.accept,
            version=row.version,
            life=row.life,
            seen_at=now - timedelta(seconds=row.silent_seconds),
            silent_seconds=row.silent_seconds,
            lease_seconds=row.lease_seconds or None,
            lease_left=row.lease_left if row.lease_seconds else None,
        )
        for row in rows
    ]


def _standing(row: BoxRow, newest: str) -> BoxStanding:
    if not row.lease_seconds:
        return "draining" if row.draining else "ok"
    return standing_of(
        row.state,
        silent_seconds=row.silent_seconds,
        lease_left=row.lease_left,
        lease_seconds=row.lease_seconds,
        draining=row.draining,
        version=row.version,
        newest=newest,
    )


def losses(boxes: Sequence[KnownBox]) -> list[str]:
    """A sentence for each box that was lost not long ago."""
    return [
        loss_line(box.box, box.silent_seconds)
        for box in boxes
        if box.standing == "lost" and box.silent_seconds < LOSS_TOLD
    ]
