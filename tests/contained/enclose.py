"""Run a program with its children where they can harm nothing: `enclose.py PROGRAM ARG...`.

It gets a PID namespace and a `/proc` of its own and at most 200 tasks, and everything in there dies
with its first process. The environment gets `CONTAINED=1` and `DELEGATED`, a cgroup v2 folder that is
marked as delegated (empty where there is none). Exit status 77, with the reason, when it cannot.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

MOST_TASKS = 200
SECONDS = 90


def main() -> int:
    """Set up, run, clean up."""
    if os.geteuid():
        refuse("needs root")
    if not shutil.which("unshare"):
        refuse("needs unshare")
    tree = next((Path(mount) for mount, kind in mounts() if kind == "cgroup2"), None)
    limited = pids_folder(tree)
    delegated = delegate(limited, tree)
    (limited / "pids.max").write_text(str(MOST_TASKS))
    try:
        return run(limited, delegated)
    finally:
        for folder in (delegated, limited):
            remove(folder)


def mounts() -> list[tuple[str, str]]:
    """Mount point and type of every file system."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [(fields[1], fields[2]) for fields in map(str.split, lines)]


def pids_folder(tree: Path | None) -> Path:
    """A new folder of the pids controller, of either version."""
    name = f"penstock-test-{os.getpid()}"
    old = Path("/sys/fs/cgroup/pids")
    try:
        if (old / "cgroup.procs").exists():
            (old / name).mkdir()
            return old / name
        if tree and "pids" in (tree / "cgroup.subtree_control").read_text().split():
            (tree / name).mkdir()
            return tree / name
    except OSError as error:
        refuse(f"the pids controller cannot be used: {error}")
    return refuse("needs the pids controller")


def delegate(limited: Path, tree: Path | None) -> Path | None:
    """A folder of cgroup v2 with the mark that systemd gives; below the limit where they are one tree."""
    if tree is None:
        return None
    parent = limited if limited.is_relative_to(tree) else tree
    folder = parent / f"penstock-delegated-{os.getpid()}"
    try:
        folder.mkdir()
        os.setxattr(folder, "trusted.delegate", b"1")
    except OSError:
        remove(folder)
        return None
    return folder


def run(limited: Path, delegated: Path | None) -> int:
    """The program's exit status; it is killed with all its children after 90 s."""
    unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"]
    command = [sys.executable, *sys.argv[1:]]
    enter = 'echo $$ > "$0" && exec "$@"'
    program = subprocess.Popen(
        ["/bin/sh", "-c", enter, str(limited / "cgroup.procs"), *unshare, *command],
        env={**os.environ, "CONTAINED": "1", "DELEGATED": str(delegated or "")},
    )
    try:
        return program.wait(SECONDS)
    finally:
        program.kill()
        program.wait()


def remove(folder: Path | None) -> None:
    """Remove a cgroup folder and those below it."""
    if folder is None:
        return
    for path, _, _ in os.walk(folder, topdown=False):
        for _ in range(100):
            try:
                os.rmdir(path)
                break
            except FileNotFoundError:
                break
            except OSError:
                # The dead leave a cgroup a moment after they died.
                subprocess.run(["sleep", "0.02"], check=True)


def refuse(why: str) -> NoReturn:
    """Say why this machine cannot do it."""
    print(why)
    sys.exit(77)


if __name__ == "__main__":
    sys.exit(main())
