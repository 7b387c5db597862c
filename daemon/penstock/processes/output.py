"""A run's output on its way to the log: the bytes as they were read, in the order they were read.

A piece may end anywhere, but on a character's boundary where it can: lines are an affair of readers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol
from uuid import UUID

import trio

from penstock.concurrency.deferred import DeferredFailure
from penstock.concurrency.shielding import shield_until
from penstock.words.batching import Pace
from penstock.words.events import Log
from penstock.words.printed import piece_of, size_of
from penstock.words.text import unfinished_character
from penstock.words.values import new_event_id

Stream = Literal["stdout", "stderr"]
#: Records pieces of a run together and waits until they are durable; False: they were dropped.
EmitPieces = Callable[[Sequence[tuple[UUID, Log]]], Awaitable[bool]]
#: How many bytes at the end of a stream so far may be the beginning of a secret.
HeldBack = Callable[[bytes], int]

#: Seconds that the beginning of what may be a secret waits for its line's end.
SECRET_SECONDS = 1.0
#: Bytes of a line whose beginning is left out that are left out too, if it ends within them.
LONGEST_REST = 4096


def nothing_secret(_data: bytes) -> int:
    """No byte need be held back, where nothing is taken out."""
    return 0


@dataclass(slots=True)
class _Part:
    """Bytes of one stream that were read one after the other; `at`: when the newest was."""

    stream: Stream
    data: bytearray
    at: float


@dataclass(slots=True)
class _Tail:
    """What may be the beginning of a secret, and until when it waits."""

    data: bytes
    until: float


class OutputPieces:
    """Decides which pieces of one run's output go out, and when; `now` is an argument, in seconds.

    The pieces of a stream, joined, are its bytes. Pieces stand in the order in which their bytes
    were read, but for the beginning of a secret: it is held back, and delays its own stream only.
    What a run prints faster than its pace allows is counted instead, from the oldest on, and only
    once so much went out as the log keeps of a beginning.
    """

    def __init__(
        self, pace: Pace, head_bytes: int, held_back: HeldBack = nothing_secret
    ) -> None:
        self._pace = pace
        self._held_back = held_back
        self._head_left = head_bytes
        self._parts: deque[_Part] = deque()
        self._size = 0
        self._tails: dict[Stream, _Tail] = {}
        self._left_out: dict[Stream, int] = {}
        self._began: float | None = None
        self._next = 0.0
        self._sent = 0
        self._recorded = 0
        self._fed = 0

    def feed(self, stream: Stream, data: bytes, now: float) -> None:
        """Take what was read."""
        if self._began is None:
            self._began = self._next = now
        self._fed += len(data)
        self._size += len(data)
        part = self._part_for(stream, now)
        part.data += data
        part.at = now
        excess = self._size - self._pace.largest_bytes
        # Cutting off a beginning moves the rest, so it is done once per so much.
        if self._outruns(now) and excess >= self._pace.largest_bytes:
            self._leave_out_oldest(excess)

    def _outruns(self, now: float) -> bool:
        """Whether the run prints more than there may be pieces for."""
        return self._head_left <= 0 and self._pace.spent(
            self._age(now), self._sent, self._recorded
        )

    def _part_for(self, stream: Stream, now: float) -> _Part:
        if self._parts and self._parts[-1].stream == stream:
            return self._parts[-1]
        if len(self._parts) >= self._pace.turns(self._age(now), self._sent):
            return next(part for part in reversed(self._parts) if part.stream == stream)
        self._parts.append(_Part(stream, bytearray(), 0.0))
        return self._parts[-1]

    def make_room(self) -> None:
        """Leave out what waits, so that more can be taken."""
        self._leave_out_oldest(self._size)

    def _leave_out_oldest(self, excess: int) -> None:
        while excess > 0:
            part = self._parts[0]
            count = min(excess, len(part.data))
            # The rest of a line may be that of a secret, and that of a character is no text.
            line = part.data.find(b"\n", count, count + LONGEST_REST)
            if line >= 0:
                count = line + 1
            while count < len(part.data) and part.data[count] & 0xC0 == 0x80:
                count += 1
            self.leave_out(part.stream, count)
            del part.data[:count]
            if not part.data:
                self._parts.popleft()
            self._size -= count
            excess -= count

    def leave_out(self, stream: Stream, count: int) -> None:
        """So many bytes of a stream are told by their number only."""
        if tail := self._tails.pop(stream, None):
            count += len(tail.data)
        self._left_out[stream] = self._left_out.get(stream, 0) + count

    def full(self, now: float) -> bool:
        """Whether the source must wait until something went out."""
        return not self._outruns(now) and self._size >= self._pace.piece_bytes(
            self._age(now), self._sent, self._fed
        )

    def due(self, now: float) -> float | None:
        """When `take` has something, by the clock of `now`; None while nothing is held."""
        times = [tail.until for tail in self._tails.values()]
        if self._parts and self.full(now):
            times.append(now)
        elif self._left_out or len(self._parts) > 1:
            times.append(self._next)
        elif self._parts:
            part = self._parts[0]
            waits = len(part.data) == unfinished_character(part.data)
            whole_at = part.at + self._pace.shortest if waits else self._next
            times.append(max(self._next, whole_at))
        return min(times, default=None)

    def take(self, now: float) -> list[Log]:
        """The pieces that are due."""
        due = self.due(now)
        return self._release(now) if due is not None and due <= now else []

    def finish(self, now: float) -> list[Log]:
        """All that is still held."""
        return self._release(now, to_end=True)

    def _release(self, now: float, *, to_end: bool = False) -> list[Log]:
        pieces = [
            Log(stream=stream, bytes=count, emptied=True)
            for stream, count in self._left_out.items()
        ]
        self._left_out.clear()
        parts, self._parts, self._size = self._parts, deque(), 0
        size = self._pace.piece_bytes(self._age(now), self._sent, self._fed)
        while parts:
            part = parts.popleft()
            data = self._ready(part, now, last=not parts, to_end=to_end)
            pieces += self._cut(part.stream, data, size)
        for stream, tail in list(self._tails.items()):
            if to_end or tail.until <= now:
                del self._tails[stream]
                pieces += self._cut(stream, tail.data, size)
        if pieces:
            size = sum(size_of(piece) for piece in pieces if not piece.emptied)
            self._head_left -= size
            self._recorded += size
            self._sent += len(pieces)
            self._next = now + self._pace.seconds(
                self._age(now), self._sent, self._recorded
            )
        return pieces

    def _ready(self, part: _Part, now: float, *, last: bool, to_end: bool) -> bytes:
        """What of a part may go out; the rest is held."""
        stream, data = part.stream, bytes(part.data)
        tail = self._tails.pop(stream, None)
        before = b"" if tail is None else tail.data
        if to_end:
            return before + data
        late = tail is not None and tail.until <= now
        # What has waited long enough goes; only what came since may be held now.
        whole = data if late else before + data
        ready = before if late else b""
        if held := self._held_back(whole):
            old = tail is not None and not late and held > len(data)
            until = tail.until if tail and old else part.at + SECRET_SECONDS
            self._tails[stream] = _Tail(whole[len(whole) - held :], until)
            return ready + whole[: len(whole) - held]
        # Once another stream has spoken, a character is cut rather than moved.
        count = unfinished_character(whole) if last else 0
        if count and now < part.at + self._pace.shortest:
            rest = bytearray(whole[len(whole) - count :])
            self._parts.append(_Part(stream, rest, part.at))
            self._size = count
            return ready + whole[: len(whole) - count]
        return ready + whole

    def _cut(self, stream: Stream, data: bytes, size: int) -> Iterator[Log]:
        while len(data) > size:
            piece = data[:size]
            # A secret is taken out of a piece, and must be whole in it.
            rest = self._held_back(piece) or unfinished_character(piece)
            piece = piece[: size - rest] or piece
            yield piece_of(stream, piece)
            data = data[len(piece) :]
        if data:
            yield piece_of(stream, data)

    def _age(self, now: float) -> float:
        return 0.0 if self._began is None else now - self._began


@dataclass(eq=False, slots=True)
class RunOutput:
    """One run's pieces and the way into its log; programs that run at once share it."""

    pieces: OutputPieces
    emit: EmitPieces
    _turn: trio.Lock = field(default_factory=trio.Lock)
    _on_the_way: list[tuple[UUID, Log]] = field(default_factory=list)
    #: Set, and made anew, when something was read, and when something went out.
    _read: trio.Event = field(default_factory=trio.Event)
    _taken: trio.Event = field(default_factory=trio.Event)
    #: Whether somebody has waited in vain since something was recorded.
    _late: bool = False

    async def feed(
        self, stream: Stream, data: bytes, patience: float | None = None
    ) -> None:
        """Take output; waits while as much as one piece may hold is on its way.

        Once that took longer than `patience` seconds, what waits is counted only, until the log records again;
        None: it is waited for, whoever else waits in vain.
        """
        self.pieces.feed(stream, data, trio.current_time())
        self._read.set()
        self._read = trio.Event()
        await trio.lowlevel.checkpoint()
        while self.pieces.full(trio.current_time()):
            with trio.CancelScope() as waiting:
                if patience is not None:
                    waited = 0 if self._late else patience
                    waiting.deadline = trio.current_time() + waited
                await self._taken.wait()
            if waiting.cancelled_caught:
                self._late = True
                self.pieces.make_room()

    async def send_due(self) -> None:
        """Send what is due when it is; until cancelled."""
        while True:
            now = trio.current_time()
            if (due := self.pieces.due(now)) is not None and due <= now:
                await self._send(self.pieces.take)
                continue
            with trio.CancelScope() as scope:
                if due is not None:
                    scope.deadline = due
                await self._read.wait()

    async def finish(self) -> None:
        """Send all that is left."""
        await self._send(self.pieces.finish)

    async def _send(self, take: Callable[[float], list[Log]]) -> None:
        async with self._turn:
            # A cancel may come before or after pieces were queued. They stay here until they are
            # recorded, and are sent again under the same ids, which the log takes once.
            await self._send_on_the_way()
            self._on_the_way = [
                (new_event_id(), piece) for piece in take(trio.current_time())
            ]
            self._taken.set()
            self._taken = trio.Event()
            await self._send_on_the_way()

    async def _send_on_the_way(self) -> None:
        if not self._on_the_way:
            return
        if await self.emit(self._on_the_way):
            self._late = False
        else:
            # The store was away for long: what is lost is told by its size.
            for _, piece in self._on_the_way:
                if piece.stream != "pipeline":
                    self.pieces.leave_out(piece.stream, size_of(piece))
        self._on_the_way = []


class Record(Protocol):
    """Takes output for the log, as `RunOutput.feed` does."""

    def __call__(
        self, stream: Stream, data: bytes, patience: float | None = None
    ) -> Awaitable[None]: ...


@asynccontextmanager
async def open_output(
    output: RunOutput, closing_seconds: float
) -> AsyncIterator[Record]:
    """The `on_output` of one process; on the way out everything left is sent.

    After a cancel or a failure that is tried for `closing_seconds`, about a second.
    """
    # A cancel that is on its way too is told with it, as a group.
    failed = DeferredFailure(
        unless=lambda: trio.current_effective_deadline() <= trio.current_time()
    )
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(output.send_due)
            with failed:
                yield output.feed
            nursery.cancel_scope.cancel(reason="the process has ended")
        failed.reraise()
        async with shield_until(lambda: trio.current_time() + closing_seconds):
            await output.finish()
    finally:
        with trio.move_on_after(closing_seconds, shield=True):
            await output.finish()
