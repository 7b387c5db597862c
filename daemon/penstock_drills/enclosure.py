"""A place where hostile process trees can harm nothing: a PID namespace with a limit of tasks.

Everything in it dies with its first process. It needs root, `unshare` and the pids controller.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

#: Tasks in it at once: the threads of a daemon and a few trees; a fork churner is stopped by it.
MOST_TASKS = 300
#: Says to a program that it is enclosed.
ENCLOSED = "PENSTOCK_DRILL_ENCLOSED"
#: Seconds in which the dead leave a cgroup.
LEAVING_SECONDS = 5.0

_UNSHARE = ("unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc")
#: What it starts is killed with the thread that started it: the kernel keeps that word.
_TIED = ("setpriv", "--pdeathsig", "KILL")
#: Enter the cgroup, unless who wanted that has died before we were tied to him.
_ENTER = 'test "$PPID" = "$1" && shift && echo $$ > "$0" && exec "$@"'


@dataclass(frozen=True, slots=True)
class Enclosure:
    """The cgroup that limits the tasks, and one marked as delegated where there is cgroup v2."""

    limited: Path
    delegated: Path | None


def why_not_enclosed() -> str | None:
    """What this box lacks for an enclosure; None if nothing."""
    if os.geteuid():
        return "needs root"
    for name in ("unshare", "setpriv"):
        if not shutil.which(name):
            return f"needs {name}"
    if _pids_root() is None:
        return "needs the pids controller"
    return None


@contextmanager
def open_enclosure(tasks: int = MOST_TASKS) -> Iterator[Enclosure]:
    """New cgroups, removed at the end. OSError when this box does not grant them.

    `tasks`: how many there may be in it at once.
    """
    root, tree = _pids_root(), _cgroup2()
    if root is None:
        raise OSError("needs the pids controller")
    name = f"{secrets.token_hex(4)}-{os.getpid()}"
    limited = root / f"penstock-enclosed-{name}"
    delegated = None
    with ExitStack() as stack:
        try:
            with _locked(root, wait=True):
                _sweep(root, tree)
                limited.mkdir()
                stack.enter_context(_locked(limited))
                (limited / "pids.max").write_text(str(tasks))
                delegated = _delegate(limited, tree, name)
                if delegated is not None:
                    stack.enter_context(_locked(delegated))
            yield Enclosure(limited, delegated)
        finally:
            for folder in (delegated, limited):
                _remove(folder)


@contextmanager
def enclosed(
    enclosure: Enclosure, words: Sequence[str]
) -> Iterator[subprocess.Popen[str]]:
    """Python with these words inside, its lines readable; killed with all its children at the end.

    The end of the calling thread is such an end too, also by kill -9.
    """
    program = subprocess.Popen(
        [*_TIED, "/bin/sh", "-c", _ENTER, str(enclosure.limited / "cgroup.procs"),
         str(os.getpid()), *_UNSHARE, sys.executable, *words],
        env={**os.environ, ENCLOSED: "1"}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield program
    finally:
        program.kill()
        program.wait()
        if program.stdout is not None:
            program.stdout.close()


def check_enclosed() -> None:
    """Refuse to go on outside: the first process of a namespace is told so and has the pid 1."""
    if os.environ.get(ENCLOSED) != "1" or os.getpid() != 1:
        raise SystemExit("hostile processes run only inside the enclosure of the drill")


def _cgroup2() -> Path | None:
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    mounts = (line.split() for line in lines)
    return next((Path(m[1]) for m in mounts if m[2] == "cgroup2"), None)


def _pids_root() -> Path | None:
    """Where folders of the pids controller can be made, of either version."""
    old = Path("/sys/fs/cgroup/pids")
    if (old / "cgroup.procs").exists() and os.access(old, os.W_OK):
        return old
    tree = _cgroup2()
    if tree is None or not os.access(tree, os.W_OK):
        return None
    control = tree / "cgroup.subtree_control"
    with suppress(OSError):
        return tree if "pids" in control.read_text(encoding="utf-8").split() else None
    return None


def _delegate(limited: Path, tree: Path | None, name: str) -> Path | None:
    """A folder with the mark that systemd gives; below the limit where both are one tree."""
    if tree is None:
        return None
    parent = limited if limited.is_relative_to(tree) else tree
    folder = parent / f"penstock-divided-{name}"
    try:
        folder.mkdir()
        os.setxattr(folder, "trusted.delegate", b"1")
    except OSError:
        _remove(folder)
        return None
    return folder


@contextmanager
def _locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the folder; OSError when another does and we do not `wait`.

    The lock ends with its holder, and is seen from every PID namespace, which a pid is not.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(fd)


def _sweep(*trees: Path | None) -> None:
    """Remove what drills have left that were killed; a cgroup with a process in it stays."""
    for tree in filter(None, trees):
        for folder in (
            *tree.glob("penstock-enclosed-*"),
            *tree.glob("penstock-divided-*"),
        ):
            with suppress(OSError), _locked(folder):
                _remove_empty(folder)


def _remove_empty(folder: Path) -> None:
    for path, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            Path(path).rmdir()


def _remove(folder: Path | None) -> None:
    if folder is None:
        return
    give_up = time.monotonic() + LEAVING_SECONDS
    while folder.exists() and time.monotonic() < give_up:
        _remove_empty(folder)
        # The dead leave a cgroup a moment after they died.
        time.sleep(0.02)
