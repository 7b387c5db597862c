"""Threads, which a machine may refuse: the limit on processes counts them too.

What the daemon cannot do without (its store) has threads of its own from the start. For everything
else a thread that cannot be made is a resource that is not there now: it is asked for again, and
who waited long enough is told so in a sentence.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from queue import Queue
from typing import Any, Protocol, TypeAlias, TypeVar

import outcome
import trio

from penstock.words.backoff import backoff
from penstock.words.errors import NoProcess, StartRefused

T = TypeVar("T")

#: Seconds between two tries to have a thread made: the first, and the longest.
FIRST_RETRY, LONGEST_RETRY = 0.05, 1.0
#: Seconds for which one is asked for; a run that ends or a fork bomb that dies frees some.
PATIENCE = 10.0
#: Seconds a thread of our own may take to end once it is told to; it is not waited for longer.
CLOSE_SECONDS = 1.0


class RunBlocking(Protocol):
    """Runs a function that may block, and gives its result once it is done, come what may."""

    def __call__(self, fn: Callable[..., T], /, *args: Any) -> Awaitable[T]: ...


async def run_in_thread(
    fn: Callable[..., T],
    /,
    *args: Any,
    abandon_on_cancel: bool = False,
    limiter: trio.CapacityLimiter | None = None,
) -> T:
    """`trio.to_thread.run_sync`, which waits for a thread. NoProcess if none was to be had."""
    began = False

    def work() -> T:
        nonlocal began
        began = True
        return fn(*args)

    call = partial(
        trio.to_thread.run_sync,
        work, abandon_on_cancel=abandon_on_cancel, limiter=limiter,
    )  # fmt: skip
    # The function's own error is its own; that of a thread that was not made comes before.
    return await retry_threadless(call, unless=lambda: began)


async def retry_threadless(
    call: Callable[[], Awaitable[T]], unless: Callable[[], bool] = lambda: False
) -> T:
    """Await a call that makes a thread first, again and again while none is to be had.

    NoProcess if none was to be had for long. A RuntimeError while `unless` holds is the call's own.
    """
    give_up = trio.current_time() + PATIENCE
    for failed in count(1):
        try:
            return await call()
        except RuntimeError:
            if unless():
                raise
            if trio.current_time() >= give_up:
                raise NoProcess from None
        await trio.sleep(backoff(failed, FIRST_RETRY, LONGEST_RETRY))
    raise AssertionError("it has returned or raised")


def start_thread(thread: threading.Thread) -> None:
    """Start a thread that the daemon cannot do without. StartRefused if it cannot be had."""
    try:
        thread.start()
    except RuntimeError as error:
        why = f"no thread can be had for {thread.name!r}: {error}"
        raise StartRefused(why) from None


@asynccontextmanager
async def open_threads(count: int, name: str) -> AsyncIterator[RunBlocking]:
    """So many threads for as long as this is open. StartRefused if they cannot be had.

    A cancel of who waits for a function is heard before it begins, and not while it is at work.
    """
    kept = KeptThreads(count)
    made = [
        threading.Thread(target=kept.serve, name=f"{name} {number}", daemon=True)
        for number in range(count)
    ]
    try:
        for thread in made:
            start_thread(thread)
        await trio.lowlevel.checkpoint()
        yield kept
    finally:
        for thread in made:
            if thread.ident is not None:
                kept.end_one()
        for thread in made:
            # None has anything in hand here: this waits for the switch of threads alone.
            if thread.ident is not None:
                thread.join(CLOSE_SECONDS)


class KeptThreads:
    """Threads that wait for calls, with as little between a call and its function as can be.

    `trio.to_thread` takes a token, finds a thread, names it and carries the context's variables along
    for each call; a store's commits come by the thousand and need none of that.
    """

    def __init__(self, count: int) -> None:
        # Each thread has at most one call in hand, and a word to end.
        self._calls: Queue[_Call | None] = Queue(2 * count)
        self._free = count
        self._line = trio.lowlevel.ParkingLot()
        self._token = trio.lowlevel.current_trio_token()

    async def __call__(self, fn: Callable[..., T], /, *args: Any) -> T:
        """What the function returns or raises, once a thread was free and has done it."""
        if self._free:
            await trio.lowlevel.checkpoint_if_cancelled()
            self._free -= 1
        else:
            # Whoever is done hands its thread on.
            await self._line.park()
        try:
            self._calls.put((fn, args, trio.lowlevel.current_task()))
            result: T = await trio.lowlevel.wait_task_rescheduled(_go_on_waiting)
        finally:
            if self._line:
                self._line.unpark()
            else:
                self._free += 1
        return result

    def serve(self) -> None:
        """What each of the threads does until it is told to end."""
        while (call := self._calls.get()) is not None:
            fn, args, task = call
            done: outcome.Outcome[Any] = outcome.capture(fn, *args)
            try:
                self._token.run_sync_soon(trio.lowlevel.reschedule, task, done)
            except trio.RunFinishedError:
                # Nobody waits any more.
                return
            # What is done is not held until the next call comes.
            del call, fn, args, task, done

    def end_one(self) -> None:
        """Let one of the threads end."""
        self._calls.put(None)


_Call: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...], trio.lowlevel.Task]


def _go_on_waiting(_raise_cancel: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED
