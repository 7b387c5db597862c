"""CL-02, law 5: a daemon's socket is taken and removed by nobody else."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from penstock.server import listeners
from penstock.server.listeners import listening, listening_unix
from penstock.words import address
from penstock.words.address import LONGEST_SOCKET_PATH
from penstock.words.errors import StartRefused

pytestmark = pytest.mark.sockets


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "d.sock"


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def there(path: Path) -> bool:
    return path.exists()


def replace_by_file(path: Path) -> None:
    path.unlink()
    path.touch()


def replace_by_socket(path: Path) -> socket.socket:
    path.unlink()
    other = socket.socket(socket.AF_UNIX)
    other.bind(str(path))
    other.listen()
    return other


async def test_a_socket_on_which_somebody_answers_is_not_taken(path: Path) -> None:
    with listening_unix(path):
        with pytest.raises(StartRefused, match=f"another daemon answers at {path}"):
            async with listening("127.0.0.1", 0, path, []):
                pass
        assert answers(path)
    assert not there(path)


@pytest.mark.parametrize("bytes_more", [0, 1])
async def test_a_path_that_is_too_long_for_a_socket_says_what_to_shorten(
    path: Path, monkeypatch: pytest.MonkeyPatch, bytes_more: int
) -> None:
    """CL-02: a home may be deep; the kernel says no more than that it is too long."""
    monkeypatch.setattr(listeners, "LONGEST_SOCKET_PATH", len(str(path)) - bytes_more)
    with (
        pytest.raises(StartRefused, match="XDG_RUNTIME_DIR")
        if bytes_more
        else nullcontext()
    ):
        with listening_unix(path):
            assert answers(path)
    assert not there(path)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of sockets for a state folder that lies too deep."""
    with TemporaryDirectory(prefix="s", dir="/tmp") as shallow:
        monkeypatch.setattr(address, "SHALLOW", Path(shallow))
        yield Path(shallow) / f"penstock-{os.geteuid()}-0123"


async def test_a_folder_that_stands_for_another_goes_with_its_last_socket(
    stand_in: Path, path: Path
) -> None:
    """CL-02: nobody else removes it; one of a state folder or a session stays."""
    own, embedded = stand_in / "daemon.sock", stand_in / "embedded" / "e.sock"
    with listening_unix(embedded):
        async with listening("127.0.0.1", 0, own, []):
            assert answers(own)
        assert answers(embedded)
    assert not there(stand_in)
    async with listening("127.0.0.1", 0, own, []):
        with listening_unix(embedded):
            pass
        assert not there(embedded.parent)
        assert answers(own)
    assert not there(stand_in)
    with listening_unix(path):
        pass
    assert there(path.parent)


@pytest.mark.parametrize("name", ["daemon.sock", "embedded/e.sock"])
@pytest.mark.parametrize("moment", ["made", "opened"])
async def test_who_begins_while_the_folder_is_removed_makes_it_again(
    stand_in: Path, name: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CL-02: another daemon of the folder ends just then."""
    path = stand_in / name
    removed: list[Path] = []

    def remove() -> None:
        if not removed:
            removed.append(path.parent)
            shutil.rmtree(stand_in)

    def make(folder: Path) -> None:
        private_folder(folder)
        remove()

    def lock(fd: int, how: int) -> None:
        remove()
        flock(fd, how)

    private_folder, flock = listeners._private_folder, fcntl.flock
    if moment == "made":
        monkeypatch.setattr(listeners, "_private_folder", make)
    else:
        monkeypatch.setattr(fcntl, "flock", lock)
    with listening_unix(path):
        assert removed
        assert answers(path)


async def test_the_longest_path_of_a_socket_is_that_of_the_kernel(path: Path) -> None:
    """CL-02: one byte less, and who could listen may not."""
    path.parent.mkdir()
    folder = os.open(path.parent, os.O_RDONLY)
    short = f"/proc/self/fd/{folder}/"
    name = "s" * (LONGEST_SOCKET_PATH - len(short))
    with socket.socket(socket.AF_UNIX) as fits, socket.socket(socket.AF_UNIX) as other:
        fits.bind(short + name)
        with pytest.raises(OSError, match="too long"):
            other.bind(short + name + "s")
    os.close(folder)


async def test_a_socket_that_waits_for_a_busy_daemon_is_not_taken(path: Path) -> None:
    """A full backlog is no dead daemon."""
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(str(path))
            with pytest.raises(StartRefused):
                with listening_unix(path):
                    pass


async def test_a_socket_that_a_dead_daemon_left_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    with listening_unix(path):
        assert answers(path)
    assert not there(path)


async def test_at_the_end_the_name_of_our_socket_may_be_anothers(path: Path) -> None:
    """By its inode; and numbers of files are used again, so what answers is left alone too."""
    with listening_unix(path):
        other = replace_by_socket(path)
    assert answers(path)
    other.close()
    async with listening("127.0.0.1", 0, path, []):
        replace_by_file(path)
    assert there(path)
