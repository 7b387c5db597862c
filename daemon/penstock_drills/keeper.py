"""Waits for the end of a drill, and ends what a killed one has left: `keeper.py FOLDER`.

When stdin ends, the drill is gone. Unless it has removed its folder, it was killed: then every
process whose home is that folder is killed too, which is its daemon, and the folder is removed.
Standard library only, and outside the drill's session, so that a signal to its group does not end
this too.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time

#: Seconds without a process of the drill after which there will be none: one may just be starting.
QUIET_SECONDS = 3.0
#: Seconds between two looks.
LOOK_SECONDS = 0.05


def kill_at_home(folder: str) -> int:
    """Kill every process whose home is this folder; how many there were."""
    home = f"HOME={folder}".encode()
    killed = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            handle = os.pidfd_open(int(name))
        except OSError:
            continue
        # The handle came first, so that it is this very process whose environment is read.
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if home in file.read().split(b"\0"):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    killed += 1
        except OSError:
            continue
        finally:
            os.close(handle)
    return killed


def main(folder: str) -> None:
    """Wait, and clean up."""
    sys.stdin.read()
    if not os.path.exists(folder):
        return
    quiet_since = time.monotonic()
    while time.monotonic() < quiet_since + QUIET_SECONDS:
        if kill_at_home(folder):
            quiet_since = time.monotonic()
        time.sleep(LOOK_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
