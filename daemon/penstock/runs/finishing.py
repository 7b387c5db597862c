"""Work that is finished after a cancel too, within a bound."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def finishing(on_cancel: Callable[[], float]) -> AsyncIterator[None]:
    """Shield what is inside; when a cancel comes from outside, it goes on until `on_cancel()`.

    `on_cancel` is called once, at the cancel, and returns the deadline on Trio's clock. An
    exception from inside comes out as it is; without one, the cancel is raised again.
    """
    failure: Exception | None = None
    work = trio.CancelScope(shield=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_bound_after_cancel, work, nursery.cancel_scope, on_cancel)
        with work:
            try:
                yield
            # Kept only to take it past the nursery, which would wrap it in a group.
            except Exception as error:  # noqa: BLE001
                failure = error
        nursery.cancel_scope.cancel(reason="finished")
    if failure is not None:
        raise failure
    await trio.lowlevel.checkpoint_if_cancelled()


async def _bound_after_cancel(
    work: trio.CancelScope, finished: trio.CancelScope, on_cancel: Callable[[], float]
) -> None:
    try:
        await trio.sleep_forever()
    finally:
        if not finished.cancel_called:
            work.deadline = on_cancel()
