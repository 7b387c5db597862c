"""How the processes of a run are kept together, seen through /proc and cgroups, by its supervisor above all.

Three methods, best first: a delegated cgroup, a subreaper, a session. Standard library only, and little of
it: what a supervisor has imported is copied for every run. Which method a machine allows is `detection`'s.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from functools import cache

from penstock.processes.liveness import (
    UNSEEN,
    living_since,
    read_of_threads,
    read_whole,
)
from penstock.processes.liveness import read_stat as read_stat

#: Processes stopped in one walk, so that a tree that outgrows the walk is killed in parts.
MOST_WALKED = 4096

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER


def boot_id() -> str:
    """The id of this start of the machine; pids of another start mean nothing."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def all_pids() -> list[int]:
    """Every pid that `/proc` shows."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def carries(pid: int, markers: set[bytes], epoch: bytes) -> bool:
    """Whether the process's environment holds one of these `NAME=value` entries, and `epoch`.

    Another daemon may have a run of the same id; an empty `epoch` is not looked at.
    """
    entries = set(read_of_threads(pid, "environ").split(b"\0"))
    return not markers.isdisjoint(entries) and (not epoch or epoch in entries)


def send(pid: int, start_time: int, number: int) -> bool:
    """Signal this very process; False when it is gone or the pid is another's by now.

    One that /proc hides gets it only as our own child: nobody else's pid is sure to be still its own.
    """
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        stat = read_stat(pid)
        if (stat.start_time if stat else UNSEEN) != start_time:
            return False
        if stat is None and pid not in children(os.getpid()):
            return False
        signal.pidfd_send_signal(fd, number)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(fd)


def children(pid: int) -> list[int]:
    """The children of every thread of the process."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            listed = read_whole(f"/proc/{pid}/task/{thread}/children")
            found += map(int, listed.split())
        except OSError:  # the thread has ended, and another has its children now
            continue
    if not found and not os.path.exists("/proc/thread-self/children"):
        # A kernel without PROC_CHILDREN.
        return [p for p in all_pids() if (s := read_stat(p)) and s.parent == pid]
    return found


def descendants(root: int, *, stop: bool = False) -> dict[int, int]:
    """Start times of the living descendants by pid; with `stop` each is stopped when found."""
    found: dict[int, int] = {}
    waiting = [root]
    while waiting and len(found) < MOST_WALKED:
        for pid in children(waiting.pop()):
            start_time = living_since(pid)
            if start_time is None or pid in found:
                continue
            if stop:
                send(pid, start_time, signal.SIGSTOP)
            found[pid] = start_time
            waiting.append(pid)
    return found


def own_line() -> list[int]:
    """This process and those it descends from: a daemon may have been started inside a run."""
    line = [os.getpid()]
    while (stat := read_stat(line[-1])) and stat.parent:
        line.append(stat.parent)
    return line


@cache
def find_prctl() -> Callable[..., int]:
    """The C library's prctl. OSError, ImportError or AttributeError where there is none."""
    import ctypes  # here, since only those who adopt orphans pay for it

    function: Callable[..., int] = ctypes.CDLL(None).prctl
    return function


class Subreaper:
    """The tree is all that descends from this process; it is empty when no child is left."""

    method = "subreaper"
    proves = True

    def __init__(self) -> None:
        if find_prctl()(SUBREAPER, 1, 0, 0, 0):
            raise OSError(errno.EPERM, "no subreaper")

    def enter(self, pid: int) -> None:
        """Nothing to do: a child cannot leave."""

    def members(self) -> dict[int, int]:
        return descendants(os.getpid())

    def kill(self) -> None:
        for pid, start_time in descendants(os.getpid(), stop=True).items():
            send(pid, start_time, signal.SIGKILL)

    def empty(self, childless: bool) -> bool:
        return childless

    def close(self) -> None:
        """Nothing to remove."""


class Cgroup(Subreaper):
    """The tree is all that is in a folder of cgroup v2, and all that descends from this process.

    The one holds what a process of the tree asked another to adopt, the other what left the folder.
    """

    method = "cgroup"

    def __init__(self, folder: str, tasks: int) -> None:
        super().__init__()
        self.folder = folder
        os.mkdir(folder)
        if tasks:
            self.limit(tasks)

    def limit(self, tasks: int) -> None:
        """Let no more tasks be in it; where that is not granted the proof of the end still is."""
        try:
            with open(f"{self.folder}/pids.max", "w") as file:
                file.write(str(tasks))
        except OSError:
            return

    def enter(self, pid: int) -> None:
        with open(f"{self.folder}/cgroup.procs", "w") as file:
            file.write(str(pid))

    def members(self) -> dict[int, int]:
        return {**group_members(self.folder), **super().members()}

    def kill(self) -> None:
        kill_group(self.folder)
        super().kill()

    def empty(self, childless: bool) -> bool:
        return childless and not group_populated(self.folder)

    def close(self) -> None:
        remove_group(self.folder)


