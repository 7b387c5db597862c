"""Time that costs none, and Trio's choices by number, so that what a test met it meets again.

The two private names of Trio have a contract test.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, TypeVarTuple

import trio
import trio.testing

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: The time of day at which the story of a core in memory begins.
START = datetime(2030, 1, 1, tzinfo=UTC)


def virtual_now() -> datetime:
    """The time of day in a story whose clock is Trio's."""
    return START + timedelta(seconds=trio.current_time())


def run_in_virtual_time(
    fn: Callable[[*Ts], Awaitable[T]], /, *args: *Ts, seed: int = 1
) -> T:
    """`trio.run` on a clock that jumps to the next deadline whenever every task waits.

    `seed` decides which of several tasks goes on first; another number tries another order. Nothing
    inside may work in a thread: while it does, the clock leaps over every deadline.
    """
    with deterministic(seed):
        return trio.run(fn, *args, clock=trio.testing.MockClock(autojump_threshold=0))


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Let Trio choose by this number which task goes on; as before afterwards."""
    run: Any = trio._core._run
    allowed, state = run._ALLOW_DETERMINISTIC_SCHEDULING, run._r.getstate()
    run._ALLOW_DETERMINISTIC_SCHEDULING = True
    run._r.seed(seed)
    try:
        yield
    finally:
        run._ALLOW_DETERMINISTIC_SCHEDULING = allowed
        run._r.setstate(state)
