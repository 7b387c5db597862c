"""What systemd would be to a daemon: a socket for its notices, and sockets it was started with."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

#: Becomes the program with the descriptors at 3, 4, … and with its own pid in LISTEN_PID.
LAUNCHER = """
import fcntl, os, sys
fds = [int(fd) for fd in sys.argv[1].split(",") if fd]
kept = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in fds]  # above the places they go to
for place, fd in enumerate(kept, 3):
    os.dup2(fd, place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class Notices:
    """The socket that a service sends its notices to."""

    def __init__(self, sock: socket.socket, address: str) -> None:
        self.sock = sock
        self.address = address
        self.lines: list[str] = []

    def next(self) -> list[str]:
        """The lines of the next notice; AssertionError if none comes in half a minute."""
        self.sock.settimeout(30)
        try:
            lines = self.sock.recv(4096).decode().split("\n")
        except TimeoutError:
            raise AssertionError(f"no notice after {self.lines}") from None
        self.lines += lines
        return lines

    def until(self, line: str) -> None:
        """Take notices until one has this line."""
        while line not in self.next():
            pass


@contextmanager
def open_notices(address: str) -> Iterator[Notices]:
    """Listen at a path, or at an abstract address that begins with `@`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + address[1:] if address.startswith("@") else address)
        yield Notices(sock, address)


@contextmanager
def listening_sockets(path: str) -> Iterator[list[socket.socket]]:
    """A TCP and a Unix socket as a `.socket` unit opens them."""
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind(path)
        os.chmod(path, 0o600)
        unix.listen()
        yield [tcp, unix]


def start_with(
    sockets: Sequence[socket.socket], *args: str, **environ: str
) -> subprocess.Popen[bytes]:
    """A Python program that is given these sockets."""
    fds = [sock.fileno() for sock in sockets]
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, ",".join(map(str, fds)), *args],
        env={**os.environ, **environ},
        pass_fds=fds,
        stderr=subprocess.DEVNULL,
    )
