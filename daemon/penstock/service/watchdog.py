"""Notices a loop that is blocked, and says where it stands.

A task of the loop beats; a thread watches the beats. Nothing but the task tells the service manager
that the daemon is alive, so a loop that stays blocked is ended and started again.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from penstock.concurrency.threads import start_thread

log = logging.getLogger(__name__)

#: Seconds for which a stall that is over is still told by `/health`.
TOLD_SECONDS = 60.0
#: Beats per limit: a stall is then noticed after at least three quarters of its limit.
BEATS = 4


@dataclass(frozen=True, slots=True)
class WatchdogStatistics:
    """How late the loop was. `lag` is that of the last beat, in seconds."""

    lag: float
    stalls: int
    longest_stall: float


class Watchdog:
    """The beats of one loop. Made by `open_watchdog`."""

    def __init__(self, stall_seconds: float, beat_seconds: float) -> None:
        self.stall_seconds = stall_seconds
        self.beat_seconds = beat_seconds
        self._loop = threading.get_ident()
        self._last = time.monotonic()
        self._lag = 0.0
        self._noticed: float | None = None
        self._stalls = 0
        self._longest = 0.0
        self._ended_at: float | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, name="penstock-watchdog", daemon=True
        )

    def statistics(self) -> WatchdogStatistics:
        """A snapshot."""
        return WatchdogStatistics(self._lag, self._stalls, self._longest)

    def complaint(self) -> str | None:
        """What `/health` has to say of the loop, for a minute after a stall."""
        if self._ended_at is None or time.monotonic() - self._ended_at > TOLD_SECONDS:
            return None
        return f"the loop was blocked ({self._stalls} times, at most {self._longest:.1f} s)"

    def beat(self) -> None:
        """The loop runs."""
        now = time.monotonic()
        stood = now - self._last
        self._lag = max(stood - self.beat_seconds, 0.0)
        stalled = self._noticed == self._last
        self._last = now
        if stalled:
            self._stalls += 1
            self._longest = max(self._longest, stood)
            self._ended_at = now
            log.warning("the loop runs again; it was blocked for %.1f s", stood)

    def start(self) -> None:
        """Begin to watch."""
        start_thread(self._thread)

    def close(self) -> None:
        """Watch no more."""
        self._closed.set()
        self._thread.join(self.stall_seconds)

    def _watch(self) -> None:
        pause = self.stall_seconds
        while True:
            asked = time.monotonic()
            if self._closed.wait(pause):
                return
            now = time.monotonic()
            if now - asked - pause > self.beat_seconds:
                # We stood still too: the process was stopped, or code held the interpreter. Either
                # is over now, and the loop is given the time to beat.
                log.warning("the whole process stood still for %.1f s", now - asked)
                pause = self.beat_seconds
                continue
            last = self._last
            stood = now - last
            if stood < self.stall_seconds:
                pause = self.stall_seconds - stood
                continue
            pause = self.stall_seconds
            if self._noticed != last:
                self._noticed = last
                log.error(
                    "the loop has been blocked for %.1f s:\n%s", stood, self._stacks()
                )

    def _stacks(self) -> str:
        """Where every other thread stands, the loop first."""
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        frames = sys._current_frames()
        frames.pop(threading.get_ident(), None)
        order = sorted(frames, key=lambda ident: ident != self._loop)
        told = []
        for ident in order:
            name = "the loop" if ident == self._loop else names.get(ident, "unknown")
            told.append(f"{name}:\n{''.join(traceback.format_stack(frames[ident]))}")
        return "\n".join(told)


@asynccontextmanager
async def open_watchdog(
    stall_seconds: float,
    *,
    manager_seconds: float | None = None,
    on_beat: Callable[[], None] = lambda: None,
) -> AsyncIterator[Watchdog]:
    """Watch this loop while inside; `on_beat` is called from the loop at each beat.

    `manager_seconds` is how often the service manager wants to hear of us; it hears thrice as often.
    """
    beat_seconds = stall_seconds / BEATS
    if manager_seconds is not None:
        beat_seconds = min(beat_seconds, manager_seconds / 3)
    watchdog = Watchdog(stall_seconds, beat_seconds)

    async def keep_beating() -> None:
        while True:
            watchdog.beat()
            on_beat()
            await trio.sleep(beat_seconds)

    async with trio.open_nursery() as beating_nursery:
        watchdog.start()
        try:
            beating_nursery.start_soon(keep_beating)
            yield watchdog
        finally:
            watchdog.close()
            beating_nursery.cancel_scope.cancel(reason="the daemon has stopped")
