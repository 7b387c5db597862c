"""Of which processes a process is a descendant, and what else tells to which run's tree it belongs."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.processes.containment import carries, group_members
from penstock.processes.liveness import read_stat

#: Times that a line is read anew because a process of it ended meanwhile: its children are somebody
#: else's then.
LOOKS = 3
#: Processes of a line at most; a line that is longer was not read whole.
LONGEST_LINE = 1024


@dataclass(frozen=True, slots=True)
class Ancestry:
    """A process and those it descends from, nearest first; `whole` if none was hidden or gone."""

    pids: tuple[int, ...]
    whole: bool


def ancestry_of(pid: int) -> Ancestry:
    """The line of a process, as far as it can be read. Blocks for some microseconds a process."""
    line = _read_ancestry(pid)
    for _ in range(LOOKS - 1):
        if line.whole:
            break
        line = _read_ancestry(pid)
    return line


def _read_ancestry(pid: int) -> Ancestry:
    pids: list[int] = []
    while pid and len(pids) < LONGEST_LINE:
        stat = read_stat(pid)
        if stat is None:
            return Ancestry(tuple(pids), whole=False)
        pids.append(pid)
        pid = stat.parent
    return Ancestry(tuple(pids), whole=not pid)


def in_group(pid: int, folder: str) -> bool:
    """Whether the process is in this folder of cgroups, or below it."""
    return pid in group_members(folder)


def in_session(pid: int, session: int) -> bool:
    """Whether it belongs to this session, as processes do whose parent has ended."""
    stat = read_stat(pid)
    return stat is not None and stat.session == session


def names_run(pid: int, run_id: str) -> bool:
    """Whether its environment says that it is of this run, as that of every program of a run does."""
    return carries(pid, {f"PENSTOCK_RUN_ID={run_id}".encode()}, b"")
