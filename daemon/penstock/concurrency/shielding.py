"""Work that is finished after a cancel too, within a bound."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from penstock.concurrency.deferred import DeferredFailure


@asynccontextmanager
async def shield_until(on_cancel: Callable[[], float]) -> AsyncIterator[None]:
    """Shield what is inside; when a cancel comes from outside, it goes on until `on_cancel()`.

    `on_cancel` is called once, at the cancel, and returns the deadline on Trio's clock. An
    exception from inside comes out as it is; after a cancel it comes in a group with it.
    """
    cancelled = trio.Event()
    failed = DeferredFailure(unless=cancelled.is_set)
    work = trio.CancelScope(shield=True)

    async def bound_after_cancel() -> None:
        try:
            await trio.sleep_forever()
        finally:
            if not nursery.cancel_scope.cancel_called:
                cancelled.set()
                work.deadline = on_cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bound_after_cancel)
        with work, failed:
            yield
        nursery.cancel_scope.cancel(reason="finished")
    failed.reraise()
