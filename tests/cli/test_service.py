"""SY-02: the user service, with a systemctl that only keeps books; tests/systemd/ has a real one."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes import systemctl
from fakes.penstock_command import Penstock
from penstock import __version__
from penstock.cli.units import SERVICE, SOCKET, quoted

pytestmark = pytest.mark.processes


class Books:
    """What the fake was told, and what it is to answer."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "systemctl.json"
        self.set(running="running", active=[], calls=[], fail=[])

    def set(self, **changes: Any) -> None:
        state = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.file.write_text(json.dumps({**state, **changes}))

    def __getitem__(self, name: str) -> Any:
        return json.loads(self.file.read_text())[name]

    def verbs(self) -> list[str]:
        """What was asked for since the last look, less questions."""
        calls = [call[0] for call in self["calls"]]
        self.set(calls=[])
        return [x for x in calls if x not in {"show", "is-system-running"}]


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Books:
    program = tmp_path / "systemctl"
    program.write_text(f"#!{sys.executable}\n" + Path(systemctl.__file__).read_text())
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return Books(tmp_path)


@pytest.fixture
def folder(home: Path) -> Path:
    return home / "config" / "systemd" / "user"


@pytest.fixture
def lock(home: Path) -> Iterator[Path]:
    """The lock of a daemon that runs: this process."""
    path = home / "state" / "penstock" / "daemon.lock"
    path.parent.mkdir(parents=True)
    path.write_text(str(os.getpid()))
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield path


def test_install_writes_enables_and_starts_and_says_so(
    penstock: Penstock, books: Books, folder: Path
) -> None:
    """SY-02"""
    result = penstock("service", "install")
    assert result.exit_code == 0, result.stderr
    for said in (SERVICE, SOCKET, "enabled and started", "0 running", "enable-linger"):
        assert said in result.stderr
    assert result.stdout == ""
    assert books.verbs() == [
        "daemon-reload",
        "enable",
        "reset-failed",
        "stop",
        "start",
        "restart",
    ]
    assert books["active"] == [SERVICE, SOCKET]
    unit = (folder / SERVICE).read_text()
    assert f"ExecStart={Path(sys.executable).parent}/penstock serve\n" in unit
    assert "Environment=XDG_STATE_HOME=" in unit
    socket = (folder / SOCKET).read_text()
    assert "ListenStream=127.0.0.1:9876\n" in socket
    assert "/run/penstock/daemon.sock\n" in socket
    assert "%t" not in socket


def test_a_unit_of_an_older_version_is_told_until_it_is_written_anew(
    penstock: Penstock, books: Books, folder: Path
) -> None:
    """RS-04, SY-02: that only the version is older is nothing to mend."""
    penstock("service", "install")
    unit = folder / SERVICE
    text = unit.read_text()
    assert text.startswith(f"# Written by penstock {__version__}\n")
    assert unit_told(penstock)["state"] == "ok"
    older = text.replace(f"penstock {__version__}", "penstock 0.0.1", 1)
    unit.write_text(older)
    assert unit_told(penstock)["state"] == "ok"
    unit.write_text(older.replace("WatchdogSec=30\n", ""))
    told = unit_told(penstock)
    assert told["state"] == "warning"
    assert f"written by penstock 0.0.1, and this is {__version__}" in told["found"]
    assert "penstock service install" in told["fix"]
    unit.write_text(text.split("\n", 1)[1].replace("WatchdogSec=30\n", ""))
    assert "of an older version" in unit_told(penstock)["found"]
    penstock("service", "install")
    assert unit_told(penstock)["state"] == "ok"


def unit_told(penstock: Penstock) -> dict[str, str]:
    rows = map(json.loads, penstock("doctor", "--json").stdout.splitlines())
    [told] = [row for row in rows if row["check"] == "unit"]
    return dict(told)


def test_a_second_install_changes_nothing(
    penstock: Penstock, books: Books, folder: Path
) -> None:
    """SY-02: and the daemon goes on."""
    penstock("service", "install")
    books.verbs()
    before = (folder / SERVICE).stat().st_mtime_ns
    result = penstock("service", "install", "--json")
    assert json.loads(result.stdout)["changed"] == []
    assert "restart" not in books.verbs()
    assert (folder / SERVICE).stat().st_mtime_ns == before


def test_a_new_port_reaches_the_socket(
    penstock: Penstock, books: Books, home: Path, folder: Path
) -> None:
    """SY-02: a second user of the box has a port of his own, in the config."""
    penstock("service", "install")
    config = home / "config" / "penstock" / "config.toml"
    config.parent.mkdir()
    config.write_text('port = 9999\nhost = "::1"\n')
    result = penstock("service", "install", "--json")
    assert json.loads(result.stdout)["changed"] == [SOCKET]
    assert "ListenStream=[::1]:9999\n" in (folder / SOCKET).read_text()


