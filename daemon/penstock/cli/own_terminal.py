"""The terminal that this command was called on, while a program far away has it.

In raw mode nothing that is typed is a signal here. However the block is left, the terminal is again
what it was.
"""

from __future__ import annotations

import os
import signal
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import trio

from penstock.cli.session import off_loop
from penstock.descriptors import write_all
from penstock.words.api import LARGEST_SIDE
from penstock.words.terminal_modes import TerminalModes

STDIN, STDOUT = 0, 1
#: Bytes of one read: more than anybody types, and a good part of what is pasted.
READ_BYTES = 4096


def has_terminal() -> bool:
    """Whether standard input and output are a terminal."""
    return os.isatty(STDIN) and os.isatty(STDOUT)


def own_size() -> tuple[int, int]:
    """Rows and columns, as many as a run's terminal can have; 0 where ours does not say."""
    try:
        size = os.get_terminal_size(STDOUT)
    except OSError:
        return 0, 0
    return min(size.lines, LARGEST_SIDE), min(size.columns, LARGEST_SIDE)


def begin_line() -> None:
    """Have what is written next stand on a line of its own, wherever a program left the cursor.

    As many blanks as go into a line but one: they reach the next one unless the cursor is at the first column.
    """
    _rows, columns = own_size()
    if columns > 1 and os.environ.get("TERM") != "dumb":
        # It may be gone.
        with suppress(OSError):
            write_all(STDOUT, b" " * (columns - 1) + b"\r")


class OwnTerminal:
    """Made by `open_own_terminal`; as it was, until `take`."""

    def __init__(self) -> None:
        self._before: list[Any] | None = None
        self._modes = TerminalModes()

    def take(self, *, anew: bool = False) -> None:
        """Make it raw, again after a stop; `anew`: what was typed meanwhile was for nobody."""
        if self._before is None:
            self._before = termios.tcgetattr(STDIN)
        tty.setraw(STDIN, termios.TCSANOW)
        if anew:
            termios.tcflush(STDIN, termios.TCIFLUSH)

    def give_back(self, *, leaves: bool = False) -> None:
        """Make it what it was; who `leaves` a program that goes on ends up on a line of their own."""
        if self._before is None:
            return
        undone = self._modes.undo() + ("\x1b[0m\r\n" if leaves else "")
        self._modes = TerminalModes()
        # It may be gone.
        with suppress(OSError, termios.error):
            write_all(STDOUT, undone.encode())
        with suppress(OSError, termios.error):
            termios.tcsetattr(STDIN, termios.TCSANOW, self._before)
        self._before = None

    def stop(self) -> None:
        """Stop this command, as Ctrl-Z would have; returns when it goes on."""
        self.give_back(leaves=True)
        os.kill(os.getpid(), signal.SIGSTOP)

    async def read(self) -> bytes:
        """What is typed; nothing once the terminal is gone."""
        await trio.lowlevel.wait_readable(STDIN)
        try:
            return os.read(STDIN, READ_BYTES)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        """Show it. OSError once the terminal is gone. One that stalls holds only its reader."""
        self._modes.feed(data)
        await off_loop(write_all, STDOUT, data)


@contextmanager
def open_own_terminal() -> Iterator[OwnTerminal]:
    """The terminal, which is given back in any case."""
    terminal = OwnTerminal()
    try:
        yield terminal
    finally:
        terminal.give_back()
