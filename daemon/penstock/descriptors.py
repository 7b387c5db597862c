"""Descriptors that were given to us, and that another program may share.

Who shares one may have made it non-blocking: node does so with terminals and pipes. There is no room then
(EAGAIN) where a blocking one lets its writer wait; so we wait ourselves.
"""

from __future__ import annotations

import io
import os
import select
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

#: Bytes of one read: the capacity of a pipe.
_PIECE_BYTES = 64 * 1024


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, however long its reader takes. OSError if nobody takes it any more. Blocks."""
    left = memoryview(data)
    while left:
        left = left[_patiently(descriptor, select.POLLOUT, os.write, left) :]


def read_some(descriptor: int, most: int) -> bytes:
    """The next bytes, at most so many; none at the end. Blocks."""
    return _patiently(descriptor, select.POLLIN, os.read, most)


class PatientFile(io.FileIO):
    """A raw file over such a descriptor, under Python's buffers."""

    def write(self, data: Any, /) -> int:
        """As of a blocking one."""
        while (written := super().write(data)) is None:
            _wait(self.fileno(), select.POLLOUT)
        return written

    def readall(self) -> bytes:
        """All that comes until the end."""
        return b"".join(iter(lambda: read_some(self.fileno(), _PIECE_BYTES), b""))

    def readinto(self, buffer: Any, /) -> int:
        """As of a blocking one."""
        while (read := super().readinto(buffer)) is None:
            _wait(self.fileno(), select.POLLIN)
        return read


def _patiently(
    descriptor: int, event: int, act: Callable[[int, Any], T], what: Any
) -> T:
    while True:
        try:
            return act(descriptor, what)
        except BlockingIOError:
            _wait(descriptor, event)


def _wait(descriptor: int, event: int) -> None:
    waiting = select.poll()
    waiting.register(descriptor, event)
    waiting.poll()
