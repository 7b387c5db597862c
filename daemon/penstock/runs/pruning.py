"""Forgetting ended runs: one round, the same for the daemon and for `penstock prune`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from penstock.log.store import Store
from penstock.log.writes import Prune, Pruned
from penstock.words.config import Config

log = logging.getLogger("penstock.retention")

#: Runs forgotten in one commit, so that none is long.
COMMIT_RUNS = 100
#: Folders that could not be removed and are tried again each round; more are told and left.
MOST_LEFT = 1000


@dataclass(eq=False, slots=True)
class Pruning:
    """Forgets runs and removes their folders. `commit` commits one write."""

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


async def newest_fact_at(store: Store) -> datetime | None:
    """When the newest fact of the log was recorded; None if it holds none."""
    bounds = await store.bounds()
    facts = await store.read_all(max(bounds.head, 1) - 1, 1)
    return facts[-1].at if facts else None
