"""A daemon whose clock is off, and nothing else: `python -m penstock_drills.made_up_clock SECONDS serve …`.

The time of day alone is made up, where Python asks for it and before anything of the daemon is imported.
What a sleep, a timer and a lease go by is the kernel's own, and what the daemon starts has the right time.
A library in front of the system's (faketime) will not do: told to leave the monotonic clock alone, it takes
its own offset from times of that clock all the same, so that a sleep until one of them fails (EINVAL), and
a timerfd that is set to one fails or never rings.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any


def set_clock(seconds: int) -> None:
    """Be so many seconds ahead from now on, in this process alone. AssertionError where that cannot be."""
    right, right_ns, right_now = time.time, time.time_ns, datetime.now
    offset = timedelta(seconds=seconds)

    def now(_class: type[datetime], tz: tzinfo | None = None) -> datetime:
        return right_now(tz) + offset

    _set(time, "time", lambda: right() + seconds)
    _set(time, "time_ns", lambda: right_ns() + seconds * 1_000_000_000)
    _set_on_type(datetime, "now", classmethod(now))
    # Each of them, or a daemon would be off in one and right in another.
    for told in (time.time(), time.time_ns() / 1e9, datetime.now(UTC).timestamp()):
        assert abs(told - right() - seconds) < abs(seconds) / 2


def _set(module: Any, name: str, function: Callable[[], float]) -> None:
    setattr(module, name, function)


def _set_on_type(owner: type, name: str, value: object) -> None:
    """Of a type that is written in C; another class in its place would not be that of values made before."""
    [attributes] = gc.get_referents(owner.__dict__)
    attributes[name] = value
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(owner))


def main() -> None:
    """The command line, with the clock off by the first argument."""
    set_clock(int(sys.argv.pop(1)))
    # Whatever of it keeps one of these functions has the made-up one.
    from penstock.cli.main import main as command_line

    command_line()


if __name__ == "__main__":
    main()
