"""Waking the recorder when a run's time has come: a claim is made by a batch, and none may come.

The time of day is looked at again and again, since it may be set forwards or back, and stands on while
the machine sleeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import trio

#: Seconds between two looks at the time of day while something is to come: so late it is at most
#: where the time was set forwards, or the machine slept.
LOOK_SECONDS = 10.0


async def wait_moment(left: float | None, changed: trio.Event) -> None:
    """Until a moment so many seconds ahead, the next look at the time of day, or a change.

    None: until a change.
    """
    with trio.CancelScope() as scope:
        if left is not None:
            scope.deadline = trio.current_time() + min(left, LOOK_SECONDS)
        await changed.wait()


@dataclass(eq=False, slots=True)
class Alarm:
    """Calls `ring` whenever the moment of something in `moments` has passed."""

    #: What is to come, by name. Some may be over.
    moments: Mapping[str, datetime]
    now: Callable[[], datetime]
    ring: Callable[[], None]
    #: What was over at the last look.
    _over: frozenset[tuple[str, datetime]] = frozenset()
    _changed: trio.Event = field(default_factory=trio.Event)

    def touch(self) -> None:
        """The moments have changed; never waits."""
        self._changed.set()

    async def watch(self) -> None:
        """The task that rings; until cancelled."""
        while True:
            self._changed = trio.Event()
            await wait_moment(self._look(), self._changed)

    def _look(self) -> float | None:
        """Ring if a moment has passed; the seconds to the next one, None without any."""
        now = self.now()
        over = frozenset((n, at) for n, at in self.moments.items() if at <= now)
        # One may be over when it is first heard of: its commit took longer. Once set back, the time
        # passes a moment once more.
        if over - self._over:
            self.ring()
        self._over = over
        if not self.moments:
            return None
        ahead = [at for at in self.moments.values() if at > now]
        return min(((at - now).total_seconds() for at in ahead), default=LOOK_SECONDS)
