"""The word to stop: why the daemon stops, and by when its runs are to have ended.

One object knows, from the signal to the last word on a stream. Everybody else asks it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from penstock.words.errors import ShuttingDown


@dataclass(eq=False, slots=True)
class Stop:
    """Whether the daemon stops. The first word counts; there is no way back."""

    #: Seconds that the runs have to end, from the first word.
    run_seconds: float
    #: Why it stops, once it does.
    reason: str | None = None
    # Set by the first word.
    _deadline: float = 0.0
    _asked: trio.Event = field(default_factory=trio.Event)

    def ask(self, reason: str) -> float:
        """Stop. Gives Trio's time by which the runs are to have ended; whoever waits shares it."""
        if self.reason is None:
            self.reason = reason
            self._deadline = trio.current_time() + self.run_seconds
            self._asked.set()
        return self._deadline

    async def wait_asked(self) -> None:
        await self._asked.wait()

    def refusal(self) -> ShuttingDown:
        """What is raised to whoever brings new work."""
        return ShuttingDown(f"the daemon is stopping: {self.reason}")
