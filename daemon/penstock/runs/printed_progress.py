"""How far a program says that it has come, where it only prints it: `42 %`, `[ 42%]`, `420/1000`.

What is searched is bounded, and so is each number in it, so it takes no longer for what somebody
prints to make it long. Only the newest counts: a program that begins anew begins anew.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from penstock.concurrency.deferred import DeferredFailure
from penstock.runs.artifact_writer import Emit
from penstock.words.batching import Pace
from penstock.words.events import Progress

#: Bytes at the end of a stream that are searched: some lines of a progress bar.
SEARCHED_BYTES = 4096
#: Bytes at the end of what was searched that may be the beginning of what comes: two numbers.
_BEGUN_BYTES = 24

_COLOUR = re.compile(rb"\x1b\[[0-9;:]{0,64}[mK]")
#: No part of a word, a path, a date or a version. What stands last in the text may go on.
_SAID = re.compile(
    rb"(?<![\w.,/-])(?P<done>[0-9]{1,9})"
    rb"(?:(?P<part>[.,][0-9]{1,6})? ?%(?!\w)| ?/ ?(?P<all>[0-9]{1,9})(?=[^\w./-]))"
)
#: What a number that was cut at its beginning may have left.
_REST_OF_NUMBER = b"0123456789.,/ %"

#: Like output, progress has a pace, so that a bar that is drawn for days costs a bounded number of
#: facts: one a second to begin with, later one in a minute and a half.
PACE = Pace(shortest=1.0, smallest_bytes=1, at_once=200, a_day=1000)

#: Seconds between two looks at what was printed, so that a fast program is not searched all the time.
LOOK_SECONDS = 0.2

#: Less of a change is not worth a fact.
SMALLEST_CHANGE = 0.01

#: Takes what a program printed, by the name of its stream.
Watch = Callable[[str, bytes], None]


class PrintedProgress:
    """Takes what a program prints, to its two streams, and knows the newest progress in it."""

    def __init__(self) -> None:
        #: By stream, the one that was written to last behind the other.
        self._new: dict[str, bytes] = {}

    def feed(self, stream: str, data: bytes) -> None:
        """Take what was printed next; this costs no more than to keep its end."""
        held = self._new.pop(stream, b"") + data[-SEARCHED_BYTES:]
        if len(held) > SEARCHED_BYTES:
            held = held[-SEARCHED_BYTES:].lstrip(_REST_OF_NUMBER)
        self._new[stream] = held

    def take(self) -> float | None:
        """The newest progress since the last call, from 0 to 1; None if there is none."""
        newest = None
        for stream, held in reversed(self._new.items()):
            found, end = _last_in(_COLOUR.sub(b"", held))
            newest = found if newest is None else newest
            self._new[stream] = held[-_BEGUN_BYTES:] if end is None else end
        return newest


def _last_in(text: bytes) -> tuple[float | None, bytes | None]:
    """The last progress in a text, and what stands behind it; None twice if there is none."""
    last, rest = None, None
    for said in _SAID.finditer(text):
        if (fraction := _fraction(said)) is not None:
            last, rest = fraction, text[said.end() :]
    return last, None if rest is None else rest[-_BEGUN_BYTES:]


def _fraction(said: re.Match[bytes]) -> float | None:
    """What is said as a fraction; None for more than everything, and for parts of nothing."""
    done = float(int(said["done"]))
    if said["all"] is None:
        part = (said["part"] or b".0").replace(b",", b".")
        done, whole = done + float(b"0" + part), 100.0
    else:
        whole = float(int(said["all"]))
    return done / whole if 0 < whole >= done else None


@asynccontextmanager
async def open_progress(emit: Emit) -> AsyncIterator[Watch]:
    """What is told here becomes the run's progress when it says how far the program is."""
    watched = _Watched(emit)
    # A cancel that is on its way too is told with it, as a group.
    failed = DeferredFailure(
        unless=lambda: trio.current_effective_deadline() <= trio.current_time()
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched.tell)
        with failed:
            yield watched.feed
        nursery.cancel_scope.cancel(reason="the program has ended")
    failed.reraise()


@dataclass(slots=True)
class _Watched:
    """What was printed, and what of it was told."""

    emit: Emit
    printed: PrintedProgress = field(default_factory=PrintedProgress)
    told: float = -1.0
    count: int = 0
    _news: trio.Event = field(default_factory=trio.Event)

    def feed(self, stream: str, data: bytes) -> None:
        self.printed.feed(stream, data)
        self._news.set()

    async def tell(self) -> None:
        """Tell the newest, at this pace; until cancelled."""
        began = trio.current_time()
        while True:
            await self._news.wait()
            self._news = trio.Event()
            pause, now = LOOK_SECONDS, self.printed.take()
            if now is not None and abs(now - self.told) >= SMALLEST_CHANGE:
                await self.emit(Progress(step="", fraction=now))
                self.told, self.count = now, self.count + 1
                pause = PACE.seconds(trio.current_time() - began, self.count, 0)
            await trio.sleep(pause)
