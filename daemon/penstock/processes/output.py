"""What is kept of a run's output: its beginning, live, and its end; the cut is told in bytes.

The texts of one stream's Log events, joined, are its output as text. A line may be cut anywhere
between two events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import trio

from penstock.concurrency.deferred import DeferredFailure
from penstock.concurrency.shielding import shield_until
from penstock.words.config import KIB
from penstock.words.events import Log, LogTruncated
from penstock.words.text import Utf8Decoder, break_lines, neutralise
from penstock.words.throttle import Throttle

Stream = Literal["stdout", "stderr"]
Emit = Callable[[Log | LogTruncated], Awaitable[object]]

STREAMS: tuple[Stream, ...] = ("stdout", "stderr")
#: Bytes in one event of the kept end; larger than a live piece, since each waits for its commit.
TAIL_PIECE_BYTES = 256 * KIB
#: Pieces of the kept end; two streams that take turns byte by byte must not cost memory.
MOST_TAIL_PIECES = 16 * KIB


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """Bytes kept of the beginning and the end, bytes of a line, and the pace of live pieces."""

    head_bytes: int
    tail_bytes: int
    line_bytes: int
    throttle_seconds: float
    throttle_bytes: int


class _Text:
    """One stream's bytes as safe text with lines of bounded length."""

    def __init__(self, limits: OutputLimits) -> None:
        self.decoder = Utf8Decoder(newlines=True)
        self.throttle = Throttle(limits.throttle_seconds, limits.throttle_bytes)
        self._line_bytes = limits.line_bytes
        self._column = 0

    def decode(self, data: bytes) -> str:
        return self._lines(self.decoder.decode(data))

    def finish(self) -> str:
        text, self._column = self._lines(self.decoder.finish()), 0
        return text

    def _lines(self, text: str) -> str:
        text, self._column = break_lines(
            neutralise(text), self._column, self._line_bytes
        )
        return text


class _Tail:
    """The last bytes of both streams in the order of their coming."""

    def __init__(self) -> None:
        self.pieces: deque[tuple[Stream, bytearray]] = deque()
        self.size = 0
        self.dropped = dict.fromkeys(STREAMS, 0)

    def push(self, stream: Stream, data: bytes, limit: int) -> None:
        if (
            self.pieces
            and self.pieces[-1][0] == stream
            and len(self.pieces[-1][1]) < TAIL_PIECE_BYTES
        ):
            self.pieces[-1][1].extend(data)
        elif data:
            self.pieces.append((stream, bytearray(data)))
        self.size += len(data)
        while self.size > limit or len(self.pieces) > MOST_TAIL_PIECES:
            self._drop(self.size - limit)

    def _drop(self, excess: int) -> None:
        stream, piece = self.pieces[0]
        if 0 < excess < len(piece):
            del piece[:excess]
        else:
            excess = len(piece)
            self.pieces.popleft()
        self.size -= excess
        self.dropped[stream] += excess

    def align(self, stream: Stream) -> None:
        """Drop the rest of a character of which the beginning was dropped."""
        piece = next(
            (piece for name, piece in self.pieces if name == stream), bytearray()
        )
        length = next(
            (i for i in range(min(3, len(piece))) if piece[i] & 0xC0 != 0x80), 0
        )
        del piece[:length]
        self.size -= length
        self.dropped[stream] += length

    def texts(self, streams: Mapping[Stream, _Text]) -> Iterator[tuple[Stream, str]]:
        """The kept end as text, emptying it; streams that take turns are put together by parts."""
        parts: dict[Stream, list[str]] = {stream: [] for stream in streams}
        size = 0
        while self.pieces:
            stream, data = self.pieces.popleft()
            parts[stream].append(streams[stream].decode(bytes(data)))
            size += len(data)
            if size >= TAIL_PIECE_BYTES:
                yield from _joined(parts)
                size = 0
        for stream, text in streams.items():
            parts[stream].append(text.finish())
        yield from _joined(parts)


def _joined(parts: dict[Stream, list[str]]) -> Iterator[tuple[Stream, str]]:
    for stream, texts in parts.items():
        text = "".join(texts)
        texts.clear()
        if text:
            yield stream, text


