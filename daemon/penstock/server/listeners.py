"""The listening sockets: opened here, or given by systemd."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from penstock.words.errors import StartRefused

#: Connections that wait while the daemon starts or is busy; early clients wait here.
BACKLOG = 512


async def open_listeners(
    host: str,
    port: int,
    unix_path: Path | None = None,
    given: Sequence[trio.SocketListener] = (),
) -> list[trio.SocketListener]:
    """Listen on TCP and, with a path, on a Unix socket. StartRefused names what is taken.

    What is `given` already is not opened again.
    """
    listeners = list(given)
    try:
        if not tcp_addresses(listeners):
            listeners += await open_tcp(host, port)
        if unix_path is not None and unix_path not in unix_paths(listeners):
            listeners.append(open_unix(unix_path))
    except BaseException:
        for listener in listeners:
            listener.socket.close()
        raise
    return listeners


@asynccontextmanager
async def listening(
    host: str, port: int, unix_path: Path, given: Sequence[trio.SocketListener]
) -> AsyncIterator[list[trio.SocketListener]]:
    """Listeners for the length of a daemon; given sockets outlive it and keep their place."""
    kept = unix_paths(given)
    listeners = await open_listeners(host, port, unix_path, given)
    try:
        yield listeners
    finally:
        for listener in listeners:
            listener.socket.close()
        if unix_path not in kept:
            _remove(unix_path)


async def open_tcp(host: str, port: int) -> list[trio.SocketListener]:
    """Listen on TCP; port 0 lets the kernel choose. StartRefused names the port if it is taken."""
    try:
        return list(await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = f"port {port} on {host} is taken; stop what listens there, or use --port"
            raise StartRefused(why, port=port) from None
        raise StartRefused(f"cannot listen on {host}, port {port}: {error}") from None


def open_unix(path: Path) -> trio.SocketListener:
    """Listen on a socket that only our user can reach: mode 0600 in a folder of mode 0700.

    A socket that a dead daemon left is replaced; the caller holds the lock that says it is dead.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _private_folder(path.parent)
        if path.is_socket():
            path.unlink()
        # The folder keeps others out from the first moment on; the mode is a second lock.
        sock.bind(os.fspath(path))
        path.chmod(0o600)
        sock.listen(BACKLOG)
        sock.setblocking(False)
        return trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    except OSError as error:
        sock.close()
        raise StartRefused(f"cannot listen on {path}: {error}") from None
    except BaseException:
        sock.close()
        raise


def adopt_listeners(fds: Sequence[int]) -> list[trio.SocketListener]:
    """Listeners from open descriptors, as systemd passes them. StartRefused for other things."""
    listeners = []
    for fd in fds:
        try:
            sock = socket.socket(fileno=fd)
            os.set_inheritable(fd, False)
            sock.setblocking(False)
            listeners.append(trio.SocketListener(trio.socket.from_stdlib_socket(sock)))
        except (OSError, ValueError) as error:
            raise StartRefused(
                f"descriptor {fd} is not a listening socket: {error}"
            ) from None
    return listeners


def tcp_addresses(listeners: Sequence[trio.SocketListener]) -> list[tuple[str, int]]:
    """Address and port of each TCP listener."""
    names = (
        x.socket.getsockname() for x in listeners if x.socket.family != socket.AF_UNIX
    )
    return [(name[0], name[1]) for name in names]


def unix_paths(listeners: Sequence[trio.SocketListener]) -> list[Path]:
    """The path of each Unix socket."""
    return [
        Path(os.fsdecode(x.socket.getsockname()))
        for x in listeners
        if x.socket.family == socket.AF_UNIX
    ]


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _private_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise StartRefused(f"the folder {folder} belongs to somebody else")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)
