"""Trio beside code that has no event loop: in a thread, for as long as a block lasts.

A command that speaks with a daemon over a socket needs no event loop, and is in the thread that signals
come to. What is asynchronous (a daemon of its own, a log read from its file) lives in another.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import dataclass
from queue import Queue
from typing import Generic, TypeVar, TypeVarTuple

import trio

from penstock.concurrency.deferred import only

T = TypeVar("T")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class Beside(Generic[T]):
    """What was opened, and how to have something done where it lives."""

    opened: T
    _token: trio.lowlevel.TrioToken

    def do(self, work: Callable[[*Ts], Awaitable[R]], *args: *Ts) -> R:
        """The result of `work`, done there; this thread waits."""
        return trio.from_thread.run(work, *args, trio_token=self._token)


@contextmanager
def open_beside(
    opening: Callable[[], AbstractAsyncContextManager[T]],
) -> Iterator[Beside[T]]:
    """What `opening` makes. It is closed, and waited for, when the block is left, however it is.

    What fails there while the block goes on is raised when it is left: it is why the block failed.
    """
    # What was opened, and at last that the thread has ended.
    began: Queue[tuple[Beside[T], trio.CancelScope] | None] = Queue(2)
    failures: list[BaseException] = []

    async def live() -> None:
        with trio.CancelScope() as scope:
            async with opening() as opened:
                token = trio.lowlevel.current_trio_token()
                began.put((Beside(opened, token), scope))
                await trio.sleep_forever()

    def run() -> None:
        try:
            trio.run(live)
        except BaseExceptionGroup as group:
            failures.append(only(group))
        except Exception as error:  # noqa: BLE001  (raised in the other thread)
            failures.append(error)
        finally:
            began.put(None)

    thread = threading.Thread(target=run, name="beside")
    thread.start()
    told = began.get()
    if told is None:
        raise failures[0]
    beside, scope = told
    try:
        yield beside
    finally:
        # It may have ended already.
        with suppress(trio.RunFinishedError):
            beside._token.run_sync_soon(scope.cancel)
        thread.join()
        if failures:
            raise failures[0]
