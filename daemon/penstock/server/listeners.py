"""The listening sockets: opened here, or given by systemd."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import trio

from penstock.words.address import LONGEST_SOCKET_PATH, stands_in
from penstock.words.errors import StartRefused

#: Connections that wait while the daemon starts or is busy; early clients wait here.
BACKLOG = 512
#: Times that the folder of a socket is made again because another daemon that ended removed it.
MOST_REMOVALS = 16


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
    made = None if unix_path in kept else _identity(unix_path)
    try:
        yield listeners
    finally:
        for listener in listeners:
            listener.socket.close()
        _remove(unix_path, made)
        _remove_stand_in(unix_path.parent)


@contextmanager
def listening_unix(path: Path) -> Iterator[trio.SocketListener]:
    """The same for a Unix socket alone."""
    listener = open_unix(path)
    made = _identity(path)
    try:
        yield listener
    finally:
        listener.socket.close()
        _remove(path, made)
        _remove_stand_in(path.parent)


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

    A socket on which nobody answers is replaced: a dead daemon left it. StartRefused if somebody
    does: our lock keeps away daemons of our state folder, and others may share the runtime folder.
    """
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise StartRefused(
            f"cannot listen on {path}: the path of a socket has at most {LONGEST_SOCKET_PATH} bytes; let"
            " XDG_RUNTIME_DIR, or the setting runtime_dir, name a folder with a shorter one"
        )
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        for _ in range(MOST_REMOVALS):
            _private_folder(path.parent)
            with _alone_in(path.parent) as there:
                if there:
                    _listen(sock, path)
                    break
        else:
            raise StartRefused(f"cannot listen on {path}: its folder does not stay")
        sock.setblocking(False)
        return trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    except OSError as error:
        sock.close()
        raise StartRefused(f"cannot listen on {path}: {error}") from None
    except BaseException:
        sock.close()
        raise


def _listen(sock: socket.socket, path: Path) -> None:
    """Alone in the folder, since between bind and listen nobody answers on a socket that is about to live."""
    if path.is_socket():
        if _answered(path):
            raise StartRefused(
                f"another daemon answers at {path}; stop it, or give this one a folder of"
                " its own with --state-dir"
            )
        path.unlink(missing_ok=True)
    # The folder keeps others out from the first moment on; the mode is a second lock.
    sock.bind(os.fspath(path))
    path.chmod(0o600)
    sock.listen(BACKLOG)


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


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file a name leads to now; None if to none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _remove(path: Path, made: tuple[int, int] | None) -> None:
    """Remove the socket that we made, if it is still that one: its name may be another's by now.

    Numbers of files are used again, so a socket on which somebody answers is left alone too. The
    caller listens no more.
    """
    if made is None or _identity(path) != made:
        return
    with _alone_in(path.parent) as there:
        if there and _identity(path) == made and not _answered(path):
            path.unlink(missing_ok=True)


def _remove_stand_in(folder: Path) -> None:
    """Remove the folder that stands for one of a state folder, with the last socket that was below it.

    Nobody else would: in a state folder it goes with that one, and of a session with the session.
    """
    for empty in (folder, folder.parent):
        if stands_in(empty) or stands_in(empty.parent):
            with suppress(OSError), _alone_in(empty) as there:
                if there:
                    empty.rmdir()


def _answered(path: Path) -> bool:
    """Whether somebody listens there: what refuses or is not there is dead, all else is alive."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A full backlog is an answer, and none to wait for.
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True


@contextmanager
def _alone_in(folder: Path) -> Iterator[bool]:
    """Make and remove sockets of this folder one process at a time; it takes microseconds.

    False: it is not there, for whoever was alone in it before us has removed it.
    """
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield _leads_to(folder, fd)
    finally:
        os.close(fd)


def _leads_to(folder: Path, fd: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(folder.stat(), os.fstat(fd))
    return False


def _private_folder(folder: Path) -> None:
    # Removed in that very moment; the caller looks whether it is there.
    with suppress(FileNotFoundError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_uid != os.geteuid():
            raise StartRefused(f"the folder {folder} belongs to somebody else")
        if stat.S_IMODE(found.st_mode) & 0o077:
            folder.chmod(0o700)
