"""How signals reach a daemon, and how it is gone in time whatever holds it.

A stop may come at any moment, also while the start still waits for a disk, and more than once. The
orderly way has its bounds (`shutdown_…` of Config); a thread that needs no loop stands behind it,
and behind that the kernel's alarm, which needs not even the interpreter.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import trio

from penstock.concurrency.threads import start_thread
from penstock.processes.termination import pause

log = logging.getLogger("penstock")

#: Each of them is the word to stop. A hang-up is not one where it was ignored at the start (nohup).
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: They would end the process, and mean nothing here.
MEANINGLESS = (signal.SIGUSR1, signal.SIGUSR2)
#: How the process ends when its end took too long (the system's EX_OSERR).
CUT_SHORT = 71
#: Seconds the last words may take to be written.
LAST_WORDS_SECONDS = 0.5
#: Seconds after which the kernel ends what even the thread could not.
KERNEL_SECONDS = 1.0


class LastResort:
    """Ends the process when its end takes longer than `seconds`. Begun by `start`.

    There is no way back: who arms it has the process end. `flush` writes what the log still holds.
    """

    def __init__(self, seconds: float, flush: Callable[[], None]) -> None:
        self._seconds = seconds
        self._flush = flush
        self._armed = threading.Event()
        # Made at the start: at the end there may be no thread to be had.
        self._thread = threading.Thread(
            target=self._wait, name="penstock-last-resort", daemon=True
        )

    def start(self) -> None:
        """Be ready."""
        start_thread(self._thread)

    def arm(self) -> None:
        """The end has begun, orderly or not; it is counted from the first time this is called."""
        if not self._armed.is_set():
            signal.setitimer(signal.ITIMER_REAL, self._seconds + KERNEL_SECONDS)
            self._armed.set()

    def _wait(self) -> None:
        self._armed.wait()
        # The process ends meanwhile, if all is well, and this thread with it.
        pause(self._seconds)
        log.critical(
            "the end is held up; the main thread stands at:\n%s", _main_stack()
        )
        log.critical("the end took longer than %g s and is cut short", self._seconds)
        self._flush()
        os._exit(CUT_SHORT)


class Start:
    """The start of a daemon, which a word to stop gives up; once it is over, nothing does."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.over = False

    def give_up(self, why: str) -> None:
        """Cancel it, unless it is over."""
        if not self.over:
            self.scope.cancel(reason=why)


@contextmanager
def heed_signals(ask: Callable[[str], None]) -> Iterator[None]:
    """Take the signals that mean something, each by its name, and let none end the process.

    For the end of a process: when this is left, a stop that comes too late is ignored.
    """
    token = trio.lowlevel.current_trio_token()

    def heed(number: int) -> None:
        name = signal.Signals(number).name
        if number in STOPS:
            ask(name)
        else:
            log.info("%s means nothing to this daemon", name)

    def take(number: int, _frame: FrameType | None) -> None:
        try:
            token.run_sync_soon(heed, number)
        except trio.RunFinishedError:
            # It has stopped.
            return

    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    taken = [n for n in (*STOPS, *MEANINGLESS) if n != signal.SIGHUP or hangs_up]
    for number in taken:
        signal.signal(number, take)
    try:
        yield
    finally:
        # While the interpreter ends it puts every handler of ours back to the default, which would
        # end the process with the wrong status. What is ignored stays ignored.
        for number in taken:
            signal.signal(number, signal.SIG_IGN)


def _main_stack() -> str:
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    return "".join(traceback.format_stack(frame)).rstrip()
