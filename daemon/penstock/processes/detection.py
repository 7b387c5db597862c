"""Which containment this machine allows: found out once, at the daemon's start.

Apart from `containment`, which every supervisor has in its memory.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from penstock.words.errors import StartRefused

Method = Literal["cgroup", "subreaper", "session"]

#: Who is given a part of the cgroup tree is told so by these attributes (systemd sets them).
DELEGATION_MARKS = ("user.delegate", "trusted.delegate")
#: The user manager of systemd 252 sets no mark; our unit names itself instead.
DELEGATED_UNIT = "PENSTOCK_DELEGATED"
#: The leaf for the daemon; folders of runs are its siblings.
DAEMON_LEAF = "daemon"


@dataclass(frozen=True, slots=True)
class Containment:
    """The method, strongest first, and the folder in which each run gets its own cgroup."""

    method: Method
    cgroup_root: Path | None = None
    #: Processes and threads that each of these cgroups may hold; None: as many as all together may.
    most_tasks: int | None = None


def detect_containment(
    environ: Mapping[str, str], most_tasks: int | None = None
) -> Containment:
    """The strongest method this process may use; moves it into `daemon/` of a delegated cgroup.

    `most_tasks` is the limit for each run, where one can be set. `PENSTOCK_CONTAINMENT` forces a
    lesser method. StartRefused when that is not the name of a method.
    """
    forced = environ.get("PENSTOCK_CONTAINMENT") or "cgroup"
    if forced not in get_args(Method):
        raise StartRefused(
            f"PENSTOCK_CONTAINMENT must be cgroup, subreaper or session, not {forced!r}"
        )
    if forced == "cgroup" and (
        root := enter_delegated_cgroup(environ.get(DELEGATED_UNIT, ""))
    ):
        limited = most_tasks is not None and limits_tasks(root)
        return Containment("cgroup", root, most_tasks if limited else None)
    if forced != "session" and sys.platform == "linux":
        return Containment("subreaper")
    return Containment("session")


def own_cgroup(cgroup_text: str, mountinfo_text: str) -> Path | None:
    """The folder of our cgroup v2, by `/proc/self/cgroup` and `/proc/self/mountinfo`."""
    own = next(
        (line[3:] for line in cgroup_text.splitlines() if line.startswith("0::/")), None
    )
    if own is None:
        return None
    for line in mountinfo_text.splitlines():
        fields, _, kind = line.partition(" - ")
        if not kind.startswith("cgroup2 "):
            continue
        root, mount = fields.split(" ")[3:5]
        if Path(own).is_relative_to(root):
            return Path(mount) / Path(own).relative_to(root)
    return None


def enter_delegated_cgroup(unit: str = "") -> Path | None:
    """Move this process into the daemon's leaf of its delegated cgroup; None when there is none.

    `unit` is the unit that says of itself that it is delegated.
    """
    try:
        own = own_cgroup(
            Path("/proc/self/cgroup").read_text(),
            Path("/proc/self/mountinfo").read_text(),
        )
        if own is None:
            return None
        if own.name == DAEMON_LEAF and is_delegated(own.parent, unit):
            return own.parent
        if not is_delegated(own, unit):
            return None
        leaf = own / DAEMON_LEAF
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        return None
    return own


def limits_tasks(root: Path) -> bool:
    """Whether cgroups below this one can have a limit of tasks; asks for it."""
    try:
        (root / "cgroup.subtree_control").write_text("+pids")
    except OSError:
        # The controller is not ours, or belongs to the old version of cgroups.
        return False
    return True


def is_delegated(folder: Path, unit: str = "") -> bool:
    """Whether this cgroup is ours to divide; being able to write there is not enough.

    Root may write everywhere and a user in all of his session, but systemd divides those.
    """
    if not os.access(folder, os.W_OK) or not os.access(
        folder / "cgroup.procs", os.W_OK
    ):
        return False
    # A unit's cgroup bears its name, so that who inherits the word elsewhere gets nothing by it.
    if unit and folder.name == unit:
        return True
    for mark in DELEGATION_MARKS:
        try:
            if os.getxattr(folder, mark) == b"1":
                return True
        except OSError:
            continue
    # A writable root that is not the machine's is a container's own; only the machine's has no events.
    return os.path.ismount(folder) and (folder / "cgroup.events").exists()
