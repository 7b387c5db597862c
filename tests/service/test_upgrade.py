"""RS-04: an upgrade below a running daemon, a restart, and clients of another version meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

import penstock
from fakes.first_release import make_first_log
from fakes.real_daemon import RealDaemon, wait_until_answering
from fakes.service_manager import open_notices
from penstock.log.audit import audit_file
from penstock.log.sqlite.schema import VERSION
from penstock.service.systemd import START_SECONDS

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: Seconds for anything here; a loaded box may take its time.
PATIENCE = 60


@dataclass
class Installation:
    """A Penstock of its own in a folder, which can be upgraded as pip does it."""

    site: Path

    @property
    def package(self) -> Path:
        return self.site / "penstock"

    def environ(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.site)}

    def install(self, version: str = penstock.__version__) -> None:
        """Put the whole package there; what was there before is gone first."""
        shutil.rmtree(self.package, ignore_errors=True)
        here = Path(penstock.__file__).parent
        shutil.copytree(
            here, self.package, ignore=shutil.ignore_patterns("__pycache__")
        )
        init = self.package / "__init__.py"
        text = init.read_text().replace(f'"{penstock.__version__}"', f'"{version}"')
        init.write_text(text)

    def break_files(self) -> None:
        """The worst of an upgrade under way: whatever is imported now is of another make."""
        for file in self.package.rglob("*.py"):
            file.write_text("raise ImportError('this file is of another version')\n")
        for cache in list(self.package.rglob("__pycache__")):
            shutil.rmtree(cache)

    def call(
        self, *words: str, code: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "penstock.cli.main", *words],
            env=self.environ(), text=True, capture_output=True, timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert code in (None, done.returncode), (words, done.stdout, done.stderr)
        return done


@pytest.fixture
def installed(tmp_path: Path) -> Installation:
    site = tmp_path / "site"
    site.mkdir()
    info = distribution("penstock")
    folder = site / f"penstock-{info.version}.dist-info"
    folder.mkdir()
    for name in ("METADATA", "entry_points.txt"):
        (folder / name).write_text(info.read_text(name) or "")
    found = Installation(site)
    found.install()
    return found


@pytest.fixture
def serve(
    installed: Installation, free_port: int, tmp_path: Path
) -> Iterator[Callable[[], RealDaemon]]:
    """Starts the daemon of that installation, again and again."""
    daemons: list[RealDaemon] = []

    def start() -> RealDaemon:
        log = tmp_path / f"daemon-{len(daemons)}.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "penstock.cli.main", "serve", "--port", str(free_port)],
                env=installed.environ(), stderr=stderr,
            )  # fmt: skip
        daemons.append(RealDaemon(process, free_port, installed.environ(), log))
        wait_until_answering(daemons[-1])
        return daemons[-1]

    yield start
    for daemon in daemons:
        daemon.stop()


def ask(daemon: RealDaemon, home: Path, path: str, body: Any = None) -> str:
    token = (home / "state" / "penstock" / "token").read_text().strip()
    request = urllib.request.Request(
        f"{daemon.url}{path}",
        headers={
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        },
        data=None if body is None else json.dumps(body).encode(),
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return str(answer.read().decode())


def state_of(installed: Installation, run_id: str) -> str:
    return str(json.loads(installed.call("show", run_id, "--json").stdout)["state"])


def test_a_daemon_does_not_notice_that_its_files_were_replaced(
    installed: Installation,
    serve: Callable[[], RealDaemon],
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RS-04: runs, readers of strangers' files, metrics and MCP work as they did."""
    with open_notices(str(home / "notify")) as notices:
        monkeypatch.setenv("NOTIFY_SOCKET", notices.address)
        daemon = serve()
        # It answers before that, and keeps its code meanwhile.
        notices.until("READY=1")
    clients = Installation(tmp_path / "clients")
    clients.site.mkdir()
    clients.install()
    (repository := tmp_path / "repository").mkdir()
    (repository / "a.py").write_text('"""Adds."""\n\n\ndef add(): ...\n')
    installed.break_files()
    hello = clients.call("run", "command", "--", "echo", "hello")
    assert hello.stdout == "hello\n"
    clients.call("submit", "command", "--id", "long", "--", "sleep", "600")
    assert "nothing of it is left" in clients.call("cancel", "long", "--wait").stdout
    told = clients.call(
        "run", "llms-txt", str(repository), "--out", str(tmp_path / "out")
    )
    assert "was not read" not in told.stdout + told.stderr
    assert "a.py" in (tmp_path / "out" / "llms.txt").read_text()
    assert "penstock_info" in ask(daemon, home, "/metrics")
    assert "openapi" in ask(daemon, home, "/openapi.json")
    hello_mcp = {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
    }  # fmt: skip
    assert "instructions" in ask(daemon, home, "/mcp", hello_mcp)
    assert daemon.stop() == 0
    assert "ImportError" not in daemon.log.read_text()


