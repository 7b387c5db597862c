"""What a run's program is connected to from outside while it lives: who types, and who watches.

Beside the log, and not for it: what is sent is never recorded, and what a terminal shows goes to those
who watch as it comes, before it is recorded by the ordinary road and without being held back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import trio

from penstock.processes.feeding import ProgramInput
from penstock.processes.pseudoterminal import WindowSize
from penstock.runs.running_program import ProgramStdin
from penstock.runs.screen import KeptScreen
from penstock.words.errors import Conflict, Refused

#: Seconds in which the first who comes gets everything since the beginning, as it was written: who
#: starts a program on a terminal attaches at once, and must not miss its first lines.
FIRST_SECONDS = 30.0


class Console:
    """One program's connection to those outside; made before it begins, of no use after its end.

    `size` is that of its terminal, None if it has none. Whoever watches may be `watch_bytes` behind.
    """

    def __init__(self, size: WindowSize | None, watch_bytes: int) -> None:
        self.size = None if size is None else size.usable()
        self._watch_bytes = watch_bytes
        self._stdin = ProgramStdin()
        self._watches: list[ConsoleWatch] = []
        self._taken = False
        #: None if there is no terminal.
        self.screen = None if self.size is None else KeptScreen(self.size)
        #: Has been watching since before the beginning, for the first who comes.
        self._first: ConsoleWatch | None = None
        if self.size is not None:
            self._first = ConsoleWatch(watch_bytes, whole=True)
            self._watches.append(self._first)
        self._first_until: float | None = None

    async def feed(self, program: ProgramInput) -> None:
        """What feeds the program, and draws what it shows."""
        if self.screen is None:
            await self._stdin.feed(program)
            return
        self._first_until = trio.current_time() + FIRST_SECONDS
        if self.size is not None:
            # Whoever came before the program did may have set another one.
            program.resize(self.size)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.screen.keep)
            await self._stdin.feed(program)
            nursery.cancel_scope.cancel(reason="the program has ended")

    def show(self, data: bytes) -> None:
        """Hand what the terminal shows to all who watch; none of them is waited for."""
        self._give_up_first()
        for watch in self._watches:
            watch.push(data)
        if self.screen is not None:
            self.screen.push(data)

    def end(self) -> None:
        """The program has ended, or was never begun."""
        self._stdin.end()
        if self.screen is not None:
            self.screen.end()
        for watch in self._watches:
            watch.end()

    @property
    def over(self) -> bool:
        """Whether the program takes nothing any more."""
        return self._stdin.over

    @property
    def watchers(self) -> int:
        """How many watch now."""
        return len(self._watches) - (self._first is not None)

    @contextmanager
    def open_writer(self) -> Iterator[ConsoleWriter]:
        """Be the one who writes to it, for as long as this is open. Conflict while somebody else is."""
        if self._taken:
            raise Conflict("somebody else is sending to this run; one at a time")
        self._taken = True
        try:
            yield ConsoleWriter(self, self._stdin)
        finally:
            self._taken = False

    @contextmanager
    def open_watch(self, *, first: bool = False) -> Iterator[ConsoleWatch]:
        """Watch what its terminal shows from now on. Refused if it has none.

        The `first` who comes, if it is soon, gets what it has shown, too: `whole` says so.
        """
        self.check_terminal()
        self._give_up_first()
        if first and self._first is not None:
            watch, self._first = self._first, None
        else:
            watch = ConsoleWatch(self._watch_bytes)
            self._watches.append(watch)
        if self._stdin.over:
            watch.end()
        try:
            yield watch
        finally:
            self._watches.remove(watch)

    def _give_up_first(self) -> None:
        """Drop what waits for the first who comes, once that is long ago."""
        if self._first is None or self._first_until is None:
            return
        if trio.current_time() >= self._first_until:
            self._watches.remove(self._first)
            self._first = None

    def check_terminal(self) -> None:
        """Refused if the program has no terminal."""
        if self.size is None:
            raise Refused(
                "run_id", 'the run has no terminal; `"stdin": "tty"` gives one'
            )


class ConsoleWriter:
    """The one who writes to a program now."""

    def __init__(self, console: Console, stdin: ProgramStdin) -> None:
        self._console = console
        self._stdin = stdin

    async def write(self, data: bytes) -> None:
        """Send it; waits while the program does not read. NobodyReads once it never will."""
        await self._stdin.send_all(data)

    async def end_input(self) -> None:
        """Say that there is no more, now or later; on a terminal it is Ctrl-D, and more may follow.

        NobodyReads once nothing is taken any more.
        """
        if self._console.size is None:
            self._stdin.close()
            await trio.lowlevel.checkpoint()
        else:
            await self._stdin.send_eof()

    def resize(self, size: WindowSize) -> None:
        """Set the size of its terminal, of which it is told by SIGWINCH. Refused if it has none."""
        self._console.check_terminal()
        self._console.size = size.usable()
        self._stdin.resize(size.usable())
        if self._console.screen is not None:
            self._console.screen.resize(size.usable())

    @property
    def open(self) -> bool:
        """Whether the program takes anything."""
        return not self._stdin.over

    async def wait_over(self) -> None:
        """Return when the program takes nothing any more."""
        await self._stdin.wait_over()


@dataclass(frozen=True, slots=True)
class Shown:
    """What a terminal has shown since the last time; before it, `lost` bytes were dropped."""

    data: bytes
    lost: int = 0


class ConsoleWatch:
    """One who watches a terminal; who falls behind loses what waits for him, and is told how much."""

    def __init__(self, limit: int, *, whole: bool = False) -> None:
        self._limit = limit
        self._whole = whole
        self._pieces: deque[bytes] = deque()
        self._size = self._lost = 0
        self._news = trio.Event()
        self._ended = False

    def push(self, data: bytes) -> None:
        """Take what was shown; where it is too much, all that waits is dropped and counted."""
        if self._size + len(data) > self._limit:
            self._lost += self._size
            self._pieces.clear()
            self._size = 0
            self._whole = False
        self._pieces.append(data)
        self._size += len(data)
        self._news.set()

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._news.set()

    @property
    def whole(self) -> bool:
        """Whether what it receives is everything since the beginning."""
        return self._whole

    def forget(self) -> None:
        """Drop what waits: who calls this has it otherwise."""
        self._pieces.clear()
        self._size = self._lost = 0
        self._whole = False

    async def receive(self) -> Shown:
        """What was shown and not received yet. EndOfChannel after the last."""
        await trio.lowlevel.checkpoint()
        while not self._pieces:
            if self._ended:
                raise trio.EndOfChannel
            self._news = trio.Event()
            await self._news.wait()
        shown = Shown(b"".join(self._pieces), self._lost)
        self._pieces.clear()
        self._size = self._lost = 0
        return shown
