"""The lock file that proves the one daemon of a database."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.words.errors import StartRefused


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock while inside. StartRefused names the file, and the pid of who holds it.

    The kernel lets go of the lock when its holder is gone, however it ended, so the file may stay:
    removing it would let two daemons lock two files of one name.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartRefused(
            f"the lock file {path} cannot be opened: {error.strerror}"
        ) from None
    try:
        _take(fd, path)
        yield
    finally:
        os.close(fd)


def _take(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
        raise StartRefused(
            f"another daemon (pid {pid}) holds the lock {path}", pid=pid
        ) from None
    except OSError as error:
        raise StartRefused(
            f"the lock file {path} cannot be locked: {error.strerror}"
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
