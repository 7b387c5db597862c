"""Textual's Pilot needs asyncio, while pytest-trio takes every `async def` test for Trio's."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

#: Seconds after which a Pilot test has hung.
DEADLINE = 60.0


def aio(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A plain function that runs the test on a fresh asyncio loop. Trio fixtures do not fit in it."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(DEADLINE):
                await test(*args, **kwargs)

        with asyncio.Runner() as runner:
            runner.run(bounded())

    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    # Else pytest looks through the wrapper and sees a coroutine function again.
    del run.__wrapped__
    return run
