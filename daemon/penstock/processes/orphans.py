"""What boot repair does about processes of an earlier life of the daemon. Blocking: for a thread."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Iterable

from penstock.processes.containment import (
    all_pids,
    boot_id,
    carries,
    descendants,
    group_members,
    kill_group,
    read_stat,
    remove_group,
    send,
)
from penstock.words.events import ProcessStarted

#: Seconds between TERM and KILL; supervisors have had the same since the daemon died.
GRACE_SECONDS = 2.0
#: Seconds of KILL after that.
KILL_SECONDS = 1.5
#: Seconds between two looks.
LOOK_SECONDS = 0.02


def end_orphans(
    started: Iterable[ProcessStarted],
    run_ids: Collection[str],
    *,
    grace: float = GRACE_SECONDS,
    epoch: str = "",
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """End what is left of these processes and runs: the pids found, and those that are still there.

    `grace` is in seconds. With `epoch`, the id of the log, runs of the same id in another log are
    left alone. Blocks for at most `grace` + 1.5 s. Signals only what has the recorded
    boot id, pid and start time, is in the recorded cgroup, carries the id of one of the runs in its
    environment, or descends from such a process; never this process or one it descends from.
    """
    old = [process for process in started if process.boot_id == boot_id()]
    markers = {os.fsencode(f"PENSTOCK_RUN_ID={run_id}") for run_id in run_ids}
    mark = os.fsencode(f"PENSTOCK_EPOCH={epoch}") if epoch else b""
    left = _remnants(old, markers, mark)
    found = set(left)
    for pid, start_time in left.items():
        send(pid, start_time, signal.SIGTERM)
        send(pid, start_time, signal.SIGCONT)
    now = time.monotonic()
    while left and time.monotonic() < now + grace + KILL_SECONDS:
        if time.monotonic() >= now + grace:
            _kill(old, left)
        time.sleep(LOOK_SECONDS)
        left = _remnants(old, markers, mark)
        found.update(left)
    for process in old:
        if process.cgroup is not None:
            remove_group(process.cgroup)
    return tuple(sorted(found)), tuple(sorted(left))


def _remnants(
    old: list[ProcessStarted], markers: set[bytes], mark: bytes
) -> dict[int, int]:
    """Start times by pid of what is still alive."""
    found: dict[int, int] = {}
    for process in old:
        stat = read_stat(process.pid)
        if stat and stat.state not in "ZX" and stat.start_time == process.start_time:
            found[process.pid] = stat.start_time
        if process.cgroup is not None:
            found.update(group_members(process.cgroup))
    for pid in all_pids() if markers else ():
        if (
            carries(pid, markers, mark)
            and (stat := read_stat(pid))
            and stat.state not in "ZX"
        ):
            found[pid] = stat.start_time
    for pid in list(found):
        found.update(descendants(pid))
    for pid in _own_line():
        found.pop(pid, None)
    return found


def _own_line() -> list[int]:
    """This process and those it descends from: a daemon may have been started inside a run."""
    line = [os.getpid()]
    while (stat := read_stat(line[-1])) and stat.parent:
        line.append(stat.parent)
    return line


def _kill(old: list[ProcessStarted], left: dict[int, int]) -> None:
    for process in old:
        if process.cgroup is not None:
            kill_group(process.cgroup)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid, start_time in left.items():
            send(pid, start_time, number)
