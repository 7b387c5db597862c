"""The daemon's log is written by a thread: who logs never waits for who reads.

A pipe that nobody reads, or a terminal that was stopped, takes no more bytes; written to from the
loop, it would stop every run. Here it stops a thread, and what is too much meanwhile is counted and
told when the lines flow again.
"""

from __future__ import annotations

import logging
import threading
from queue import Empty, Full, Queue

from penstock.concurrency.threads import start_thread
from penstock.descriptors import write_all


class DescriptorHandler(logging.Handler):
    """Writes lines to an open descriptor; no buffer of Python's is left to be flushed at the exit.

    OSError when nobody takes them any more.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def createLock(self) -> None:
        """None: one thread writes, and the end of the process must not wait for it."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, however long its reader takes."""
        line = self.format(record) + "\n"
        write_all(self._descriptor, line.encode(errors="replace"))


class LogWriter(logging.Handler):
    """Hands records to a thread, which hands them to `target`. Begun by `start`.

    `capacity` is how many may wait; what comes beyond it is lost, and so is what cannot be written.
    """

    def __init__(self, target: logging.Handler, capacity: int) -> None:
        super().__init__()
        self._target = target
        self._records: Queue[logging.LogRecord | None] = Queue(capacity)
        self._lost = 0
        self._told = 0
        self._thread = threading.Thread(
            target=self._write, name="penstock-log", daemon=True
        )

    @property
    def lost(self) -> int:
        """Records that were never written."""
        return self._lost

    def complaint(self) -> str | None:
        """What `/health` has to say of the log, until its lines flow again."""
        if (lost := self._lost - self._told) == 0:
            return None
        return f"nobody takes the lines of the log ({lost} are lost)"

    def start(self) -> None:
        """Begin to write."""
        start_thread(self._thread)

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record; never waits."""
        # What it is about may have changed when it is written.
        record.msg, record.args = record.getMessage(), None
        try:
            self._records.put_nowait(record)
        except Full:
            self._lost += 1

    def flush_within(self, seconds: float) -> None:
        """Write what waits and end, as far as that is done in time. Nothing is written after it."""
        try:
            self._records.put(None, timeout=seconds)
        except Full:
            return
        self._thread.join(seconds)

    def _write(self) -> None:
        while (record := self._records.get()) is not None:
            self._hand_on(record)
            if self._records.empty():
                self._tell_lost()
        try:
            # Said in the time between the word to end and its arrival.
            while (record := self._records.get_nowait()) is not None:
                self._hand_on(record)
        except Empty:
            self._tell_lost()

    def _hand_on(self, record: logging.LogRecord) -> bool:
        try:
            # Not `handle`: its lock is what the end of the process would wait for.
            self._target.emit(record)
        # Nothing that goes wrong here may end the thread, and there is no log to tell it in.
        except Exception:  # noqa: BLE001
            self._lost += 1
            return False
        return True

    def _tell_lost(self) -> None:
        if (lost := self._lost) == self._told:
            return
        told = logging.LogRecord(
            __name__, logging.WARNING, __file__, 0,
            "%d lines of the log were lost: nobody took them", (lost - self._told,), None,
        )  # fmt: skip
        if self._hand_on(told):
            self._told = lost
        else:
            # The line about the loss is no loss of its own.
            self._lost -= 1
