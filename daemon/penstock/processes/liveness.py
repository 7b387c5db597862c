"""Whether a process lives: asked of the kernel's handle, never read from an absence in /proc.

/proc shows a process whose first thread has ended as a zombie, with neither arguments nor environment,
although its other threads work on; and mounted with `hidepid` it shows nothing of a setuid child. The
handle of a process tells the end of its last thread, whatever /proc shows of it. Standard library
only, and little of it: every run waits for the supervisor's start.
"""

from __future__ import annotations

import os
import select

#: The start time of a process that lives and that /proc hides from us.
UNSEEN = -1


class Stat:
    """What `/proc/PID/stat` says; pid and start time together name a process for good."""

    __slots__ = ("parent", "session", "start_time", "state")

    def __init__(self, state: str, parent: int, session: int, start_time: int) -> None:
        self.state = state
        self.parent = parent
        self.session = session
        self.start_time = start_time


def read_whole(path: str) -> bytes:
    """What a file of the kernel's says; OSError if it is not there.

    Not by `open`, which touches so much of a forked supervisor's memory that it costs more than the file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = part = os.read(fd, 4096)
        while part:
            part = os.read(fd, 4096)
            data += part
    finally:
        os.close(fd)
    return data


def read_stat(pid: int) -> Stat | None:
    """The process's stat, or None when there is no such process or it is hidden from us."""
    try:
        fields = read_whole(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    except OSError:
        return None
    return Stat(fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[19]))


def lives(pid: int) -> bool:
    """False only if it is certain that no thread of this process is left."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    except OSError:  # no handle to be had proves nothing
        return True
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return not poll.poll(0)
    finally:
        os.close(fd)


def living_since(pid: int) -> int | None:
    """The start time of a process that lives, `UNSEEN` when /proc hides it; None when it is dead."""
    stat = read_stat(pid)
    if stat is not None and stat.state not in "ZX":
        return stat.start_time
    if not lives(pid):
        return None
    return UNSEEN if stat is None else stat.start_time


def read_of_threads(pid: int, name: str) -> bytes:
    """`/proc/PID/NAME` of the first thread that still has one: a thread that has ended has none."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return b""
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/{name}", "rb") as file:
                if text := file.read():
                    return text
        except PermissionError:  # as for every thread of a stranger's
            return b""
        except OSError:
            continue
    return b""
