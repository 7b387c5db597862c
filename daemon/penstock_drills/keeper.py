"""Waits for the end of a drill, and ends what a killed one has left.

When stdin ends, the drill is gone. Unless it has removed its folder, it was killed: then every
process whose home is that folder, or lies in it, is ended too, which is its daemon, and the folder
is removed. Standard library only, and outside the drill's session, so that a signal to its group does
not end this too.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from signal import SIGKILL

from penstock.processes.containment import all_pids, send
from penstock.processes.liveness import living_since, read_of_threads
from penstock.processes.termination import Terminable, terminate, wait_unseen

#: Seconds between TERM and KILL: enough to remove a cgroup, and for no run to go on.
GRACE_SECONDS = 2.0
#: Seconds without a process of the drill after which there will be none: one may just be starting.
QUIET_SECONDS = 3.0
#: Seconds between two looks.
LOOK_SECONDS = 0.05


class AtHome(Terminable):
    """The processes whose home is this folder or lies in it."""

    def __init__(self, folder: str) -> None:
        self.home = os.fsencode(f"HOME={folder}")

    def members(self) -> dict[int, int]:
        found = {}
        for pid in all_pids():
            # The start time comes first, so that it is this process whose environment is read.
            start_time = living_since(pid)
            if start_time is not None and self.is_home_of(pid):
                found[pid] = start_time
        return found

    def is_home_of(self, pid: int) -> bool:
        entries = read_of_threads(pid, "environ").split(b"\0")
        inside = self.home + b"/"
        return any(e == self.home or e.startswith(inside) for e in entries)

    def kill(self) -> None:
        for pid, start_time in self.members().items():
            send(pid, start_time, SIGKILL)

    def wait_empty(self, until: float) -> bool:
        return wait_unseen(self.members, until)


def main(folder: str) -> None:
    """Wait, and clean up."""
    sys.stdin.read()
    if not os.path.exists(folder):
        return
    at_home = AtHome(folder)
    quiet_since = time.monotonic()
    while time.monotonic() < quiet_since + QUIET_SECONDS:
        if at_home.members():
            terminate(at_home, GRACE_SECONDS)
            quiet_since = time.monotonic()
        time.sleep(LOOK_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
