"""What a daemon needs of its machine before anything else."""

from __future__ import annotations

import logging
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from penstock.words.address import Paths
from penstock.words.errors import StartRefused

log = logging.getLogger("penstock")

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
    """Make the folders that must exist, and see that nobody else can put anything into them.

    StartRefused names the one that cannot be made, or that is not ours alone.
    """
    for folder in (paths.state, paths.runs, paths.runtime):
        make_folder(folder)
    if paths.embedded.exists():
        _make_private(paths.embedded)
    for file in (paths.database, paths.token, paths.lock):
        # From a time when others could write there.
        if os.path.lexists(file) and file.lstat().st_uid != os.geteuid():
            why = f"{file} is not a file of yours; look at it, and take it away"
            raise StartRefused(why)


def make_folder(folder: Path) -> None:
    """Make a folder of ours alone, unless it is there. StartRefused if it cannot be, or is not ours."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A folder of sockets may be removed with the last of another daemon; who listens makes it again.
        with suppress(FileNotFoundError):
            _make_private(folder)
    except OSError as error:
        why = f"the folder {folder} cannot be made: {error.strerror}"
        raise StartRefused(why) from None


def _make_private(folder: Path) -> None:
    """Close a folder into which others could write. StartRefused if it belongs to somebody else."""
    found = folder.stat()
    if found.st_uid != os.geteuid():
        why = f"belongs to uid {found.st_uid}, and you are uid {os.geteuid()}"
        raise StartRefused(f"the folder {folder} {why}")
    mode = stat.S_IMODE(found.st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        folder.chmod(0o700)
        log.warning("others could write into %s (mode %o); closed it", folder, mode)
