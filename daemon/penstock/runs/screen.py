"""The screen of a program's terminal, kept beside the program and never waited for by it.

The emulator works in a thread, a moment at a time and with pauses, so that a flood takes the loop
neither time nor the interpreter. What it cannot keep up with is left out: a flood's end is what shows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import trio

from penstock.concurrency.late import import_late
from penstock.concurrency.threads import run_in_thread
from penstock.processes.pseudoterminal import WindowSize

#: Bytes that may wait for the emulator: two reads, and many screens.
MOST_BEHIND = 128 * 1024
#: Seconds of drawing at a time: what other tasks may be later for it.
DRAW_SECONDS = 0.01
#: Seconds of pause for each second drawn, while more waits: three quarters are for the others.
PAUSE_FACTOR = 3.0
#: Seconds that whoever asks for the screen waits for what was shown before; but for its last bytes,
#: the rest is left out.
ASKED_SECONDS = 2.0
#: Bytes that are drawn for whoever asks, however long it takes: a program that waits now has shown
#: nothing after them, so nobody would ever see them.
LAST_BYTES = 1024


@dataclass(eq=False, slots=True)
class _Asked:
    """Somebody wants the screen as it is here."""

    drawn: str = ""
    done: trio.Event = field(default_factory=trio.Event)
    since: float = field(default_factory=trio.current_time)


_Work: TypeAlias = bytes | WindowSize | _Asked


class KeptScreen:
    """What a terminal of this size shows; `keep` works it out for as long as it runs."""

    def __init__(self, size: WindowSize) -> None:
        self._size = size
        self._work: deque[_Work] = deque()
        self._behind = self._asked = 0
        self._news = trio.Event()
        self._over = False

    def push(self, data: bytes) -> None:
        """Take what was shown."""
        if self._over:
            return
        if self._behind + len(data) > MOST_BEHIND:
            self._work = deque(item for item in self._work if type(item) is not bytes)
            self._behind = 0
        self._behind += len(data)
        self._put(data)

    def resize(self, size: WindowSize) -> None:
        """Have another size from here on."""
        if self._work and isinstance(self._work[-1], WindowSize):
            self._work.pop()
        if not self._over:
            self._put(size)

    async def take(self) -> str:
        """The screen after all that was pushed before this call: text, SGR, cursor and modes.

        What cannot be drawn within ASKED_SECONDS is left out, but for the last. Nothing once the program has ended.
        """
        asked = _Asked()
        if self._over:
            asked.done.set()
        else:
            self._asked += 1
            self._put(asked)
        await asked.done.wait()
        return asked.drawn

    async def keep(self) -> None:
        """Draw what comes, until this is cancelled; the screen is gone then."""
        try:
            module = await import_late("penstock.runs.emulator")
            emulator = module.Emulator(self._size)
            while True:
                if not self._work:
                    self._news = trio.Event()
                    await self._news.wait()
                began = trio.current_time()
                self._leave_out(began - ASKED_SECONDS)
                await self._do(emulator, self._work.popleft())
                if self._behind and not self._asked:
                    await trio.sleep(PAUSE_FACTOR * (trio.current_time() - began))
        finally:
            self.end()

    def _leave_out(self, before: float) -> None:
        """Drop what is not drawn yet in front of somebody who has been waiting since `before`."""
        if not self._asked:
            return
        asked = (n for n, item in enumerate(self._work) if isinstance(item, _Asked))
        place = next(asked, 0)
        if getattr(self._work[place], "since", before) >= before:
            return
        items = list(self._work)
        self._work = deque(_last(items[:place]) + items[place:])
        self._behind = sum(len(item) for item in self._work if type(item) is bytes)

    def end(self) -> None:
        """There is no screen any more: whoever waits for it gets nothing."""
        self._over = True
        for item in self._work:
            if isinstance(item, _Asked):
                item.done.set()
        self._work.clear()

    async def _do(self, emulator: Any, item: _Work) -> None:
        if isinstance(item, WindowSize):
            emulator.resize(item)
        elif isinstance(item, _Asked):
            try:
                item.drawn = await _aside(emulator.render)
            finally:
                self._asked -= 1
                item.done.set()
        else:
            self._behind -= len(item)
            taken = await _aside(emulator.feed_for, item, DRAW_SECONDS)
            if rest := item[taken:]:
                self._behind += len(rest)
                self._work.appendleft(rest)

    def _put(self, item: _Work) -> None:
        self._work.append(item)
        self._news.set()


def _last(items: Sequence[_Work]) -> list[_Work]:
    """What of it is drawn in any case: all sizes, and the last bytes."""
    kept: list[_Work] = []
    room = LAST_BYTES
    for item in reversed(items):
        if type(item) is not bytes:
            kept.append(item)
        elif len(item) <= room:
            kept.append(item)
            room -= len(item)
        elif room:
            kept.append(_from_a_start(item[-room:]))
            # Nothing from before a cut: it would be followed by what did not follow it.
            room = 0
    return kept[::-1]


def _from_a_start(data: bytes) -> bytes:
    """From the first sequence or line that begins in it: no part of one is taken for text."""
    starts = [at for at in (data.find(b"\x1b"), data.find(b"\n")) if at >= 0]
    return data[min(starts, default=0) :]


async def _aside(work: Any, *arguments: Any) -> Any:
    return await run_in_thread(work, *arguments, abandon_on_cancel=True)
