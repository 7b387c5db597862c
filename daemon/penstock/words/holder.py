"""Who holds a daemon's lock, and where that daemon listens: what the lock's file says.

The first line is the pid. The second, once the holder listens, is JSON: its socket and its URL. A
client that stands in another environment (cron, `su`, a stripped one) has other folders for
sockets, but the same state folder, and so finds the daemon here.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

#: Bytes of the file that are read: a pid, a path and a URL are far shorter.
MOST_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a lock; what it has not told (yet) is None."""

    pid: int | None
    socket: Path | None = None
    url: str | None = None

    def __str__(self) -> str:
        return f"pid {'unknown' if self.pid is None else self.pid}"


def read_holder(lock: Path) -> Holder | None:
    """Who holds the lock now; None if nobody does.

    What the file says counts only while it is locked, and only if the file is ours: it decides whom
    clients talk to.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(lock, flags)
    except OSError:
        return None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return None
        # For a moment this keeps a daemon from its lock: whoever takes it tries more than once.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return parse_holder(os.pread(fd, MOST_BYTES, 0))
    except OSError:
        return None
    finally:
        os.close(fd)
    return None


def parse_holder(data: bytes) -> Holder:
    """What a lock's file says; what it does not say is None."""
    first, _, second = data.decode(errors="replace").partition("\n")
    try:
        told = json.loads(second)
    except (ValueError, RecursionError):
        told = None
    told = told if isinstance(told, dict) else {}
    socket, url = told.get("socket"), told.get("url")
    return Holder(
        pid=int(first) if first.isascii() and first.isdigit() else None,
        socket=Path(socket) if isinstance(socket, str) else None,
        url=url if isinstance(url, str) else None,
    )


def tell_address(lock: Path, socket: Path | None, url: str | None) -> None:
    """Write down where we listen. The caller holds the lock, and the file stays the same one."""
    told = {"socket": None if socket is None else os.fspath(socket), "url": url}
    data = f"{os.getpid()}\n{json.dumps(told)}\n".encode()
    fd = os.open(lock, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.pwrite(fd, data, 0)
        os.ftruncate(fd, len(data))
    finally:
        os.close(fd)
