"""The keys that a person presses while a command tells something, one at a time, without Enter."""

from __future__ import annotations

import os
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

STDIN = 0
#: Bytes of one read: more than one key are none.
READ_BYTES = 4096
#: Places in what `tcgetattr` gives.
_LOCAL, _CONTROL = 3, 6


class Keyboard:
    """Made by `open_keyboard`. Ctrl-C and Ctrl-Z stay signals; it is nobody's while we are in the background."""

    def __init__(self) -> None:
        self._before: list[Any] | None = None

    @property
    def fileno(self) -> int | None:
        """What can be read once a key was pressed; None while what is typed is for others."""
        return STDIN if self._is_ours else None

    @property
    def _is_ours(self) -> bool:
        try:
            return os.tcgetpgrp(STDIN) == os.getpgrp()
        except OSError:
            # It is the terminal of no session of ours: nobody stops who reads from it.
            return True

    def take_keys(self) -> None:
        """Get each key as it is pressed; what was typed before was meant for something else."""
        if not self._is_ours:
            return
        with suppress(OSError, termios.error):
            if self._before is None:
                self._before = termios.tcgetattr(STDIN)
            wanted = termios.tcgetattr(STDIN)
            wanted[_LOCAL] &= ~(termios.ICANON | termios.ECHO)
            wanted[_CONTROL][termios.VMIN], wanted[_CONTROL][termios.VTIME] = 1, 0
            termios.tcsetattr(STDIN, termios.TCSAFLUSH, wanted)

    def take_lines(self) -> None:
        """Get whole lines, as a terminal gives them, and shows them."""
        self.give_back()
        if self._is_ours:
            with suppress(OSError, termios.error):
                termios.tcflush(STDIN, termios.TCIFLUSH)

    def give_back(self) -> None:
        """Have it as it was. In the background it is the shell's, which has seen to that."""
        if self._before is not None and self._is_ours:
            with suppress(OSError, termios.error):
                termios.tcsetattr(STDIN, termios.TCSANOW, self._before)
        self._before = None

    def read(self) -> str:
        """What was typed; "" once nobody can type any more."""
        try:
            return os.read(STDIN, READ_BYTES).decode(errors="replace")
        except BlockingIOError:
            # Another reader was faster; to what is non-blocking, that is no end.
            return "\0"
        except OSError:
            return ""


@contextmanager
def open_keyboard() -> Iterator[Keyboard]:
    """That of standard input, which is given back in any case."""
    keyboard = Keyboard()
    try:
        yield keyboard
    finally:
        keyboard.give_back()


def is_person_there() -> bool:
    """Whether one could be asked something: who types reads what is said."""
    try:
        return os.isatty(STDIN) and sys.stdin.isatty() and sys.stderr.isatty()
    except (OSError, ValueError):
        return False
