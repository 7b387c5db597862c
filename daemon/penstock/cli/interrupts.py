"""The signals that end a command, and a command that leaves its runs alone."""

from __future__ import annotations

import _thread
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVarTuple

from penstock.cli.output import say

Ts = TypeVarTuple("Ts")

#: What a person or a supervisor sends to end a command.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Left(BaseException):
    """A signal ends this command, in the midst of what it does. No Exception: nothing may swallow it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def heeded() -> tuple[signal.Signals, ...]:
    """The signals to act on: those that our parent did not tell us to ignore (nohup, `&`)."""
    return tuple(s for s in SIGNALS if signal.getsignal(s) is not signal.SIG_IGN)


@contextmanager
def on_signals(act: Callable[[int], None]) -> Iterator[None]:
    """Call `act` for each signal while this is open, in the midst of whatever goes on.

    So it must take no lock, and write to no stream, that what goes on may hold.
    """
    before = {number: signal.getsignal(number) for number in heeded()}
    for number in before:
        signal.signal(number, lambda came, _frame: act(came))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_detachable(work: Callable[[], int], what: str) -> int:
    """Do the work; a signal ends only this command, and says so."""
    left: list[int] = []

    def leave(number: int) -> None:
        left.append(number)
        if len(left) == 1:
            raise Left(number)

    try:
        with on_signals(leave):
            return work()
    except Left as signalled:
        say(f"left; {what} goes on")
        return 128 + signalled.number


def in_thread(work: Callable[[*Ts], None], *arguments: *Ts) -> None:
    """Do it beside; it is left behind if it is not done when this command ends.

    Not by `threading`, whose locks may be held where a signal comes.
    """

    def do() -> None:
        # Nobody may be there to be told.
        with suppress(OSError):
            work(*arguments)

    _thread.start_new_thread(do, ())
