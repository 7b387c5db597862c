"""What a daemon needs of its machine before anything else."""

from __future__ import annotations

import os
import re

from penstock.words.address import Paths
from penstock.words.errors import StartRefused

#: Runs are ended by handle (pidfd_open, waitid with P_PIDFD); older kernels only know numbers.
LEAST_KERNEL = (5, 3)
#: The first kernel with `cgroup.kill`.
KILLS_CGROUPS = (5, 14)


def check_machine(uname: os.uname_result) -> None:
    """StartRefused unless this is Linux with a kernel that is new enough."""
    if uname.sysname != "Linux":
        raise StartRefused(
            f"Penstock's daemon runs on Linux, and this is {uname.sysname}; "
            "reach one elsewhere with --url"
        )
    if kernel_of(uname.release) < LEAST_KERNEL:
        least = ".".join(map(str, LEAST_KERNEL))
        raise StartRefused(
            f"Penstock needs Linux {least} or newer, and this is {uname.release}"
        )


def kernel_of(release: str) -> tuple[int, int]:
    """`6.1.0-18-amd64` as (6, 1); a release without numbers counts as the oldest."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def make_state(paths: Paths) -> None:
    """Make the folders that must exist. StartRefused names the one that cannot be made."""
    for folder in (paths.state, paths.runs, paths.runtime):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            why = f"the folder {folder} cannot be made: {error.strerror}"
            raise StartRefused(why) from None
