"""Notes: facts about the daemon of which only the newest of each kind is worth recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from penstock.words.events import AnyEvent


@dataclass(eq=False, slots=True)
class Notes:
    """Holds back what comes too fast. `note` never waits; the newest of a key wins."""

    #: Seconds between two notes of one key.
    interval: float
    #: Queues one for the next commit.
    enter: Callable[[AnyEvent], None]
    _newest: dict[str, AnyEvent] = field(default_factory=dict)
    _noted: trio.Event = field(default_factory=trio.Event)

    def note(self, key: str, event: AnyEvent) -> None:
        """Record `event` unless another of its key comes before it can be."""
        self._newest[key] = event
        self._noted.set()

    async def write(self) -> None:
        """The task that enters them; until cancelled."""
        while True:
            await self._noted.wait()
            self._noted = trio.Event()
            newest, self._newest = self._newest, {}
            for event in newest.values():
                self.enter(event)
            await trio.sleep(self.interval)
