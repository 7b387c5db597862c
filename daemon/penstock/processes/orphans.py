"""What boot repair does about processes of an earlier life of the daemon. Blocking: for a thread."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterable

from penstock.processes.containment import (
    all_pids,
    boot_id,
    carries,
    descendants,
    group_members,
    kill_group,
    own_line,
    remove_group,
    send,
)
from penstock.processes.liveness import living_since
from penstock.processes.termination import Terminable, terminate, wait_unseen
from penstock.words.events import ProcessStarted

#: Seconds between TERM and KILL; supervisors have had the same since the daemon died.
GRACE_SECONDS = 2.0


def end_orphans(
    started: Iterable[ProcessStarted],
    run_ids: Collection[str],
    *,
    grace: float = GRACE_SECONDS,
    epoch: str = "",
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """End what is left of these processes and runs: the pids found, and those that are still there.

    That none is still there proves nothing: who has forgotten its run, or is hidden from us, is not
    found. `grace` is in seconds. With `epoch`, the id of the log, runs of the same id in another log are
    left alone. Blocks for at most `grace` and `termination.KILL_SECONDS`. Signals only what has the recorded
    boot id, pid and start time, is in the recorded cgroup, carries the id of one of the runs in its
    environment, or descends from such a process; never this process or one it descends from.
    """
    old = [process for process in started if process.boot_id == boot_id()]
    markers = {os.fsencode(f"PENSTOCK_RUN_ID={run_id}") for run_id in run_ids}
    mark = os.fsencode(f"PENSTOCK_EPOCH={epoch}") if epoch else b""
    seen, left, _ = terminate(_Remnants(old, markers, mark), grace)
    for process in old:
        if process.cgroup is not None:
            remove_group(process.cgroup)
    return tuple(sorted(seen)), tuple(sorted(left))


class _Remnants(Terminable):
    """What is found of processes that have no supervisor any more."""

    def __init__(
        self, old: list[ProcessStarted], markers: set[bytes], mark: bytes
    ) -> None:
        self.old = old
        self.markers = markers
        self.mark = mark
        #: What the last look found: it may have forgotten its run since, or lost its parent.
        self.known: dict[int, int] = {}

    def members(self) -> dict[int, int]:
        found = {
            p: since for p, since in self.known.items() if living_since(p) == since
        }
        for process in self.old:
            if living_since(process.pid) == process.start_time:
                found[process.pid] = process.start_time
            if process.cgroup is not None:
                found.update(group_members(process.cgroup))
        for pid in all_pids() if self.markers else ():
            if carries(pid, self.markers, self.mark):
                start_time = living_since(pid)
                if start_time is not None:
                    found[pid] = start_time
        for pid in list(found):
            found.update(descendants(pid))
        for pid in own_line():
            found.pop(pid, None)
        self.known = found
        return found

    def kill(self) -> None:
        for process in self.old:
            if process.cgroup is not None:
                kill_group(process.cgroup)
        found = self.members()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid, start_time in found.items():
                send(pid, start_time, number)

    def wait_empty(self, until: float) -> bool:
        return wait_unseen(self.members, until)
