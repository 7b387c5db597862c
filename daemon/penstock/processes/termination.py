"""TERM, a grace, KILL until it is over: the one way in which process trees are ended.

Standard library only, and little of it: every run waits for the supervisor's start.
"""

from __future__ import annotations

import select
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from penstock.processes.containment import send, unseen

#: Seconds of KILL after the grace; a process in an uninterruptible wait may outlive them.
KILL_SECONDS = 1.5
#: Seconds between two looks at a tree that is ending and cannot wake us.
LOOK_SECONDS = 0.02


class Terminable(ABC):
    """Processes that are to end; numbers are pids, and their start times as `living_since` tells them."""

    @abstractmethod
    def members(self) -> dict[int, int]:
        """Those that are seen alive now; that there are none proves nothing."""

    @abstractmethod
    def kill(self) -> None:
        """KILL all that are there now."""

    @abstractmethod
    def wait_empty(self, until: float) -> bool:
        """Whether it was over at some moment before `until`, on the monotonic clock."""


def terminate(tree: Terminable, grace: float) -> tuple[set[int], set[int], bool]:
    """End it: TERM, and KILL after `grace` seconds; blocks for at most `grace` + `KILL_SECONDS`.

    The pids that were seen, those that are still seen, and whether it was over. What was not over may
    still have nothing left to be seen: that is no proof.
    """
    members = tree.members()
    seen = set(members)
    for pid, start_time in members.items():
        send(pid, start_time, signal.SIGTERM)
        send(pid, start_time, signal.SIGCONT)
    if tree.wait_empty(time.monotonic() + grace):
        return seen, set(), True
    limit = time.monotonic() + KILL_SECONDS
    while time.monotonic() < limit:
        seen.update(tree.members())
        tree.kill()
        if tree.wait_empty(time.monotonic() + LOOK_SECONDS):
            return seen, set(), True
    return seen, set(tree.members()), False


def wait_unseen(members: Callable[[], dict[int, int]], until: float) -> bool:
    """Look again and again until nothing is seen: for those who have nothing to wait for."""
    while not unseen(members):
        if time.monotonic() >= until:
            return False
        pause(LOOK_SECONDS)
    return True


def pause(seconds: float) -> None:
    """Wait; not by `sleep`, which a sandbox may refuse."""
    select.select((), (), (), seconds)
