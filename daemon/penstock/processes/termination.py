"""TERM, a grace, KILL until it is over: the one way in which process trees are ended.

Standard library only, and little of it: every run waits for the supervisor's start.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from penstock.processes.containment import send, unseen

#: Seconds of KILL after the grace; a process in an uninterruptible wait may outlive them.
KILL_SECONDS = 1.5
#: Seconds between two looks at a tree that is ending and cannot wake us.
LOOK_SECONDS = 0.02


class Terminable(Protocol):
    """Processes that are to end; numbers are pids, and their start times as `living_since` tells them."""

    def members(self) -> dict[int, int]:
        """Those that are seen alive now; that there are none proves nothing."""

    def kill(self) -> None:
        """KILL all that are there now."""

    def wait_empty(self, until: float) -> bool:
        """Whether it was over at some moment before `until`, on the monotonic clock."""


class Terminated(NamedTuple):
    """The pids that were seen, those that are still seen, and whether it was over."""

    seen: set[int]
    left: set[int]
    over: bool


def terminate(tree: Terminable, grace: float) -> Terminated:
    """End it: TERM, and KILL after `grace` seconds; blocks for at most `grace` + `KILL_SECONDS`.

    What was not over by then may still have nothing `left` to be seen: that is no proof.
    """
    members = tree.members()
    seen = set(members)
    for pid, start_time in members.items():
        send(pid, start_time, signal.SIGTERM)
        send(pid, start_time, signal.SIGCONT)
    if tree.wait_empty(time.monotonic() + grace):
        return Terminated(seen, set(), over=True)
    limit = time.monotonic() + KILL_SECONDS
    while time.monotonic() < limit:
        seen.update(tree.members())
        tree.kill()
        if tree.wait_empty(time.monotonic() + LOOK_SECONDS):
            return Terminated(seen, set(), over=True)
    return Terminated(seen, set(tree.members()), over=False)


def wait_unseen(members: Callable[[], dict[int, int]], until: float) -> bool:
    """Look again and again until nothing is seen: for those who have nothing to wait for."""
    while not unseen(members):
        if time.monotonic() >= until:
            return False
        time.sleep(LOOK_SECONDS)
    return True
