"""The progress of a run whose program prints how far it is, and does not say it otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from penstock.concurrency.deferred import DeferredFailure
from penstock.runs.artifact_writer import Emit
from penstock.words.events import Progress
from penstock.words.pace import Pace
from penstock.words.percent import PrintedProgress

#: Like output, progress has a pace, so that a bar that is drawn for days costs a bounded number of
#: facts: one a second to begin with, later one in a minute and a half.
PACE = Pace(shortest=1.0, smallest_bytes=1, at_once=200, a_day=1000)
#: Seconds between two looks at what was printed, so that a fast program is not searched all the time.
LOOK_SECONDS = 0.2
#: Less of a change is not worth a fact.
SMALLEST_CHANGE = 0.01

#: Takes what a program printed, by the name of its stream.
Watch = Callable[[str, bytes], None]


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
