"""Retention: forgetting ended runs by age, number and size, and watching the free disk."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import trio

from penstock.log.bus import Bus
from penstock.log.recorder import Recorder
from penstock.log.store import Store
from penstock.log.writes import Prune
from penstock.words.config import MIB, Config
from penstock.words.errors import PenstockError

log = logging.getLogger("penstock.retention")

#: Seconds between two rounds: what is kept is bounded by age in days and by number in thousands.
ROUND_SECONDS = 60.0
#: Seconds between two looks at the free disk; a run writes no faster than the disk takes it.
DISK_SECONDS = 5.0


@dataclass(eq=False, slots=True)
class Retention:
    """See the module's text. `free_bytes` tells the free disk where the log stands."""

    config: Config
    store: Store
    recorder: Recorder
    bus: Bus
    now: Callable[[], datetime]
    free_bytes: Callable[[], Awaitable[int]]
    remove_folder: Callable[[Path], Awaitable[None]]
    workspace_of: Callable[[str], Path]
    free: int | None = None

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
        """The task that forgets what need not be kept; until cancelled."""
        while True:
            await trio.sleep(ROUND_SECONDS)
            try:
                await self.prune()
            except PenstockError as error:
                log.warning("ended runs were not pruned: %s", error)

    async def prune(
        self, *, older_than: float | None = None, keep: int | None = None
    ) -> list[str]:
        """Forget what the limits do not keep; the run ids forgotten.

        `older_than` in seconds and `keep` in runs replace the configured limits for this round.
        """
        forgotten: list[str] = []
        more = True
        while more:
            outcome: Any = await self.recorder.record(self._decision(older_than, keep))
            for run_id in outcome.runs:
                await self.remove_folder(self.workspace_of(run_id))
            forgotten += outcome.runs
            more = outcome.more
        if forgotten:
            self.bus.forget_below((await self.store.bounds()).floor)
        return forgotten

    def _decision(self, older_than: float | None, keep: int | None) -> Prune:
        config, now = self.config, self.now()
        age = config.retention_seconds if older_than is None else older_than
        return Prune(
            before=now - timedelta(seconds=age),
            keep=config.retention_runs if keep is None else keep,
            max_bytes=config.max_store_bytes,
            tombstones_before=now - timedelta(seconds=config.tombstone_seconds),
            max_tombstones=config.max_tombstones,
        )
