"""Retention: forgetting ended runs by age, number and size, and watching the free disk."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import trio

from penstock.log.bus import Bus
from penstock.log.recorder import Recorder
from penstock.log.store import Store
from penstock.runs.ages import AgeClock, Moment, begin_ages
from penstock.runs.pruning import Pruning, newest_fact_at
from penstock.words.config import MIB, Config

log = logging.getLogger("penstock.retention")

#: Seconds between two rounds: what is kept is bounded by age in days and by number in thousands.
ROUND_SECONDS = 60.0
#: Seconds between two looks at the free disk; a run writes no faster than the disk takes it.
DISK_SECONDS = 5.0


@dataclass(eq=False, slots=True)
class Retention:
    """Forgets ended runs, and refuses new ones for want of disk; its two tasks are the caller's to run."""

    config: Config
    store: Store
    recorder: Recorder
    bus: Bus
    now: Callable[[], datetime]
    #: Seconds that never go back and go on while the machine sleeps.
    steady: Callable[[], float]
    #: The free disk where the log stands.
    free_bytes: Callable[[], Awaitable[int]]
    remove_folder: Callable[[Path], Awaitable[None]]
    workspace_of: Callable[[str], Path]
    free: int | None = None
    _ages: AgeClock = field(init=False)
    _pruning: Pruning = field(init=False)

    def __post_init__(self) -> None:
        self._ages = begin_ages(None, self._moment())
        self._pruning = Pruning(
            self.config, self.recorder.record, self.remove_folder, self.workspace_of
        )

    async def begin(self) -> None:
        """Learn how old the log is, before this life writes anything into it."""
        newest = await newest_fact_at(self.store)
        self._ages = begin_ages(newest, self._moment())

    def obstacle(self) -> str | None:
        """Why new runs are refused: too little free disk to record running ones to their end."""
        if self.free is None or self.free >= self.config.min_free_bytes:
            return None
        return (
            f"only {self.free // MIB} MiB of disk are free, and"
            f" {self.config.min_free_bytes // MIB} MiB are kept for running runs"
        )

    async def watch_disk(self) -> None:
        """The task that looks at the free disk; until cancelled."""
        while True:
            try:
                self.free = await self.free_bytes()
            except OSError as error:
                log.warning("the free disk cannot be read: %s", error)
            await trio.sleep(DISK_SECONDS)

    async def prune_regularly(self) -> None:
        """The task that forgets what need not be kept, a round at a time; until cancelled."""
        while True:
            await trio.sleep(ROUND_SECONDS)
            await self.prune()

    async def prune(
        self, *, older_than: float | None = None, keep: int | None = None
    ) -> list[str]:
        """One round: forget what the limits do not keep; the run ids forgotten.

        `older_than` in seconds and `keep` in runs replace the configured limits for this round.
        Nothing is forgotten while it is in doubt how late it is.
        """
        if (reference := self._look()) is None:
            await trio.lowlevel.checkpoint()
            return []
        done = await self._pruning.round(reference, older_than=older_than, keep=keep)
        if done.forgotten:
            self.bus.forget_below((await self.store.bounds()).floor)
        return done.forgotten

    def _look(self) -> datetime | None:
        """The time that ages are counted from; None, and said so once, while it is in doubt."""
        before = self._ages.in_doubt
        self._ages = self._ages.look(self._moment())
        if self._ages.in_doubt and not before:
            log.warning("the time of day has jumped; no run is forgotten for now")
        if before and not self._ages.in_doubt:
            log.info("the time of day is believed again")
        return self._ages.reference()

    def _moment(self) -> Moment:
        return Moment(self.now(), self.steady())
