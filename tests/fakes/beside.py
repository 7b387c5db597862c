"""A server beside code that has no event loop: in a thread, for as long as a block lasts."""

from __future__ import annotations

import queue
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar, TypeVarTuple

import trio

T = TypeVar("T")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")

#: Seconds for it to start and to stop; both are instant.
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Beside(Generic[T]):
    """What was opened, and how to have something done where it lives."""

    opened: T
    token: trio.lowlevel.TrioToken

    def do(self, work: Callable[[*Ts], Awaitable[R]], *args: *Ts) -> R:
        """The result of `work`, done in its thread."""
        return trio.from_thread.run(work, *args, trio_token=self.token)


@contextmanager
def open_beside(
    opening: Callable[[], AbstractAsyncContextManager[T]],
) -> Iterator[Beside[T]]:
    """What `opening` makes, in a thread with an event loop of its own."""
    started: queue.Queue[tuple[Beside[T], trio.CancelScope] | BaseException]
    started = queue.Queue()

    async def main() -> None:
        with trio.CancelScope() as scope:
            async with opening() as opened:
                beside = Beside(opened, trio.lowlevel.current_trio_token())
                started.put((beside, scope))
                await trio.sleep_forever()

    def run() -> None:
        try:
            trio.run(main)
        except BaseException as error:
            started.put(error)
            raise

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    told = started.get(timeout=PATIENCE)
    if isinstance(told, BaseException):
        raise told
    beside, scope = told
    try:
        yield beside
    finally:
        beside.token.run_sync_soon(scope.cancel)
        thread.join(PATIENCE)
        assert not thread.is_alive()
