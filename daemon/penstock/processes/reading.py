"""How a program's streams are read: much at once, and of two the one that spoke first.

Two pipes do not tell in which order a program wrote to them, but the kernel keeps in which order they
became readable. Who reads by that mixes up only what was written to both, to and fro, before anybody
could read.
"""

from __future__ import annotations

import fcntl
import os
import select
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import trio

#: Bytes of one read: the capacity of a pipe.
READ_BYTES = 64 * 1024
#: So many reads in a row that take all there may be are those of a busy program. Its pipe is made as large
#: as this, so that the two change places more rarely; not every pipe, as the kernel grants a user 64 MiB.
BUSY_READS = 16
BUSY_BYTES = 256 * 1024


@dataclass(slots=True)
class PipeReading:
    """Reads what a program writes, in larger pieces once that is much."""

    fd: int
    size: int = READ_BYTES
    full: int = 0

    def read(self) -> bytes:
        """What there is; raises what `os.read` raises."""
        data = os.read(self.fd, self.size)
        self.full = self.full + 1 if len(data) >= READ_BYTES else 0
        if self.full == BUSY_READS and self.size == READ_BYTES:
            # A terminal is no pipe, and a user may have too many large ones.
            with suppress(OSError):
                self.size = fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, BUSY_BYTES)
        return data


class Turns:
    """Whose turn it is to be read, of pipes that nobody has written to yet; `watch` runs beside their readers.

    A pipe is read to its last byte before its next turn. Who does something else meanwhile, as to hand
    on what it read, lets the others go before.
    """

    def __init__(self, fds: Iterable[int]) -> None:
        fds = tuple(fds)
        # Edges alone are listed in the order in which they came.
        self._epoll = select.epoll(len(fds))
        for fd in fds:
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)
        #: Pipes that have something, the one first that had it first.
        self._line: deque[int] = deque()
        #: Pipes whose reader waits for its turn, or will.
        self._waiting = set(fds)
        self._news = trio.Event()
        self._over = False
        self._watching = trio.CancelScope()

    async def watch(self) -> None:
        """Look who has something; until `end`."""
        with self._watching:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                self._look()

    async def wait(self, fd: int) -> None:
        """Return when it is this pipe's turn. Nothing is waited for between this and the read."""
        self._waiting.add(fd)
        while True:
            self._look()
            before = self._before(fd)
            if not self._waiting.intersection(before) and (
                self._over or fd in self._line
            ):
                break
            await self._news.wait()
        self._waiting.discard(fd)
        with suppress(ValueError):
            self._line.remove(fd)
        # Others go when this one has read: they have a turn once it waits for anything.
        self._tell()

    def leave(self, fd: int) -> None:
        """This pipe is read no more."""
        self._waiting.discard(fd)
        self._tell()

    def end(self) -> None:
        """Whatever is in the pipes now is all there will be, and is read without waiting for more."""
        self._over = True
        self._watching.cancel(reason="nothing more will come")
        self._tell()

    def close(self) -> None:
        """Nothing is read any more."""
        self._epoll.close()

    def _look(self) -> None:
        if found := [fd for fd, _ in self._epoll.poll(0) if fd not in self._line]:
            self._line.extend(found)
            self._tell()

    def _before(self, fd: int) -> set[int]:
        """The pipes that go before this one."""
        line = list(self._line)
        return set(line[: line.index(fd)] if fd in line else line)

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()