class KeptOutput:
    """Decides what of one run's output is kept and when it goes out; `now` is an argument.

    Limits are in bytes as the process wrote them and hold for the run: a second process uses what
    the first one has left of them.
    """

    def __init__(self, limits: OutputLimits) -> None:
        self._texts = {stream: _Text(limits) for stream in STREAMS}
        self._head_left = limits.head_bytes
        self._tail_left = limits.tail_bytes
        self._tail = _Tail()
        self._rest: Iterator[Log | LogTruncated] | None = None

    def feed(self, stream: Stream, data: bytes, now: float) -> list[Log]:
        """Take output; the events to record now."""
        head, rest = data[: self._head_left], data[self._head_left :]
        self._head_left -= len(head)
        self._tail.push(stream, rest, self._tail_left)
        text = self._texts[stream]
        piece = text.throttle.add(text.decode(head), now)
        if text.throttle.full:
            # The beginning is bounded, so a fast writer need not wait for the interval.
            piece += text.throttle.flush(now)
        return [Log(text=piece, stream=stream)] if piece else []

    @property
    def due(self) -> float | None:
        """When `take` has something, by the clock of `now`; None while nothing is held."""
        return min(
            (due for t in self._texts.values() if (due := t.throttle.due) is not None),
            default=None,
        )

    def take(self, now: float) -> list[Log]:
        """The events that are due."""
        pieces = (
            (stream, text.throttle.take(now)) for stream, text in self._texts.items()
        )
        return [Log(text=piece, stream=stream) for stream, piece in pieces if piece]

    def finish(self, now: float) -> Iterator[Log | LogTruncated]:
        """All that is still held, the cut and the end; called again, it goes on where it stopped."""
        if self._rest is None:
            self._rest = self._finish(now)
        return self._rest

    def _finish(self, now: float) -> Iterator[Log | LogTruncated]:
        for name, kept in self._texts.items():
            if piece := kept.throttle.flush(now):
                yield Log(text=piece, stream=name)
        tail, self._tail = self._tail, _Tail()
        for stream, dropped in tail.dropped.items():
            if dropped:
                tail.align(stream)
                unfinished = self._texts[stream].decoder.drop()
                yield LogTruncated(
                    stream=stream, dropped_bytes=tail.dropped[stream] + unfinished
                )
        self._tail_left -= tail.size
        for stream, text in tail.texts(self._texts):
            yield Log(text=text, stream=stream)
        self._rest = None


class OutputPump:
    """Carries what KeptOutput decides to `emit`, one event at a time and in order."""

    def __init__(self, kept: KeptOutput, emit: Emit) -> None:
        self._kept = kept
        self._emit = emit
        self._lock = trio.Lock()
        self._held = trio.Event()

    async def feed(self, stream: Stream, data: bytes) -> None:
        """Take output; waits while `emit` does."""
        async with self._lock:
            for event in self._kept.feed(stream, data, trio.current_time()):
                await self._emit(event)
        if self._kept.due is not None:
            self._held.set()

    async def run(self) -> None:
        """Emit what was held back when it is due; until cancelled."""
        while True:
            await self._held.wait()
            self._held = trio.Event()
            while (due := self._kept.due) is not None:
                await trio.sleep_until(due)
                async with self._lock:
                    for event in self._kept.take(trio.current_time()):
                        await self._emit(event)

    async def finish(self) -> None:
        """Emit all that is left."""
        for event in self._kept.finish(trio.current_time()):
            await self._emit(event)


@asynccontextmanager
async def open_output(
    kept: KeptOutput, emit: Emit, closing_seconds: float
) -> AsyncIterator[Callable[[Stream, bytes], Awaitable[None]]]:
    """The `on_output` of one process; on the way out everything left is emitted.

    After a cancel or a failure that is tried for `closing_seconds`, about a second.
    """
    pump = OutputPump(kept, emit)
    # A cancel that is on its way too is told with it, as a group.
    failed = DeferredFailure(
        unless=lambda: trio.current_effective_deadline() <= trio.current_time()
    )
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump.run)
            with failed:
                yield pump.feed
            nursery.cancel_scope.cancel(reason="the process has ended")
        failed.reraise()
        async with shield_until(lambda: trio.current_time() + closing_seconds):
            await pump.finish()
    finally:
        with trio.move_on_after(closing_seconds, shield=True):
            await pump.finish()
