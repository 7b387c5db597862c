"""Terminals as the kernel makes them: the side of the supervisor, and the size.

Standard library only, and imported only where a program gets one: every run waits for the
supervisor's start.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
from collections import namedtuple

#: The size of a terminal that says nothing of its own.
USUAL_ROWS, USUAL_COLS = 24, 80
#: An input mode that the module does not name: erasing takes a whole UTF-8 character.
IUTF8 = 0o40000


# Not a class of `typing`, which would then be in the memory of every supervisor.
_Size = namedtuple("_Size", ("rows", "cols"), defaults=(USUAL_ROWS, USUAL_COLS))  # noqa: PYI024


class WindowSize(_Size):
    """Characters of a terminal, as whole numbers."""

    __slots__ = ()

    def usable(self) -> WindowSize:
        """The same, where there is something of it: programs divide by it."""
        return WindowSize(self.rows or USUAL_ROWS, self.cols or USUAL_COLS)


def set_size(fd: int, size: WindowSize) -> None:
    """Set it; where it changes, the foreground programs are told by SIGWINCH."""
    rows, cols = size.usable()
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("4H", rows, cols, 0, 0))


def open_terminal(size: WindowSize) -> tuple[int, int]:
    """A new terminal: its master, and its slave, which nobody controls yet. OSError if none is left."""
    master, slave = os.openpty()
    set_size(slave, size)
    modes = termios.tcgetattr(slave)
    modes[0] |= IUTF8
    termios.tcsetattr(slave, termios.TCSANOW, modes)
    return master, slave


def take_terminal(slave: int) -> None:
    """Make it the controlling terminal of this process, which leads a session, and its streams."""
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)


def hand_over(control: int, line: bytes, master: int) -> None:
    """Send a line with a descriptor, and keep none: who got it hangs up by closing it."""
    with socket.socket(fileno=os.dup(control)) as channel:
        socket.send_fds(channel, [line], [master])
    os.close(master)
