"""Retention: forgetting ended runs by age, number and size, and watching the free disk.

A clock that is 400 days ahead for a minute must not make everything old. So two things bound the
time that ages are counted from: it is never later than the newest fact there was at the start plus
the time since, which a clock that only counts seconds tells; and there is none while the time of day
and that clock disagree.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import trio

from penstock.log.bus import Bus
from penstock.log.recorder import Recorder
from penstock.log.results import Pruned
from penstock.log.store import Store
from penstock.log.writes import Prune
from penstock.runs.folders import FolderLocks
from penstock.words.config import MIB, Config
from penstock.words.errors import LogDamaged

#: Seconds by which the two clocks may part between two looks; a slewed clock stays far below.
TOLERANCE_SECONDS = 30.0
#: Seconds after which a step of the time of day counts as its being put right.
SETTLE_SECONDS = 3600.0

log = logging.getLogger("penstock.retention")

#: Seconds between two rounds: what is kept is bounded by age in days and by number in thousands.
ROUND_SECONDS = 60.0

#: Seconds between two looks at the free disk; a run writes no faster than the disk takes it.
DISK_SECONDS = 5.0

#: Runs forgotten in one commit, so that none is long.
COMMIT_RUNS = 100

#: Damaged runs that one life passes over: more of them are a log to put back.
MOST_DAMAGED = 100

#: Sentences about folders and damage that one life tells; more would fill its log.
MOST_TOLD = 1000

#: Facts at the end of a log that may be damaged until its age is unknown.
DAMAGED_FACTS = 100


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


@dataclass(eq=False, slots=True)
class PruneRound:
    """What one round, or several, came to."""

    #: The ids of the runs that were forgotten.
    forgotten: list[str] = field(default_factory=list)
    #: Whether there are more to forget.
    more: bool = True
    #: Forgotten runs whose folders could not be removed, of earlier rounds too.
    left: list[str] = field(default_factory=list)
    #: Runs that were not forgotten, since the log is damaged under them.
    damaged: list[str] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Pruning:
    """Forgets runs and removes their folders, the same for the daemon and for `penstock prune`.

    `commit` commits one write. The log remembers whose folders are still to be removed, so a folder
    that cannot be is tried again by every later round, of whatever process.

    What stands in the way is told by `tell`, each thing once, and ends nothing.
    """

    config: Config
    commit: Callable[[Prune], Awaitable[Pruned]]
    remove_folder: Callable[[Path], Awaitable[None]]
    workspace_of: Callable[[str], Path]
    tell: Callable[[str], None] = log.warning
    #: Whether there is a run of this id again.
    is_taken: Callable[[str], bool] = lambda _run_id: False
    folders: FolderLocks = field(default_factory=FolderLocks)
    _told: set[str] = field(default_factory=set)
    #: Runs that cannot be forgotten, since the log is damaged under them.
    _damaged: set[str] = field(default_factory=set)
    #: What else cannot be forgotten, in words.
    _damaged_beside: set[str] = field(default_factory=set)

    async def round(
        self, reference: datetime, *, older_than: float | None, keep: int | None
    ) -> PruneRound:
        """Forget at most `prune_runs` runs, and try all folders that were left.

        `reference` is the time that ages are counted from; `older_than` in seconds and `keep` in
        runs replace the configured limits.
        """
        done, removed = PruneRound(), list[str]()
        tried: dict[str, bool] = {}
        while done.more and (rest := self.config.prune_runs - len(done.forgotten)):
            write = self._next_write(
                reference, older_than, keep, min(rest, COMMIT_RUNS), removed
            )
            pruned = await self._commit_past_damage(write)
            # A folder is tried once a round. Of those just forgotten the log may keep some only.
            fresh = {*pruned.folders, *pruned.runs} - tried.keys()
            for run_id in sorted(fresh):
                tried[run_id] = await self._remove(run_id)
            removed = [run_id for run_id in fresh if tried[run_id]]
            done.forgotten += pruned.runs
            done.damaged = list(pruned.damaged)
            done.more = pruned.more
        if removed:
            write = self._next_write(reference, older_than, keep, 0, removed)
            await self._commit_past_damage(write)
        done.left = sorted(run_id for run_id, gone in tried.items() if not gone)
        self._tell_of(done)
        return done

    async def _commit_past_damage(self, write: Prune) -> Pruned:
        """Commit it without the runs that are damaged. LogDamaged where none can be named.

        One page that a disk lost must not keep all that ended after it for ever.
        """
        while True:
            try:
                return await self.commit(
                    replace(
                        write,
                        skip=frozenset(self._damaged),
                        skip_beside=frozenset(self._damaged_beside),
                    )
                )
            except LogDamaged as error:
                beside = error.facts.get("beside")
                if isinstance(beside, str) and beside not in self._damaged_beside:
                    self._damaged_beside.add(beside)
                    continue
                run_id = error.facts.get("run_id")
                if not isinstance(run_id, str) or run_id in self._damaged:
                    raise
                if len(self._damaged) == MOST_DAMAGED:
                    raise
                self._damaged.add(run_id)

    async def _remove(self, run_id: str) -> bool:
        """Whether the run's folder is gone, or is that of another run by now."""
        folder = self.workspace_of(run_id)
        try:
            async with self.folders.alone(run_id):
                if not self.is_taken(run_id):
                    await self.remove_folder(folder)
        # Whatever keeps one folder must keep neither the round from going on nor the daemon.
        except Exception as error:  # noqa: BLE001
            self._tell_once(f"the folder {folder} of a forgotten run is left: {error}")
            return False
        return True

    def _tell_of(self, done: PruneRound) -> None:
        for run_id in done.damaged:
            self._tell_once(
                f"{run_id} is not forgotten: the log is damaged under it, and"
                " `penstock audit` says where"
            )
        for beside in sorted(self._damaged_beside):
            self._tell_once(
                f"{beside} are kept: the log is damaged under them, and `penstock audit` says where"
            )
        if done.forgotten:
            rest_told = ", and more are to follow" if done.more else ""
            log.info("%d ended runs were forgotten%s", len(done.forgotten), rest_told)

    def _tell_once(self, sentence: str) -> None:
        if sentence not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(sentence)
            self.tell(sentence)

    def _next_write(
        self,
        reference: datetime,
        older_than: float | None,
        keep: int | None,
        limit: int,
        removed: Sequence[str],
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
            removed=tuple(removed),
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
    #: Whether a run of this id is open.
    is_open: Callable[[str], bool]
    folders: FolderLocks
    free: int | None = None
    _ages: AgeClock = field(init=False)
    _pruning: Pruning = field(init=False)

    def __post_init__(self) -> None:
        self._ages = begin_ages(None, self._moment())
        self._pruning = Pruning(
            self.config,
            self._record,
            self.remove_folder,
            self.workspace_of,
            is_taken=self.is_open,
            folders=self.folders,
        )

    async def _record(self, write: Prune) -> Pruned:
        # Where boxes share the log: what somebody has locked, or does not let go, must hold up no box's writes.
        apart = self.store.sharing is not None
        return await self.recorder.record(write, apart=apart)

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


async def newest_fact_at(store: Store) -> datetime | None:
    """When the newest fact of the log was recorded; None if it holds none.

    Facts at the end that are damaged are passed over. LogDamaged if there are too many of them.
    """
    head = (await store.bounds()).head
    for back in range(1, DAMAGED_FACTS + 1):
        try:
            facts = await store.read_all(max(head - back, 0), 1)
        except LogDamaged:
            if back in (head, DAMAGED_FACTS):
                raise
        else:
            return facts[-1].at if facts else None
    return None
