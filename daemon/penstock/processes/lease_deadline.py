"""Until when processes may live without a word of their daemon: a file of eight bytes, read on a clock that sleep does not stop.

A daemon that shares its log with others is believed to live as long as its lease runs; afterwards others
give its runs to whoever takes them. So it writes down, at each renewal, by when all that is its own must
begin to end, and every supervisor wakes at the time that it read, and reads again. No message is needed,
and nobody who is stopped, cut off or asleep can keep it from happening. The time is in nanoseconds of
CLOCK_BOOTTIME, which is the same for all processes of the box. Standard library only, for a supervisor.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import cache

#: The file: one signed number, in this machine's order.
DEADLINE_BYTES = 8
#: Seconds of the margin after the deadline that are for KILL, which waits for nobody, and its proof.
KILL_RESERVE = 1.0
#: Seconds between two looks where no timer is to be had that goes on in sleep.
LOOK_SECONDS = 0.5

# Of <sys/timerfd.h>.
_TIMER_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK
_ABSOLUTE = 1
_SECOND = 1_000_000_000


def boottime() -> int:
    """Nanoseconds since this machine's start, those of its sleep included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def encode(deadline: int) -> bytes:
    """What the file holds."""
    return deadline.to_bytes(DEADLINE_BYTES, sys.byteorder, signed=True)


def decode(data: bytes) -> int:
    """The deadline; 0, which is over, if that is not one."""
    if len(data) != DEADLINE_BYTES:
        return 0
    return int.from_bytes(data, sys.byteorder, signed=True)


def grace_left(deadline: int, margin: float, now: int) -> float:
    """Seconds that a tree may still be given before KILL, so that it is gone when the lease is over.

    That is `margin` seconds after the deadline.
    """
    return max((deadline - now) / _SECOND + margin - KILL_RESERVE, 0.0)


class LeaseDeadline:
    """The deadline in a file, as whoever lives by it sees it. OSError if it cannot be opened."""

    def __init__(
        self, path: str, margin: float, now: Callable[[], int] = boottime
    ) -> None:
        self.margin = margin
        self._now = now
        # Kept open: the file's folder may be removed, as a session's is at its end.
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._armed = 0
        self._rings = False
        #: Is readable when it is time to look; -1 where there is no such timer.
        self.alarm = make_timer()
        self.passed()

    def read(self) -> int:
        """What the daemon wrote last. What cannot be read is over: nobody can tell that it is not."""
        try:
            return decode(os.pread(self._fd, DEADLINE_BYTES + 1, 0))
        except OSError:
            return 0

    def passed(self) -> bool:
        """Whether it is over; if not, the alarm is set to when it will be, by what is known now."""
        deadline, now = self.read(), self._now()
        if deadline <= now:
            return True
        # It only moves on, so that an alarm which is too early costs one look.
        if self.alarm >= 0 and self._armed <= now:
            self._armed = deadline
            self._rings = set_timer(self.alarm, deadline)
        return False

    def grace_left(self) -> float:
        """As `grace_left`, now."""
        return grace_left(self.read(), self.margin, self._now())

    def bounded(self, seconds: float | None) -> float | None:
        """For how long one may wait until the next look, None: for the alarm alone."""
        if self._rings:
            return seconds
        return LOOK_SECONDS if seconds is None else min(seconds, LOOK_SECONDS)

    def close(self) -> None:
        """Look no more."""
        for fd in (self._fd, self.alarm):
            if fd >= 0:
                os.close(fd)


@cache
def find_timer_calls() -> tuple[Callable[..., int], Callable[..., int]] | None:
    """The C library's timerfd_create and timerfd_settime, which Python has from 3.13 on; None: it has none."""
    try:
        import ctypes

        library = ctypes.CDLL(None, use_errno=True)
        return library.timerfd_create, library.timerfd_settime
    except (ImportError, OSError, AttributeError):
        return None


def make_timer() -> int:
    """A descriptor that a time of CLOCK_BOOTTIME makes readable; -1 if there is none.

    A timeout will not do: it stands still while the machine sleeps, and would begin where it was.
    """
    calls = find_timer_calls()
    return -1 if calls is None else calls[0](time.CLOCK_BOOTTIME, _TIMER_FLAGS)


def set_timer(fd: int, deadline: int) -> bool:
    """Have it readable from this time on, and not before; False if that is refused: then it never is."""
    import ctypes

    calls = find_timer_calls()
    assert calls is not None
    seconds, rest = divmod(deadline, _SECOND)
    # Interval, then value.
    when = (ctypes.c_long * 4)(0, 0, seconds, rest)
    return calls[1](fd, _ABSOLUTE, when, None) == 0
