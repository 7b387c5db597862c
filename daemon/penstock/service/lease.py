"""The lease of a daemon that shares its log: how long it may believe that nobody takes its runs.

The log's server has the lease; this is the daemon's own count of it, from before each renewal was asked
for, on a clock that sleep does not stop. Supervisors are told by a file, see `processes/lease_deadline`,
and end what runs before anybody else may begin it. A daemon whose lease is over ends as well, whatever
its threads wait for: what runs within it can be ended by nothing else.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import trio

from penstock.concurrency.deferred import DeferredFailure
from penstock.concurrency.threads import start_thread
from penstock.processes.lease_deadline import (
    DEADLINE_BYTES,
    LeaseDeadline,
    boottime,
    encode,
)
from penstock.processes.spec import TreeLease
from penstock.words.errors import StartRefused, StoreBroken
from penstock.words.exit_codes import Exit

log = logging.getLogger("penstock")

#: Seconds beyond TERM and its grace that a tree may take to be gone, and this daemon to see that it is late.
BEYOND_GRACE = 5.0
#: The part of a lease that the margin may be at most: renewals need what is left.
MOST_MARGIN = 1 / 3
#: The part of the margin that an orderly end may take, and the longest that is waited for it in seconds.
ORDERLY_PART, LONGEST_ORDERLY = 0.5, 3.0


def margin_of(lease_seconds: float, kill_grace: float) -> float:
    """Seconds before the end of a lease at which all that is this daemon's begins to end.

    Where the lease is short, TERM has less than its grace, and KILL comes all the same before its end.
    """
    return min(kill_grace + BEYOND_GRACE, lease_seconds * MOST_MARGIN)


class LeaseFile:
    """The deadline, written down where supervisors read it; made anew, so that those of an earlier life keep theirs.

    OSError where there can be none.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            path.unlink()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._path = path
        self._fd = os.open(path, flags, 0o600)
        os.pwrite(self._fd, encode(0), 0)

    @property
    def path(self) -> str:
        """Where processes of this box find it while we live, whatever becomes of its folder."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def tell(self, deadline: int) -> None:
        """All that is ours is to end at this time (ns of CLOCK_BOOTTIME). OSError: the one before holds."""
        if os.pwrite(self._fd, encode(deadline), 0) != DEADLINE_BYTES:
            raise OSError("a part of the deadline was written")

    def close(self) -> None:
        """Nobody reads it any more; who has it open still does."""
        with suppress(OSError):
            if os.path.samestat(os.fstat(self._fd), os.stat(self._path)):
                self._path.unlink()
        os.close(self._fd)


class Lease:
    """What this daemon knows of its lease. Any thread may call it. Made by `open_lease`."""

    def __init__(
        self,
        file: LeaseFile,
        *,
        seconds: float,
        margin: float,
        now: Callable[[], int] = boottime,
    ) -> None:
        self.margin = margin
        self._file = file
        self._now = now
        #: Seconds from the asking of a renewal until all that is ours begins to end.
        self.usable = seconds - margin
        #: Of the file, which may take its time; nobody who asks whether it is over waits for that.
        self._telling = threading.Lock()
        self._judging = threading.Lock()
        #: 0: it was not had yet.
        self._deadline = 0
        self._over: str | None = None
        self._warned = False
        #: Called when there is something to be looked at anew; set by who watches.
        self.on_news: Callable[[], None] = lambda: None

    def for_trees(self) -> TreeLease:
        """What supervisors are told."""
        return TreeLease(self._file.path, self.margin)

    def renewed(self, asked_at: int) -> None:
        """The server has renewed it, by its answer to what was asked at this time (ns of CLOCK_BOOTTIME).

        What was over stays over: processes were ended by it.
        """
        with self._telling:
            deadline = asked_at + int(self.usable * 1e9)
            if self.why_over() is not None or deadline <= self._deadline:
                return
            try:
                self._file.tell(deadline)
            except OSError as error:
                # Supervisors live by the file, and so we do.
                if not self._warned:
                    log.error("the lease cannot be told to supervisors: %s", error)
                self._warned = True
                return
            first, self._deadline = not self._deadline, deadline
        if first:
            self.on_news()

    def left(self) -> float:
        """Seconds until all that is ours begins to end, if it is not renewed before; 0 when it has."""
        return max((self._deadline - self._now()) / 1e9, 0.0)

    def lost(self, why: str) -> None:
        """The server says that it is another's, or nobody's: the daemon ends at once."""
        with self._judging:
            self._over = self._over or why
        self.on_news()

    def why_over(self) -> str | None:
        """Why the daemon must write nothing more, and end; None while it need not. A reason stays."""
        with self._judging:
            if self._over is None and self._deadline and self.left() <= 0:
                self._over = "the lease was not renewed in time"
            return self._over


def _end_process() -> None:
    os._exit(Exit.LOG_LOST)


class _Watch:
    """A thread that needs no loop, no store and no server to see that the lease is over."""

    def __init__(
        self, lease: Lease, flush: Callable[[], None], end: Callable[[], None]
    ) -> None:
        self.over = trio.Event()
        self._lease = lease
        self._flush, self._end = flush, end
        self._alarm = LeaseDeadline(lease.for_trees().path, lease.margin)
        self._loop = trio.lowlevel.current_trio_token()
        self._closed = threading.Event()
        self._woken, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(
            target=self._watch, name="penstock-lease", daemon=True
        )

    def start(self) -> None:
        """Begin. StartRefused if there is no thread for it."""
        start_thread(self._thread)
        self._lease.on_news = self.wake

    def wake(self) -> None:
        """Have it look now."""
        with suppress(BlockingIOError):
            os.write(self._waker, b"w")

    def close(self) -> None:
        """Watch no more: the end came in order."""
        self._closed.set()
        self.wake()
        self._thread.join()
        self._alarm.close()
        os.close(self._woken)
        os.close(self._waker)

    def _watch(self) -> None:
        poll = select.poll()
        for fd in (self._woken, self._alarm.alarm):
            if fd >= 0:
                poll.register(fd, select.POLLIN)
        while (why := self._lease.why_over()) is None:
            self._alarm.passed()
            seconds = self._alarm.bounded(None)
            poll.poll(None if seconds is None else seconds * 1000)
            with suppress(BlockingIOError):
                os.read(self._woken, 64)
            if self._closed.is_set():
                return
        log.critical("%s; ending, since others may take what runs here", why)
        with suppress(trio.RunFinishedError):
            self._loop.run_sync_soon(self.over.set)
        orderly = min(self._lease.margin * ORDERLY_PART, LONGEST_ORDERLY)
        if self._closed.wait(orderly):
            return
        log.critical("the end took longer than %g s and is cut short", orderly)
        self._flush()
        self._end()


@asynccontextmanager
async def open_lease(
    path: Path,
    *,
    seconds: float,
    kill_grace: float,
    flush: Callable[[], None] = lambda: None,
    end: Callable[[], None] = _end_process,
) -> AsyncIterator[Lease]:
    """A lease of so many seconds, which counts from its first renewal on; `path` is its file.

    It belongs around the store. StoreBroken out of the block once it is over; where the block takes its
    time to be left, `flush` writes what the log of messages still holds, and `end` ends the process.
    StartRefused where the file cannot be made.
    """
    try:
        file = LeaseFile(path)
    except OSError as error:
        raise StartRefused(
            f"{path}, by which processes know of the lease, cannot be made: {error.strerror}"
        ) from None
    lease = Lease(file, seconds=seconds, margin=margin_of(seconds, kill_grace))
    with closing(file):
        watch = _Watch(lease, flush, end)
        watch.start()
        failed = DeferredFailure(unless=watch.over.is_set)
        with closing(watch):
            async with trio.open_nursery() as watch_nursery:
                watch_nursery.start_soon(_end_with, lease, watch)
                with failed:
                    yield lease
                watch_nursery.cancel_scope.cancel(reason="the log is closed")
            failed.reraise()


async def _end_with(lease: Lease, watch: _Watch) -> None:
    await watch.over.wait()
    raise StoreBroken(lease.why_over() or "")