def test_what_is_set_for_this_shell_alone_is_told(
    penstock: Penstock, books: Books, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_PORT", "1234")
    result = penstock("service", "install")
    assert "does not see PENSTOCK_PORT" in result.stderr
    assert "9876" in (folder / SOCKET).read_text()


def test_another_config_file_is_named_to_the_service(
    penstock: Penstock, books: Books, home: Path, folder: Path
) -> None:
    file = home / "my config.toml"
    file.write_text("port = 9877\n")
    assert penstock("--config", str(file), "service", "install").exit_code == 0
    assert f'--config "{file}" serve\n' in (folder / SERVICE).read_text()
    assert "127.0.0.1:9877" in (folder / SOCKET).read_text()


def test_a_daemon_started_by_hand_is_not_fought(
    penstock: Penstock, books: Books, lock: Path, folder: Path
) -> None:
    """SY-02"""
    result = penstock("service", "install")
    assert result.exit_code == 4
    assert f"pid {os.getpid()}" in result.stderr
    assert not folder.exists()
    books.set(pid=os.getpid())
    assert penstock("service", "install").exit_code == 0, "it is the service's own"


def test_a_service_that_does_not_start_is_told(
    penstock: Penstock, books: Books
) -> None:
    books.set(fail=["restart"])
    result = penstock("service", "install")
    assert result.exit_code == 69
    assert "planted" in result.stderr
    assert "penstock service logs" in result.stderr


def test_uninstall_keeps_the_data(
    penstock: Penstock, books: Books, home: Path, folder: Path
) -> None:
    """SY-02"""
    penstock("service", "install")
    log = home / "state" / "penstock" / "penstock.db"
    log.parent.mkdir(parents=True)
    log.touch()
    for _ in range(2):
        result = penstock("service", "uninstall")
        assert result.exit_code == 0, result.stderr
    assert str(log.parent) in result.stderr
    assert log.exists()
    assert not list(folder.glob("penstock*"))
    assert books["active"] == []


def test_purge_deletes_what_is_penstocks_and_nothing_else(
    penstock: Penstock, books: Books, home: Path
) -> None:
    """SY-02"""
    state = home / "state" / "penstock"
    (state / "runs" / "r-1").mkdir(parents=True)
    for name in ("penstock.db", "penstock.db-wal", "token", "daemon.lock", "diary"):
        (state / name).touch()
    assert penstock("service", "uninstall", "--purge").exit_code == 0
    assert [path.name for path in state.iterdir()] == ["diary"]


def test_the_data_of_a_running_daemon_is_not_purged(
    penstock: Penstock, books: Books, lock: Path
) -> None:
    result = penstock("service", "uninstall", "--purge")
    assert result.exit_code == 4
    assert lock.exists()


def test_status_tells_and_its_code_says_the_same(
    penstock: Penstock, books: Books
) -> None:
    assert penstock("service", "status").exit_code == 3
    penstock("service", "install")
    result = penstock("service", "status", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["StatusText"] == "0 running, 0 queued"
    books.set(active=[])
    assert penstock("service", "status").exit_code == 1


def test_restart_asks_for_the_service_alone(penstock: Penstock, books: Books) -> None:
    """SY-01: the socket stays open, so that nobody is refused."""
    assert penstock("service", "restart").exit_code == 0
    assert ["restart", SERVICE] in books["calls"]
    assert not any(SOCKET in call for call in books["calls"] if call[0] == "restart")


@pytest.mark.parametrize("verb", ["install", "uninstall", "status", "restart"])
@pytest.mark.parametrize("missing", ["program", "manager"])
def test_without_systemd_there_is_a_sentence(
    penstock: Penstock,
    books: Books,
    tmp_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    missing: str,
) -> None:
    """SY-02: what is missing, what to do, and nothing written."""
    books.set(running="offline")
    if missing == "program":
        monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    result = penstock("service", verb)
    assert result.exit_code == 69
    [line] = result.stderr.splitlines()
    assert "systemd" in line
    assert "penstock serve" in line
    assert not folder.exists()


def test_logs_need_a_journal(
    penstock: Penstock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("journalctl") is None
    assert penstock("service", "logs").exit_code == 69


@pytest.mark.parametrize(
    ("word", "unit"),
    [
        ("/usr/bin/penstock", "/usr/bin/penstock"),
        ("/a b", '"/a b"'),
        ('say "no"', '"say \\"no\\""'),
        ("50%", "50%%"),
        ("$HOME", "$$HOME"),
        ("back\\slash", '"back\\\\slash"'),
        ("", '""'),
    ],
)
def test_words_mean_the_same_in_a_unit(word: str, unit: str) -> None:
    assert quoted(word) == unit
