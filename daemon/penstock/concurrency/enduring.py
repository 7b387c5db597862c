"""Tasks that live as long as the daemon, and must not end it.

A folder that cannot be removed, a thread that cannot be had, a fault of our own: none of them is a
reason to end everybody's runs. Not for the recorder's writer: half a batch is no place to go on from.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import trio

from penstock.concurrency.deferred import DeferredFailure
from penstock.words.backoff import backoff
from penstock.words.errors import PenstockError

log = logging.getLogger("penstock")

#: Seconds until a task that failed is begun again: the first time, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
#: Seconds that a task goes on until its failure is one to tell again.
HEALED_SECONDS = 600.0


async def endure(name: str, task: Callable[[], Awaitable[None]]) -> None:
    """Do the task to its end; whatever it raises is told, and the task begun again after a pause.

    The same failure is told once, until the task has gone well for ten minutes.
    """
    told, failures = "", 0
    while True:
        began, failed = trio.current_time(), DeferredFailure()
        with failed:
            await task()
        if failed.error is None:
            return
        if trio.current_time() - began > HEALED_SECONDS:
            told, failures = "", 0
        if (why := repr(failed.error)) != told:
            told = why
            # One of ours says what is wrong in a sentence; of others the place counts too.
            known = isinstance(failed.error, PenstockError)
            log.error(
                "%s failed and is tried again: %s",
                name,
                failed.error,
                exc_info=None if known else failed.error,
            )
        failures += 1
        await trio.sleep(backoff(failures, FIRST_PAUSE, LONGEST_PAUSE))
