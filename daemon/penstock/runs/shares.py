"""What the runs of one daemon share by name, beside its slots: places, and what is closed for a while.

Nothing of it outlives the daemon: whoever had a place is gone then, and what was closed is tried again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import trio


@dataclass(frozen=True, slots=True)
class Shares:
    """Places by name, made when they are first asked for; until when a name is closed to all."""

    _places: dict[str, trio.CapacityLimiter] = field(default_factory=dict)
    _closed: dict[str, datetime] = field(default_factory=dict)

    @asynccontextmanager
    async def place(
        self,
        name: str,
        most: int,
        parked: Callable[[], AbstractAsyncContextManager[None]],
    ) -> AsyncIterator[None]:
        """Have one of the `most` places of this name; while there is none, wait in a block of `parked`."""
        places = self._limiter(name, most)
        me = object()
        try:
            if places.available_tokens > 0:
                places.acquire_on_behalf_of_nowait(me)
                await trio.lowlevel.checkpoint()
            else:
                async with parked():
                    await places.acquire_on_behalf_of(me)
            yield
        finally:
            if me in places.statistics().borrowers:
                places.release_on_behalf_of(me)

    def _limiter(self, name: str, most: int) -> trio.CapacityLimiter:
        found = self._places.get(name)
        if found is None:
            found = self._places[name] = trio.CapacityLimiter(most)
        found.total_tokens = most
        return found

    def close(self, name: str, until: datetime) -> None:
        """Nobody is to use what is named so before this moment; the later one holds."""
        known = self._closed.get(name)
        if known is None or known < until:
            self._closed[name] = until

    def closed_until(self, name: str, now: datetime) -> datetime | None:
        """Until when it is closed; None: it is open."""
        until = self._closed.get(name)
        if until is not None and until <= now:
            del self._closed[name]
            return None
        return until
