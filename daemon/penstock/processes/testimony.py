"""What a supervisor proved after its daemon had died, kept as a file for the next life.

Whoever could have waited for a process tree is dead then, but for the supervisor: its wait is the proof
that no search makes up for. A file without content, named by the machine's start and the main process,
is made once the tree is proven empty and nobody heard it. Standard library only, for a supervisor.
"""

from __future__ import annotations

import os
import time

from penstock.processes.termination import LOOK_SECONDS, pause


def name_of(boot: str, pid: int, start_time: int) -> str:
    """The name of the file about a tree with this main process."""
    return f"{boot}.{pid}.{start_time}"


def keep_proof(folder: str, boot: str, pid: int, start_time: int) -> None:
    """Keep that nothing is left of the tree; where that cannot be kept it stays unknown."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        path = os.path.join(folder, name_of(boot, pid, start_time))
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError:
        return


def find_testimonies(folder: str, boot: str) -> set[str]:
    """The names of all that are there; those of other starts of the machine are removed.

    One stays when it has been read: a run that is cut off again is asked about all its processes.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        return set()
    for name in names:
        if not name.startswith(f"{boot}."):
            try:
                os.unlink(os.path.join(folder, name))
            except OSError:
                continue
    return {name for name in names if name.startswith(f"{boot}.")}


def wait_testimonies(
    folder: str, boot: str, wanted: set[str], seconds: float
) -> set[str]:
    """As `find_testimonies`, once all that are wanted are there, or after so many seconds."""
    until = time.monotonic() + seconds
    while not wanted <= (found := find_testimonies(folder, boot)):
        if time.monotonic() >= until:
            break
        pause(LOOK_SECONDS)
    return found
