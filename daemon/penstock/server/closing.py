"""How a stop reaches the surfaces: first no new connections, later a last word on every stream.

Between the two the runs unwind, and whoever watches them sees how each one ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class Closing:
    """The two steps of a stop. Each is a plain function, happens once, and may be asked twice."""

    def __init__(self) -> None:
        self._deaf = trio.Event()
        self._goodbye = trio.Event()
        self._waits: set[trio.CancelScope] = set()

    @property
    def saying_goodbye(self) -> bool:
        """Whether streams are to end now."""
        return self._goodbye.is_set()

    def stop_accepting(self) -> None:
        """Take no new connections; those there are go on."""
        self._deaf.set()

    def say_goodbye(self) -> None:
        """End every stream with a last frame, then every connection."""
        self._deaf.set()
        self._goodbye.set()
        for scope in self._waits:
            scope.cancel(reason="the daemon is stopping")

    async def wait_deaf(self) -> None:
        await self._deaf.wait()

    async def wait_goodbye(self) -> None:
        await self._goodbye.wait()

    @contextmanager
    def until_goodbye(self, seconds: float | None = None) -> Iterator[trio.CancelScope]:
        """A scope that a goodbye cancels, or the deadline if there is one.

        It belongs around a wait and never around a send: half a frame would break the stream.
        """
        scope = trio.CancelScope()
        if seconds is not None:
            scope.deadline = trio.current_time() + seconds
        if self.saying_goodbye:
            scope.cancel(reason="the daemon is stopping")
        self._waits.add(scope)
        try:
            with scope:
                yield scope
        finally:
            self._waits.discard(scope)
