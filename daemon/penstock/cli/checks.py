"""What `penstock doctor` looks at on the box. A check makes, moves and repairs nothing."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from penstock.cli.session import Session
from penstock.service.machine import KILLS_CGROUPS, check_machine, kernel_of
from penstock.words.address import Paths
from penstock.words.config import GIB, Config
from penstock.words.config_sources import mistyped
from penstock.words.errors import StartRefused

#: Seconds for a program that only tells its version.
VERSION_SECONDS = 10.0
#: What adjtimex(2) answers while nobody keeps the clock right.
TIME_ERROR = 5
#: Larger than the kernel's `struct timex`, whose first member 0 asks for nothing to be changed.
TIMEX_BYTES = 512


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check saw. A warning hinders nobody now; a failure does. Each has its fix."""

    check: str
    state: Literal["ok", "warning", "failure"]
    found: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Box:
    """What the checks look at."""

    session: Session
    config: Config
    paths: Paths
    #: The daemon that holds the lock, if one does.
    pid: int | None


Findings = Iterator[CheckResult]


def check_system() -> Findings:
    """Linux, the kernel, and whose processes these are."""
    try:
        check_machine(os.uname())
    except StartRefused as error:
        yield CheckResult("system", "failure", str(error), "use a newer Linux")
        return
    release = os.uname().release
    if kernel_of(release) < KILLS_CGROUPS:
        least = ".".join(map(str, KILLS_CGROUPS))
        fix = f"Linux {least} or newer ends a cgroup in one step"
        yield CheckResult(
            "system", "warning", f"Linux {release} has no cgroup.kill", fix
        )
    elif os.geteuid() == 0:
        fix = "run Penstock as the user whose work it does"
        yield CheckResult("system", "warning", "you are root, and so is every run", fix)
    else:
        yield CheckResult("system", "ok", f"Linux {release}")


def check_names(session: Session) -> Findings:
    """Names of the environment that nobody reads."""
    for name, near in mistyped(session.environ).items():
        fix = f"write {near}" if near else f"unset {name}; see `penstock config`"
        yield CheckResult("environment", "warning", f"nobody reads {name}", fix)


def check_folders(box: Box) -> Findings:
    """Owner, mode and room for writing."""
    for name, path in (("state", box.paths.state), ("runtime", box.paths.runtime)):
        yield CheckResult(f"{name} folder", *_judge_folder(path))


def _judge_folder(path: Path) -> tuple[Literal["ok", "warning", "failure"], str, str]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return "ok", f"{path} will be made", ""
    except OSError as error:
        return "failure", f"{path}: {error.strerror}", "let your user enter the path"
    if found.st_uid != os.geteuid():
        return "failure", f"{path} belongs to somebody else", f"chown it to uid {os.geteuid()}"  # fmt: skip
    if not os.access(path, os.W_OK | os.X_OK):
        return "failure", f"{path} cannot be written", f"chmod u+rwx {path}"
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        return "warning", f"{path} is open to others ({mode:o})", f"chmod 700 {path}"
    return "ok", str(path), ""


def check_git(box: Box) -> Findings:
    """git, for sources that are addresses."""
    program = shutil.which("git", path=box.session.environ.get("PATH"))
    if program is None:
        fix = "install git; only folders of this box can be described without it"
        yield CheckResult("git", "warning", "not found", fix)
        return
    try:
        done = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            timeout=VERSION_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        yield CheckResult(
            "git", "warning", f"{program} does not run: {error}", "mend it"
        )
        return
    yield CheckResult("git", "ok", done.stdout.strip())


def check_disk(box: Box) -> Findings:
    """Room for the log."""
    there = next(x for x in (box.paths.state, *box.paths.state.parents) if x.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / GIB:.1f} GiB free at {there}"
    if free < box.config.min_free_bytes:
        fix = "make room; new runs are refused until then (`min_free_bytes`)"
        yield CheckResult("disk", "failure", found, fix)
    elif free < 2 * box.config.min_free_bytes:
        yield CheckResult("disk", "warning", found, "make room before runs are refused")
    else:
        yield CheckResult("disk", "ok", found)


def check_clock(box: Box) -> Findings:
    """Whether somebody keeps the time of day right."""
    libc = ctypes.CDLL(None, use_errno=True)
    told = libc.adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    if told == TIME_ERROR:
        fix = "`timedatectl set-ntp true`, or leave it to the host of this machine"
        yield CheckResult("clock", "warning", "nobody keeps it right", fix)
    else:
        yield CheckResult(
            "clock", "ok", "kept right" if told >= 0 else "cannot be asked"
        )
