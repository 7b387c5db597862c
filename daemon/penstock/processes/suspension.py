"""Stopping all processes of a program where they are, and letting them go on.

Both are signals, to every process by its pidfd. They are found from the program's main process: what
it has started, and what its supervisor adopted, descends from the supervisor, its parent.
"""

from __future__ import annotations

import signal

from penstock.processes.containment import descendants, group_members, own_line, send
from penstock.processes.liveness import read_stat
from penstock.words.events import ProcessStarted

#: Looks at a tree at most, for one that forks while it is stopped: what is stopped forks no more.
LOOKS = 50


def suspend(program: ProcessStarted) -> bool:
    """STOP every process of the program; False if it has ended. Blocks for as long as the looks take."""
    found: dict[int, int] = {}
    for _ in range(LOOKS):
        members = _members(program)
        if members is None:
            return False
        new = {pid: since for pid, since in members.items() if found.get(pid) != since}
        if not new:
            return True
        for pid, since in new.items():
            send(pid, since, signal.SIGSTOP)
        found |= new
    return True


def go_on(program: ProcessStarted) -> bool:
    """CONT every process of the program; False if it has ended."""
    members = _members(program)
    for pid, since in (members or {}).items():
        send(pid, since, signal.SIGCONT)
    return members is not None


def _members(program: ProcessStarted) -> dict[int, int] | None:
    """Start times by pid of all that belongs to it; None if its main process is not there any more."""
    stat = read_stat(program.pid)
    if stat is None or stat.start_time != program.start_time:
        return None
    # Where the supervisor is lost, an ancestor of ours has adopted it, and strangers' children would be meant.
    if stat.parent in {0, 1, *own_line()}:
        return None
    found = descendants(stat.parent)
    if program.cgroup is not None:
        found |= group_members(program.cgroup)
    # It has to hear the word to end, and to reap.
    found.pop(stat.parent, None)
    return found
