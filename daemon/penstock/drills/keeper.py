"""Waits for the end of a drill, and ends what a killed one has left: `keeper.py FOLDER`.

Each line on stdin names a daemon of the drill, `PID START_TIME`. When stdin ends, the drill is gone:
the last daemon is killed, whose runs end with it, and the folder is removed. A drill that has ended
in order has left neither. Standard library only, and outside the drill's session, so that a signal
to its group does not end this too.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys


def start_time(pid: int) -> int | None:
    """With the pid it names a process for good; None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except OSError:
        return None


def kill(pid: int, began: int) -> None:
    """Kill this very process, unless it is gone."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if start_time(pid) == began:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)


def main(folder: str) -> None:
    """Wait, and clean up."""
    last = ""
    for line in sys.stdin:
        last = line
    if last:
        pid, began = map(int, last.split())
        kill(pid, began)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
