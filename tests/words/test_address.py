"""CL-02, APP-05, API-03: the one way in which every client finds the daemon and its token."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.words.address import (
    SHALLOW,
    Address,
    base_url,
    file_stem,
    find_address,
    find_paths,
    parse_address,
    read_token,
    websocket_url,
)
from penstock.words.errors import DaemonUnreachable, Refused, Unauthorised

#: A Unix socket's path has at most this many bytes (`sun_path` less its NUL).
LONGEST_SOCKET_PATH = 107


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": str(tmp_path / "run")}


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "run" / "penstock" / "daemon.sock"
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        yield path


def write_token(
    environ: dict[str, str], text: str = "from-the-file", mode: int = 0o600
) -> Path:
    path = find_paths(environ).token
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    path.chmod(mode)
    return path


def test_sockets_of_a_home_that_lies_deep_have_a_short_place() -> None:
    """CL-02: their paths fit, each state folder has its own, and one that fits stays where it is."""
    deep = find_paths({"HOME": f"/{'h' * 80}"})
    other = find_paths({"HOME": f"/{'g' * 80}"})
    for paths in (deep, find_paths({"HOME": "/h"}, state_dir=Path(f"/{'s' * 90}"))):
        for path in (paths.socket, paths.embedded_socket(paths.database)):
            assert len(str(path)) <= LONGEST_SOCKET_PATH
        assert paths.runtime.parent == SHALLOW
    assert deep.runtime != other.runtime
    assert deep.state == Path(f"/{'h' * 80}/.local/state/penstock")
    near = find_paths({"HOME": "/h"})
    assert near.runtime == near.state / "run"


def test_the_folders_are_those_of_xdg() -> None:
    paths = find_paths({"HOME": "/h", "XDG_RUNTIME_DIR": "/r", "XDG_STATE_HOME": "/s"})
    assert (paths.state, paths.runtime) == (Path("/s/penstock"), Path("/r/penstock"))
    assert (paths.token, paths.socket) == (
        Path("/s/penstock/token"),
        Path("/r/penstock/daemon.sock"),
    )


def test_without_a_runtime_folder_the_socket_is_in_the_state_folder() -> None:
    paths = find_paths({"HOME": "/h", "XDG_STATE_HOME": "relative: ignored"})
    assert paths.socket == Path("/h/.local/state/penstock/run/daemon.sock")


def test_what_systemd_made_wins_over_xdg_and_what_is_configured_wins_over_both() -> (
    None
):
    environ = {
        "HOME": "/h",
        "XDG_RUNTIME_DIR": "/r",
        "STATE_DIRECTORY": "/var/lib/penstock:/var/lib/other",
        "RUNTIME_DIRECTORY": "/run/penstock",
    }
    paths = find_paths(environ)
    assert (paths.state, paths.runtime) == (
        Path("/var/lib/penstock"),
        Path("/run/penstock"),
    )
    paths = find_paths(environ, state_dir=Path("/a"), runtime_dir=Path("/b"))
    assert (paths.state, paths.runtime) == (Path("/a"), Path("/b"))


def test_the_mark_of_a_log_is_never_where_the_log_is() -> None:
    """ST-08: who puts the one back must leave the other."""
    environ = {"HOME": "/h"}
    mark = find_paths(environ).mark
    assert mark.parent == Path("/h/.cache/penstock")
    assert find_paths({**environ, "XDG_CACHE_HOME": "/c"}).cache == Path("/c/penstock")
    systemd = find_paths({**environ, "CACHE_DIRECTORY": "/var/cache/penstock:/other"})
    assert systemd.cache == Path("/var/cache/penstock")
    # Two states share a cache, and must not share a mark.
    other = find_paths(environ, state_dir=Path("/a")).mark
    assert other.parent == mark.parent
    assert other != mark


def test_a_folder_whose_name_is_no_text_has_a_mark_too() -> None:
    """ER-02: such a name is a folder as any other."""
    folder = Path(os.fsdecode(b"/there/\xff"))
    assert find_paths({"HOME": "/home/me"}, state_dir=folder).mark.suffix == ".mark"


def test_a_configured_state_folder_never_shares_a_socket_with_another() -> None:
    environ = {"HOME": "/h", "XDG_RUNTIME_DIR": "/r"}
    assert find_paths(environ, state_dir=Path("/a")).socket == Path(
        "/a/run/daemon.sock"
    )


def test_the_flag_goes_before_the_environment_and_that_before_the_socket(
    environ: dict[str, str], listening: Path
) -> None:
    paths = find_paths(environ)
    environ["PENSTOCK_URL"] = "http://127.0.0.1:7001"
    assert (
        find_address(environ, paths, "http://127.0.0.1:7002").base
        == "http://127.0.0.1:7002"
    )
    assert find_address(environ, paths).base == "http://127.0.0.1:7001"
    assert find_address(environ, paths).named
    del environ["PENSTOCK_URL"]
    found = find_address(environ, paths)
    assert (found.socket, found.token, found.named) == (listening, None, False)


def test_without_a_daemon_the_error_says_how_to_start_one(
    environ: dict[str, str],
) -> None:
    with pytest.raises(DaemonUnreachable, match="penstock serve"):
        find_address(environ, find_paths(environ))


def test_a_plain_file_in_the_sockets_place_is_no_daemon(
    environ: dict[str, str],
) -> None:
    path = find_paths(environ).socket
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(DaemonUnreachable, match="not a socket of yours"):
        find_address(environ, find_paths(environ))


@pytest.mark.parametrize(
    "host", ["127.0.0.1:1", "localhost:1", "[::1]:1", "127.8.9.1:1"]
)
def test_the_token_file_serves_daemons_on_this_box(
    environ: dict[str, str], host: str
) -> None:
    write_token(environ)
    address = parse_address(f"http://{host}", environ, find_paths(environ))
    assert address.token == "from-the-file"
    assert "from-the-file" not in repr(address)


@pytest.mark.parametrize(
    "host", ["box.example", "192.0.2.1:9876", "localhost.example", "[2001:db8::1]"]
)
def test_the_token_file_never_goes_to_another_host(
    environ: dict[str, str], host: str
) -> None:
    write_token(environ)
    paths = find_paths(environ)
    assert parse_address(f"http://{host}", environ, paths).token is None
    environ["PENSTOCK_TOKEN"] = "given"
    assert parse_address(f"http://{host}", environ, paths).token == "given"


def test_a_token_file_open_to_others_is_refused(environ: dict[str, str]) -> None:
    path = write_token(environ, mode=0o640)
    with pytest.raises(Unauthorised, match="chmod 600"):
        read_token(path)
    assert read_token(path.with_name("absent")) is None


@pytest.mark.parametrize(
    "url",
    ["ftp://host", "http://", "http://host:port", "http://[::1", "http://me:secret@host",
     "http://host/?token=secret", "unix:relative"],
)  # fmt: skip
def test_a_bad_address_is_refused_without_repeating_secrets(
    environ: dict[str, str], url: str
) -> None:
    with pytest.raises(Refused) as caught:
        parse_address(url, environ, find_paths(environ))
    assert "secret" not in str(caught.value)


def test_a_socket_can_be_named_by_a_url(environ: dict[str, str]) -> None:
    """A run of an embedded daemon is told by PENSTOCK_URL where to find it."""
    address = parse_address("unix:/run/x.sock", environ, find_paths(environ))
    assert (address.socket, str(address)) == (Path("/run/x.sock"), "unix:/run/x.sock")


def test_ids_and_values_are_percent_encoded() -> None:
    address = Address(base="http://h:1")
    assert address.url("runs", "a b?/ü", "events", after=3, limit=None) == (
        "http://h:1/runs/a%20b%3F%2F%C3%BC/events?after=3"
    )
    assert address.websocket_url("a b") == "ws://h:1/ws/a%20b"
    assert websocket_url("https://h/base") == "wss://h/base/ws"


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("127.0.0.1", "http://127.0.0.1:9"),
        ("0.0.0.0", "http://127.0.0.1:9"),
        ("::1", "http://[::1]:9"),
    ],
)
def test_clients_on_this_box_reach_a_daemon_that_listens_everywhere(
    host: str, base: str
) -> None:
    assert base_url(host, 9) == base


@pytest.mark.parametrize("run_id", ["x" * 200, "ü" * 200, "..hidden", "a b%c", "-"])
def test_every_run_id_has_a_file_name_and_a_socket_of_its_own(run_id: str) -> None:
    paths = find_paths({"HOME": "/home/somebody"})
    database = paths.embedded_database(run_id)
    name = database.name
    assert len(os.fsencode(name)) < 240
    assert "/" not in name
    assert not name.startswith(".")
    assert len(os.fsencode(paths.embedded_socket(database))) <= LONGEST_SOCKET_PATH
    assert file_stem(run_id) != file_stem(run_id + "x")
