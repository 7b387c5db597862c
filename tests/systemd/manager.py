"""Run a scenario under a real `systemd --user` of a user who is not root: `manager.py SCENARIO`.

Nothing of the machine's own systemd is touched. Started by `tests/contained/enclose.py`, which gives
a PID namespace with a limit of tasks; this adds namespaces of mounts, cgroups and the network, makes
them look as if systemd had booted them, and becomes the user. One JSON object on stdout is the
scenario's result; exit status 77, with the reason, where the machine cannot do it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import NoReturn

USER = 4242
HOME = Path("/run/home/box")
RUNTIME = Path(f"/run/user/{USER}")
CHECKOUT = Path(__file__).parents[2]
SYSTEMD = Path("/lib/systemd/systemd")
JOURNALD = Path("/lib/systemd/systemd-journald")
START_SECONDS = 60.0
#: <linux/sockios.h>, <net/if.h>
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def main() -> None:
    """One stage; each ends by becoming the next."""
    scenario, stage = [*sys.argv[1:], "enclosed"][:2]
    {"enclosed": enclosed, "prepare": prepare, "user": as_user}[stage](scenario)


def enclosed(scenario: str) -> None:
    """Root in the PID namespace: enter the cgroup that will be the root of all."""
    for program in (SYSTEMD, JOURNALD):
        if not program.exists():
            refuse(f"needs {program}")
    for name in ("unshare", "setpriv", "mount", "umount", "systemctl"):
        if not shutil.which(name):
            refuse(f"needs {name}")
    delegated = os.environ.get("DELEGATED")
    if not delegated:
        refuse("needs a writable cgroup v2")
    Path(delegated, "cgroup.procs").write_text(str(os.getpid()))
    become("unshare", "--mount", "--cgroup", "--net", "--propagation", "private",
           *again(scenario, "prepare"))  # fmt: skip


def prepare(scenario: str) -> None:
    """Root in all namespaces: the folders and files of a booted system, then the user."""
    raise_loopback()
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    # The first makes systemd believe that it booted; the second is where sandboxes are built.
    for folder in (
        "systemd/system",
        "systemd/unit-root",
        "systemd/journal",
        "log/journal",
    ):
        Path("/run", folder).mkdir(parents=True)
    add_user()
    show_trees({CHECKOUT, Path(sys.prefix), Path(sys.base_prefix)})
    run("umount", "-l", "/sys/fs/cgroup")
    run("mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
    for name in ("", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"):
        os.chown(Path("/sys/fs/cgroup", name), USER, USER)
    start_journal()
    environ = {
        "HOME": HOME, "USER": "box", "LOGNAME": "box", "PATH": os.environ["PATH"],
        "XDG_RUNTIME_DIR": RUNTIME, "SYSTEMD_LOG_TARGET": "console", "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": f"{CHECKOUT / 'tests'}:{CHECKOUT / 'daemon'}",
    }  # fmt: skip
    os.chdir(HOME)
    become("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "env", "-i",
           *(f"{name}={value}" for name, value in environ.items()),
           *again(scenario, "user"))  # fmt: skip


def as_user(scenario: str) -> None:
    """The user: his service manager, the scenario, and its result."""
    from systemd.scenarios import SCENARIOS

    with Path(HOME, "systemd.log").open("wb") as log:
        manager = subprocess.Popen(
            [SYSTEMD, "--user", "--unit=basic.target"], stdout=log, stderr=log
        )
    wait_for_manager()
    try:
        result = SCENARIOS[scenario]()
    except BaseException:
        print(Path(HOME, "systemd.log").read_text()[-4000:], file=sys.stderr)
        subprocess.run(["journalctl", "-D", "/run/log/journal", "--no-pager", "-n", "60"],
                       stdout=sys.stderr, check=False)  # fmt: skip
        raise
    print(json.dumps(result))
    sys.stdout.flush()
    manager.terminate()
    manager.wait(START_SECONDS)


def raise_loopback() -> None:
    """A new network namespace has its loopback, but not up."""
    with socket.socket() as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def add_user() -> None:
    """A user of whom the machine outside knows nothing."""
    for name, line in {
        "passwd": f"box:x:{USER}:{USER}::{HOME}:/bin/sh\n",
        "group": f"box:x:{USER}:\n",
    }.items():
        own = Path("/run", name)
        own.write_text(Path("/etc", name).read_text() + line)
        run("mount", "--bind", str(own), f"/etc/{name}")
    for folder in (HOME, RUNTIME):
        folder.mkdir(parents=True, mode=0o700)
        os.chown(folder, USER, USER)
    RUNTIME.parent.chmod(0o755)
    HOME.parent.chmod(0o755)


def show_trees(trees: set[Path]) -> None:
    """Let the user read these although they may lie in folders that are closed to him.

    Such a folder is covered, and nothing shows through but the trees.
    """
    closed = {shut for tree in trees if (shut := first_closed(tree))}
    kept = {}
    for number, tree in enumerate(sorted(trees)):
        if first_closed(tree):
            kept[tree] = Path(f"/run/shown/{number}")
            kept[tree].mkdir(parents=True)
            run("mount", "--bind", str(tree), str(kept[tree]))
    for folder in closed:
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(folder))
    for tree, held in kept.items():
        tree.mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", str(held), str(tree))


def first_closed(tree: Path) -> Path | None:
    """The topmost folder above a tree that others may not enter."""
    for folder in reversed(tree.parents):
        if not folder.stat().st_mode & 0o001:
            return folder
    return None


def start_journal() -> None:
    """A journal of our own, which the user may read."""
    identity = Path("/run/machine-id")
    identity.write_text(f"{uuid.uuid4().hex}\n")
    if not Path("/etc/machine-id").exists():
        refuse("needs /etc/machine-id, over which to mount another")
    run("mount", "--bind", str(identity), "/etc/machine-id")
    subprocess.Popen([JOURNALD], stderr=subprocess.DEVNULL)
    give_up = time.monotonic() + START_SECONDS
    while not list(Path("/run/log/journal").glob("*/*.journal")):
        if time.monotonic() > give_up:
            refuse("journald does not start")
        time.sleep(0.05)
    for path in Path("/run/log/journal").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def wait_for_manager() -> None:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        asked = subprocess.run(
            ["systemctl", "--user", "is-system-running"],
            capture_output=True,
            check=False,
        )
        if asked.stdout.strip() in {b"running", b"degraded"}:
            return
        time.sleep(0.05)
    print(Path(HOME, "systemd.log").read_text(), file=sys.stderr)
    raise SystemExit("the user's systemd does not start")


def run(*argv: str) -> None:
    subprocess.run(argv, check=True)


def again(scenario: str, stage: str) -> list[str]:
    return [sys.executable, __file__, scenario, stage]


def become(*argv: str) -> NoReturn:
    os.execvp(argv[0], argv)


def refuse(why: str) -> NoReturn:
    """Say why this machine cannot do it."""
    print(why)
    sys.exit(77)


if __name__ == "__main__":
    main()
