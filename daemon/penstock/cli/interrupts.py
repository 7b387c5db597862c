"""The signals that end a command, and a command that leaves its runs alone."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

import trio

from penstock.cli.output import say
from penstock.cli.session import run_async

#: What a person or a supervisor sends to end a command.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def heeded() -> tuple[signal.Signals, ...]:
    """The signals to act on: those that our parent did not tell us to ignore (nohup, `&`)."""
    return tuple(s for s in SIGNALS if signal.getsignal(s) is not signal.SIG_IGN)


def run_detachable(work: Callable[[], Awaitable[int]], what: str) -> int:
    """Do the work; a signal ends only this command, and says so."""

    async def heed(nursery: trio.Nursery, received: list[int]) -> None:
        with trio.open_signal_receiver(*heeded()) as signals:
            async for number in signals:
                received.append(number)
                nursery.cancel_scope.cancel(reason="the user leaves")

    async def both() -> int:
        received: list[int] = []
        code = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(heed, nursery, received)
            code = await work()
            nursery.cancel_scope.cancel(reason="done")
        if received:
            say(f"left; {what} goes on")
            return 128 + received[0]
        return code

    return run_async(both)
