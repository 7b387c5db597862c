"""Who makes or removes the folder of a run does it alone.

An id may be taken anew the moment its run is forgotten, while the old folder is still being removed:
what the new run has put there must not go with it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import trio


@dataclass(frozen=True, slots=True)
class FolderLocks:
    """A lock for each folder that somebody is at; none for all others."""

    _locks: WeakValueDictionary[str, trio.Lock] = field(
        default_factory=WeakValueDictionary
    )

    @asynccontextmanager
    async def alone(self, run_id: str) -> AsyncIterator[None]:
        """Nobody else makes or removes the folder of this run meanwhile."""
        lock = self._locks.setdefault(run_id, trio.Lock())
        async with lock:
            yield
