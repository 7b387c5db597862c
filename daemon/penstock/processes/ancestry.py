"""Of which processes a process is a descendant, and what else tells to which run's tree it belongs."""

from __future__ import annotations

import os
from dataclasses import dataclass

from penstock.processes.liveness import Stat, read_of_threads, read_stat, read_whole

#: Times that a line is read anew because a process of it ended meanwhile: its children are somebody
#: else's then.
LOOKS = 3
#: Processes of a line at most; a line that is longer was not read whole.
LONGEST_LINE = 1024
_RUN = b"PENSTOCK_RUN_ID="


@dataclass(frozen=True, slots=True)
class Ancestry:
    """What `/proc` tells of a process: it and those it descends from, nearest first, and some marks.

    `whole` if nothing of the line was hidden or gone; the first of all that is seen has `begun` then, in
    ticks since the machine's start.
    """

    pids: tuple[int, ...]
    whole: bool
    begun: int = 0
    session: int = 0
    #: The names of its cgroup and of those above it.
    groups: frozenset[str] = frozenset()
    #: The run of which its environment says that it is; "" if it says nothing.
    run_id: str = ""


def ancestry_of(pid: int) -> Ancestry:
    """What is to be read of a process. Blocks for some microseconds for each that it descends from."""
    line, whole = _read_line(pid)
    for _ in range(LOOKS - 1):
        if whole:
            break
        line, whole = _read_line(pid)
    begun = line[-1][1].start_time if line else 0
    session = line[0][1].session if line else 0
    pids = tuple(pid for pid, _ in line)
    return Ancestry(pids, whole, begun, session, _groups_of(pid), _run_of(pid))


def _read_line(pid: int) -> tuple[list[tuple[int, Stat]], bool]:
    line: list[tuple[int, Stat]] = []
    while pid and len(line) < LONGEST_LINE:
        stat = read_stat(pid)
        if stat is None:
            return line, False
        line.append((pid, stat))
        pid = stat.parent
    return line, not pid


def _groups_of(pid: int) -> frozenset[str]:
    try:
        lines = read_whole(f"/proc/{pid}/cgroup").splitlines()
    except OSError:
        return frozenset()
    unified = [line.removeprefix(b"0::") for line in lines if line.startswith(b"0::")]
    return frozenset(name for path in unified for name in os.fsdecode(path).split("/"))


def _run_of(pid: int) -> str:
    for entry in read_of_threads(pid, "environ").split(b"\0"):
        if entry.startswith(_RUN):
            return os.fsdecode(entry.removeprefix(_RUN))
    return ""
