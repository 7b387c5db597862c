"""How a stop reaches the surfaces: first no new connections, later a last word on every stream.

Between the two the runs unwind, and whoever watches them sees how each one ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class Shutdown:
    """The two steps of a stop. Each is a plain function, happens once, and may be asked twice."""

    def __init__(self) -> None:
        self._not_accepting = trio.Event()
        self._ending = trio.Event()
        self._waits: set[trio.CancelScope] = set()

    @property
    def streams_ending(self) -> bool:
        """Whether streams are to end now."""
        return self._ending.is_set()

    def stop_accepting(self) -> None:
        """Take no new connections; those there are go on."""
        self._not_accepting.set()

    def end_streams(self) -> None:
        """End every stream with a last frame, then every connection."""
        self._not_accepting.set()
        self._ending.set()
        for scope in self._waits:
            scope.cancel(reason="the daemon is stopping")

    async def wait_not_accepting(self) -> None:
        await self._not_accepting.wait()

    async def wait_streams_ending(self) -> None:
        await self._ending.wait()

    @contextmanager
    def until_streams_end(
        self, seconds: float | None = None
    ) -> Iterator[trio.CancelScope]:
        """A scope that `end_streams` cancels, or the deadline if there is one.

        It belongs around a wait for something to send, never around one for the peer to take it:
        half a frame would break the stream.
        """
        scope = trio.CancelScope()
        if seconds is not None:
            scope.deadline = trio.current_time() + seconds
        if self.streams_ending:
            scope.cancel(reason="the daemon is stopping")
        self._waits.add(scope)
        try:
            with scope:
                yield scope
        finally:
            self._waits.discard(scope)
