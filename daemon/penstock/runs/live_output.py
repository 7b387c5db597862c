"""What a run prints, as it is read, for the one client that started the run and follows it.

Beside the log, as a terminal is: nothing of it is held back, left out or waited for by the record, which
is made of the same bytes by the ordinary road. It is a pipe: what its reader does not take holds the
program back. Once that reader is gone, or did not come in time, the program is held back no more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from penstock.processes.output import Stream
from penstock.words.errors import Conflict

#: Seconds in which whoever was promised a run's output comes for it; until then its program may fill
#: the pipe, and waits for him.
COMING_SECONDS = 10.0

#: What of a stream was read; None: another program of the run begins.
LivePiece = tuple[Stream, bytes] | None


class LiveOutput:
    """One run's output between its program and its reader; `limit` in bytes, but for one read of each stream."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: deque[LivePiece] = deque()
        self._size = 0
        self._news = trio.Event()
        self._room = trio.Event()
        self._taken = False
        self._over = False
        self._until: float | None = None

    @property
    def taken(self) -> bool:
        """Whether its reader has come."""
        return self._taken

    @property
    def promised(self) -> bool:
        """Whether it is to be kept for its reader."""
        return self._until is not None

    @property
    def over(self) -> bool:
        """Whether nobody gets it any more."""
        return self._over

    @property
    def expired(self) -> bool:
        """Whether nobody came in time."""
        late = self._until is not None and self._until <= trio.current_time()
        return late and not self._taken

    def begin(self) -> None:
        """A program of the run begins, whose output is to come."""
        self._put(None)

    def push(self, stream: Stream, data: bytes) -> None:
        """Take what was read; nobody is waited for."""
        self._put((stream, data))
        self._size += 0 if self._over else len(data)

    def _put(self, piece: LivePiece) -> None:
        if not self._over:
            self._pieces.append(piece)
            self._news.set()
            self._news = trio.Event()

    async def wait_room(self) -> None:
        """Return when more may be read: while the reader takes nothing, the program writes nothing."""
        while self._size >= self._limit and not self._over:
            with trio.CancelScope() as patience:
                if not self._taken and self._until is not None:
                    patience.deadline = self._until
                await self._room.wait()
            if patience.cancelled_caught and not self._taken:
                self.give_up()

    async def wait_news(self) -> None:
        """Return when there is something to take."""
        while not self._pieces:
            await self._news.wait()

    def take(self) -> list[LivePiece]:
        """All that waits, in the order in which it was read."""
        pieces = list(self._pieces)
        self._clear()
        return pieces

    def give_up(self) -> None:
        """Nobody reads it any more: what waits is dropped, and so is what comes."""
        self._over = True
        self._clear()

    def _clear(self) -> None:
        self._pieces.clear()
        self._size = 0
        self._room.set()
        self._room = trio.Event()

    def keep_until(self, until: float) -> None:
        """Until then its reader may come."""
        self._until = until

    @contextmanager
    def open(self) -> Iterator[LiveOutput]:
        """Be its reader for as long as this is open. Conflict if it has or had one."""
        if self._taken or self._over:
            raise Conflict("its output is not kept for anybody who comes now")
        self._taken = True
        # Whoever waits for room has a deadline no more.
        self._room.set()
        self._room = trio.Event()
        try:
            yield self
        finally:
            self.give_up()


@dataclass(frozen=True, slots=True)
class LiveOutputs:
    """Those of all runs whose output was promised to somebody; `limit` in bytes for each."""

    limit: int
    _outputs: dict[str, LiveOutput] = field(default_factory=dict)

    def find(self, run_id: str) -> LiveOutput | None:
        """That of a run, if it was promised to anybody."""
        return self._outputs.get(run_id)

    @contextmanager
    def promising(self, run_id: str) -> Iterator[LiveOutput | None]:
        """Promise a run's output while it is submitted; None if it is promised already.

        It is kept if `keep_until` was called, and else withdrawn.
        """
        self._forget()
        if run_id in self._outputs:
            yield None
            return
        live = self._outputs[run_id] = LiveOutput(self.limit)
        kept = False
        try:
            yield live
            kept = live.promised
        finally:
            if not kept:
                live.give_up()
                self._drop(run_id, live)

    @contextmanager
    def open(self, run_id: str) -> Iterator[LiveOutput]:
        """Be the reader of a run's output. Conflict if it was promised to nobody, or has a reader."""
        live = self._outputs.get(run_id)
        if live is None:
            raise Conflict("its output was promised to nobody, or too long ago")
        with live.open():
            try:
                yield live
            finally:
                self._drop(run_id, live)

    def _drop(self, run_id: str, live: LiveOutput) -> None:
        """Forget it, unless whoever promised it or its reader has done so before."""
        if self._outputs.get(run_id) is live:
            del self._outputs[run_id]

    def _forget(self) -> None:
        """Those for which nobody came in time are promised no more."""
        late = [run_id for run_id, live in self._outputs.items() if live.expired]
        for run_id in late:
            self._outputs.pop(run_id).give_up()