#: Looks without a find that are believed where the machine forks during each of them.
LOOKS = 10


def last_pid() -> bytes:
    """The pid that was given last in this namespace: while it stays the same, nothing forks."""
    with open("/proc/loadavg", "rb") as file:
        return file.read().split()[-1]


def unseen(members: Callable[[], dict[int, int]]) -> bool:
    """Whether a look finds nothing, where nothing but looking at `/proc` tells of the processes.

    One that forks and exits while `/proc` is read may stand in no single look, so only a look during
    which nothing was forked sees all that lives; where there is none, `LOOKS` without a find must do.
    """
    for _ in range(LOOKS):
        before = last_pid()
        if members():
            return False
        if last_pid() == before:
            return True
    return True


class ProcessSession:
    """The tree is the main process's session, and whatever still carries the run's id.

    A process that started a session of its own and wiped its environment is not seen, so this
    method never proves that a tree is empty.
    """

    method = "session"
    proves = False

    def __init__(self, marker: bytes, epoch: bytes) -> None:
        self.markers = {marker}
        self.epoch = epoch
        self.session = 0
        #: What the last look found: it may forget its run, or be seen without a word of it, as while it executes.
        self.known: dict[int, int] = {}

    def enter(self, pid: int) -> None:
        self.session = pid

    def members(self, *, stop: bool = False) -> dict[int, int]:
        found = {}
        for pid in all_pids():
            stat = read_stat(pid)
            if stat is None or pid == os.getpid():
                continue
            ours = stat.session == self.session or (
                self.known.get(pid) == stat.start_time
            )
            if not ours and not carries(pid, self.markers, self.epoch):
                continue
            if (start_time := living_since(pid)) is not None:
                if stop:
                    send(pid, start_time, signal.SIGSTOP)
                found[pid] = start_time
        self.known = found
        return found

    def kill(self) -> None:
        # Stopped when it is found: at the end of the look it may be another pid by now.
        found = self.members(stop=True)
        for pid, start_time in {**found, **self.members()}.items():
            send(pid, start_time, signal.SIGKILL)

    def empty(self, childless: bool) -> bool:
        return unseen(self.members)

    def close(self) -> None:
        """Nothing to remove."""


def group_members(folder: str) -> dict[int, int]:
    """Start times by pid of the processes in a cgroup folder and below it."""
    found = {}
    for path, _, _ in os.walk(folder):
        try:
            with open(f"{path}/cgroup.procs") as file:
                pids = [int(line) for line in file]
        except OSError:
            continue
        for pid in pids:
            if (start_time := living_since(pid)) is not None:
                found[pid] = start_time
    return found


def kill_group(folder: str) -> None:
    """KILL everything in the cgroup folder and below it."""
    try:
        with open(f"{folder}/cgroup.kill", "w") as file:
            file.write("1")
    except OSError:  # a kernel before 5.14, or the folder is gone
        for pid, start_time in group_members(folder).items():
            send(pid, start_time, signal.SIGKILL)


def group_populated(folder: str) -> bool:
    """Whether a process may live in the cgroup folder or below it.

    False only when the kernel says that none does, or has let the folder be removed, which it does
    to an empty one alone; a tree of cgroups that is not to be seen proves nothing.
    """
    try:
        with open(f"{folder}/cgroup.events") as file:
            return "populated 0" not in file.read()
    except OSError:
        tree = os.path.exists(f"{os.path.dirname(folder)}/cgroup.procs")
        return os.path.exists(folder) or not tree


def remove_group(folder: str) -> None:
    """Remove the cgroup folder and those below it; one that is still in use stays."""
    for path, _, _ in os.walk(folder, topdown=False):
        try:
            os.rmdir(path)
        except OSError:
            return


def choose(spec: dict[str, object]) -> Subreaper | ProcessSession:
    """The wanted containment, or the next lesser one that this machine grants."""
    method = spec["method"]
    if method == "cgroup":
        try:
            return Cgroup(str(spec["cgroup"]), int(str(spec["tasks"])))
        except OSError:
            method = "subreaper"
    if method == "subreaper":
        try:
            return Subreaper()
        except (OSError, ImportError, AttributeError):
            method = "session"
    marker, epoch = spec["marker"], spec["epoch"]
    assert isinstance(marker, bytes)
    assert isinstance(epoch, bytes)
    return ProcessSession(marker, epoch)
