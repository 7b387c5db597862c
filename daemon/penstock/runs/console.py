"""What a run's program is connected to from outside while it lives: who sends to it.

What is sent goes to the program and nowhere else: it is never recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from penstock.processes.feeding import ProgramInput
from penstock.runs.connected import ProgramStdin
from penstock.words.errors import Conflict


class Console:
    """One program's connection to those outside; made before it begins, of no use after its end."""

    def __init__(self) -> None:
        self._stdin = ProgramStdin()
        self._taken = False

    async def feed(self, program: ProgramInput) -> None:
        """What feeds the program."""
        await self._stdin.feed(program)

    def end(self) -> None:
        """The program has ended, or was never begun."""
        self._stdin.end()

    @contextmanager
    def open_writer(self) -> Iterator[ConsoleWriter]:
        """Be the one who writes to it, for as long as this is open. Conflict while somebody else is."""
        if self._taken:
            raise Conflict("somebody else is sending to this run; one at a time")
        self._taken = True
        try:
            yield ConsoleWriter(self._stdin)
        finally:
            self._taken = False


class ConsoleWriter:
    """The one who writes to a program now."""

    def __init__(self, stdin: ProgramStdin) -> None:
        self._stdin = stdin

    async def write(self, data: bytes) -> None:
        """Send it; waits while the program does not read. NobodyReads once it never will."""
        await self._stdin.send_all(data)

    def end_input(self) -> None:
        """Say that there is no more, now or later."""
        self._stdin.close()

    @property
    def open(self) -> bool:
        """Whether the program takes anything."""
        return not self._stdin.over

    async def wait_over(self) -> None:
        """Return when the program takes nothing any more."""
        await self._stdin.wait_over()
