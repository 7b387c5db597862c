"""Files that are looked for by name, whatever stands there instead of them.

Opening a FIFO waits for somebody at its other end, for ever where there is nobody; a device may have
no end. Whoever reads a file of ours, or of the user's, reads it by this module.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

#: Bytes of a file that a person or we ourselves wrote: settings, units; far more than they have.
MOST_BYTES = 1024 * 1024


def open_plain(path: Path, flags: int) -> int:
    """A descriptor of a regular file, for its owner alone if it is made. OSError, at once, otherwise."""
    return _open(path, flags, lambda _fd, found: stat.S_ISREG(found.st_mode))


def read_plain(path: Path, most: int = MOST_BYTES, *, pipe: bool = False) -> str:
    """The text of a regular file; "" of the null device.

    OSError, at once, for anything else, and for more than `most` bytes; ValueError if it is no UTF-8.
    With `pipe` one that a shell made (`<(…)`) is read too, but none that has a name.
    """
    with _open_stream(path, pipe=pipe) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it has more than {most} bytes", str(path))
    return data.decode("utf-8")


def open_source(path: Path) -> BinaryIO:
    """A regular file, or a pipe that a shell made (`<(…)`), to be read. OSError, at once, otherwise."""
    return _open_stream(path, pipe=True)


def write_plain(path: Path, text: str) -> None:
    """Put a text into a regular file, which is made if need be. OSError, at once, if that cannot be."""
    fd = open_plain(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with open(fd, "w", encoding="utf-8") as file:
        file.write(text)


def reason_of(error: OSError | ValueError) -> str:
    """Why a file could not be read or written, for a sentence that names it already."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _open_stream(path: Path, *, pipe: bool) -> BinaryIO:
    def fits(fd: int, found: os.stat_result) -> bool:
        if stat.S_ISFIFO(found.st_mode):
            return pipe and os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:")
        return stat.S_ISREG(found.st_mode) or _is_null(found)

    fd = _open(path, os.O_RDONLY, fits)
    os.set_blocking(fd, True)
    return open(fd, "rb")


def _open(path: Path, flags: int, fits: Callable[[int, os.stat_result], bool]) -> int:
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    if not fits(fd, os.fstat(fd)):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return fd


def _is_null(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == os.stat(os.devnull).st_rdev