def test_open_runs_outlive_an_upgrade_and_a_restart(
    installed: Installation, serve: Callable[[], RealDaemon], home: Path
) -> None:
    """RS-04: the newer client says so in one line, and lists, shows and cancels meanwhile."""
    daemon = serve()
    again = ("--on-restart", "requeue")
    installed.call("submit", "command", "--id", "again", *again, "--", "sleep", "600")
    installed.call("submit", "command", "--id", "gone", "--", "sleep", "600")
    wait_for_state(installed, "gone", "running")
    installed.call("pause")
    installed.call("submit", "command", "--id", "kept", "--", "true")
    installed.install("99.0")
    older = f"daemon {penstock.__version__} is older than this penstock 99.0: restart it with"
    for words in (["list"], ["show", "kept"], ["cancel", "gone", "--wait"]):
        done = installed.call(*words)
        assert done.stderr.count(older) == 1
        assert len(done.stderr.splitlines()) == 1
    assert daemon.stop() == 0
    daemon = serve()
    assert installed.call("list").stderr == ""
    assert state_of(installed, "gone") == "cancelled"
    assert state_of(installed, "kept") == "queued"
    assert state_of(installed, "again") == "queued"
    installed.call("resume")
    installed.call("wait", "kept")
    assert state_of(installed, "kept") == "completed"
    wait_for_state(installed, "again", "running")
    installed.call("cancel", "again", "--wait")
    assert daemon.stop(signal.SIGTERM) == 0
    assert audit_file(home / "state" / "penstock" / "penstock.db").findings == []


def wait_for_state(installed: Installation, run_id: str, state: str) -> None:
    give_up = time.monotonic() + PATIENCE
    while (found := state_of(installed, run_id)) != state:
        assert time.monotonic() < give_up, found
        time.sleep(0.05)


def test_a_daemon_starts_with_what_the_first_release_left(
    installed: Installation,
    serve: Callable[[], RealDaemon],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RS-04: after kill -9 of that one; its log is copied, migrated, repaired and gone on with."""
    log = home / "state" / "penstock" / "penstock.db"
    log.parent.mkdir(mode=0o700, parents=True)
    make_first_log(log, 500)
    with open_notices(str(home / "notify")) as notices:
        monkeypatch.setenv("NOTIFY_SOCKET", notices.address)
        daemon = serve()
        notices.until("READY=1")
    starting = [line for line in notices.lines if line.startswith("STATUS=starting: ")]
    assert any("migrating the log" in line for line in starting)
    assert f"EXTEND_TIMEOUT_USEC={START_SECONDS}000000" in notices.lines
    told = daemon.log.read_text()
    assert f"migrating the log {log} from version 1 to {VERSION}" in told
    assert f"{log}.v1" in told
    assert "to go back" in told
    assert state_of(installed, "left") == "failed"
    assert state_of(installed, "queued") == "queued"
    assert installed.call("logs", "again-500").stdout == "hello\n"
    installed.call("resume")
    installed.call("wait", "queued", code=None)
    assert daemon.stop() == 0
    assert audit_file(log).findings == []
    assert audit_file(log.with_name("penstock.db.v1")).findings == []
