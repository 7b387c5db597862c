"""CL-02: clients find the daemon by its lock, wherever their environment says that sockets are."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.log.sqlite.database import hold_lock
from penstock.words.address import find_address, find_paths
from penstock.words.errors import DaemonUnreachable, StartRefused
from penstock.words.holder import Holder, parse_holder, read_holder, tell_address


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of a cron job: a home, and no runtime folder."""
    environ = {"HOME": str(tmp_path / "home")}
    find_paths(environ).state.mkdir(parents=True)
    return environ


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A socket where that environment does not look."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "d.sock"))
        listener.listen()
        yield tmp_path / "d.sock"


def test_the_lock_tells_who_holds_it_and_where_that_listens(tmp_path: Path) -> None:
    lock, where = tmp_path / "lock", tmp_path / "a\nb\udce9.sock"
    assert read_holder(lock) is None
    with hold_lock(lock):
        assert read_holder(lock) == Holder(os.getpid())
        tell_address(lock, where, "http://127.0.0.1:9")
        assert read_holder(lock) == Holder(os.getpid(), where, "http://127.0.0.1:9")
        with pytest.raises(StartRefused, match=rf"pid {os.getpid()}\) holds"):
            with hold_lock(lock):
                pass
    assert read_holder(lock) is None, "what a dead daemon left says nothing"
    with hold_lock(lock):
        assert read_holder(lock) == Holder(os.getpid()), "nor to who comes after it"


@pytest.mark.parametrize(
    "data", [b"", b"x\n{}", b"\xff\n[", b"\n[1]", b"-1\n" + b"[" * 9000, b"1\n{}"]
)
def test_a_lock_file_of_any_content_is_read(data: bytes) -> None:
    assert parse_holder(data) in (Holder(None), Holder(1))


def test_a_lock_that_is_no_file_of_ours_is_nobodys(tmp_path: Path) -> None:
    """A link or a FIFO in its place decides nothing, and is not waited for."""
    (tmp_path / "real").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "fifo")
    with hold_lock(tmp_path / "real"):
        assert read_holder(tmp_path / "link") is None
        assert read_holder(tmp_path / "fifo") is None
        assert read_holder(tmp_path) is None


@pytest.mark.processes
def test_who_only_looks_keeps_no_daemon_from_its_lock(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    child = os.fork()
    if child == 0:
        for _ in range(100_000):
            read_holder(lock)
        os._exit(0)
    try:
        for _ in range(200):
            with hold_lock(lock):
                pass
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


@pytest.mark.sockets
def test_a_bare_environment_finds_the_socket_that_the_lock_names(
    environ: dict[str, str], elsewhere: Path
) -> None:
    paths = find_paths(environ)
    with hold_lock(paths.lock):
        with pytest.raises(DaemonUnreachable, match=rf"pid {os.getpid()}.*try again"):
            find_address(environ, paths)
        tell_address(paths.lock, elsewhere, None)
        assert find_address(environ, paths).socket == elsewhere
    with pytest.raises(DaemonUnreachable, match="penstock serve"):
        find_address(environ, paths)


@pytest.mark.sockets
def test_the_lock_of_our_state_folder_goes_before_a_socket_that_others_share(
    environ: dict[str, str], elsewhere: Path, tmp_path: Path
) -> None:
    paths = find_paths({**environ, "XDG_RUNTIME_DIR": str(tmp_path / "run")})
    paths.runtime.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as other, hold_lock(paths.lock):
        other.bind(str(paths.socket))
        tell_address(paths.lock, elsewhere, None)
        assert find_address(environ, paths).socket == elsewhere


@pytest.mark.sockets
def test_a_port_that_the_lock_names_is_tried_if_its_listeners_are_ours(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """Of a daemon whose socket was removed; a port that nobody of ours listens on is not tried."""
    paths = find_paths(environ)
    paths.token.write_text("secret\n")
    paths.token.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as server, hold_lock(paths.lock):
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        tell_address(paths.lock, tmp_path / "gone.sock", url)
        found = find_address(environ, paths)
        assert (found.base, found.token, found.named) == (url, "secret", False)
        server.close()
        with pytest.raises(DaemonUnreachable, match=r"gone\.sock"):
            find_address(environ, paths)


@pytest.mark.parametrize("chosen", ["HOME", "XDG_STATE_HOME", "STATE_DIRECTORY"])
def test_who_chose_other_folders_does_not_mean_the_daemon_of_the_session(
    tmp_path: Path, chosen: str
) -> None:
    assert find_paths({chosen: str(tmp_path)}).session is None


def test_a_bare_environment_finds_the_socket_of_our_login_session(
    tmp_path: Path,
) -> None:
    """A unit's socket is there before its daemon is, and its folder is our own."""
    paths = find_paths({}, sessions=tmp_path)
    assert paths.session == tmp_path / str(os.geteuid()) / "penstock"
    paths.session.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(paths.session / "daemon.sock"))
        if not paths.socket.exists() and read_holder(paths.lock) is None:
            assert find_address({}, paths).socket == paths.session / "daemon.sock"
