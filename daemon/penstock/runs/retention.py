"""Retention: forgetting ended runs by age, number and size, and watching the free disk."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import trio

from penstock.log.bus import Bus
from penstock.log.recorder import Recorder
from penstock.log.store import Store
from penstock.log.writes import Prune, Pruned
from penstock.runs.ages import AgeClock, Moment, begin_ages
from penstock.words.config import MIB, Config

log = logging.getLogger("penstock.retention")

#: Seconds between two rounds: what is kept is bounded by age in days and by number in thousands.
ROUND_SECONDS = 60.0
#: Seconds between two looks at the free disk; a run writes no faster than the disk takes it.
DISK_SECONDS = 5.0
#: Runs forgotten in one commit, so that none is long.
COMMIT_RUNS = 100
#: Folders that could not be removed and are tried again each round; more are told and left.
MOST_LEFT = 1000


@dataclass(eq=False, slots=True)
class Pruning:
    """One round of forgetting, the same for the daemon and for `penstock prune`.

    `commit` commits one write.
    """

    config: Config
    commit: Callable[[Prune], Awaitable[Pruned]]
    remove_folder: Callable[[Path], Awaitable[None]]
    workspace_of: Callable[[str], Path]
    #: The folders that could not be removed; each is told once.
    left: set[Path] = field(default_factory=set)

    async def round(
        self, reference: datetime, *, older_than: float | None, keep: int | None
    ) -> tuple[list[str], bool]:
        """Forget at most `prune_runs` runs: their ids, and whether there are more to forget.

        `reference` is the time that ages are counted from; `older_than` in seconds and `keep` in
        runs replace the configured limits. A folder that cannot be removed is told and left.
        """
        forgotten: list[str] = []
        more = True
        for folder in sorted(self.left):
            await self._remove(folder)
        while more and (rest := self.config.prune_runs - len(forgotten)):
            limit = min(rest, COMMIT_RUNS)
            pruned = await self.commit(
                self._next_write(reference, older_than, keep, limit)
            )
            for run_id in pruned.runs:
                await self._remove(self.workspace_of(run_id))
            forgotten += pruned.runs
            more = pruned.more
        if forgotten:
            rest_told = ", and more are to follow" if more else ""
            log.info("%d ended runs were forgotten%s", len(forgotten), rest_told)
        return forgotten, more

    async def _remove(self, folder: Path) -> None:
        try:
            await self.remove_folder(folder)
            self.left.discard(folder)
        # Whatever keeps one folder must keep neither the round from going on nor the daemon.
        except Exception as error:  # noqa: BLE001
            if folder in self.left:
                return
            log.warning("the folder %s of a forgotten run is left: %s", folder, error)
            if len(self.left) < MOST_LEFT:
                self.left.add(folder)

    def _next_write(
        self,
        reference: datetime,
        older_than: float | None,
        keep: int | None,
        limit: int,
    ) -> Prune:
        config = self.config
        age = config.retention_seconds if older_than is None else older_than
        return Prune(
            before=reference - timedelta(seconds=age),
            keep=config.retention_runs if keep is None else keep,
            max_bytes=config.max_store_bytes,
            tombstones_before=reference - timedelta(seconds=config.tombstone_seconds),
            max_tombstones=config.max_tombstones,
            limit=limit,
        )


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
        forgotten, _ = await self._pruning.round(
            reference, older_than=older_than, keep=keep
        )
        if forgotten:
            self.bus.forget_below((await self.store.bounds()).floor)
        return forgotten

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


async def newest_fact_at(store: Store) -> datetime | None:
    """When the newest fact of the log was recorded; None if it holds none."""
    bounds = await store.bounds()
    facts = await store.read_all(max(bounds.head, 1) - 1, 1)
    return facts[-1].at if facts else None
