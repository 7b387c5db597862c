"""ER-01: the doctor names what is amiss, each with its fix, and mends nothing."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fakes import scripted_agent
from fakes.first_release import make_first_log
from fakes.penstock_command import Penstock
from fakes.real_daemon import RealDaemon
from penstock.cli import checks
from penstock.service.machine import kernel_of

pytestmark = pytest.mark.processes

Look = Callable[[], dict[str, dict[str, str]]]


@pytest.fixture
def look(penstock: Penstock, config: Path, free_port: int) -> Look:
    """The findings by their check; an exit code of 1 says that one is a failure."""

    def look() -> dict[str, dict[str, str]]:
        result = penstock("doctor", "--json")
        rows = list(map(json.loads, result.stdout.splitlines()))
        failed = any(row["state"] == "failure" for row in rows)
        assert result.exit_code == failed, result.output
        assert all(row["fix"] for row in rows if row["state"] != "ok")
        return {row["check"]: row for row in rows}

    config.write_text(f"port = {free_port}\n")
    return look


@pytest.fixture
def config(home: Path) -> Path:
    file = home / "config" / "penstock" / "config.toml"
    file.parent.mkdir(parents=True)
    return file


@pytest.fixture
def state(home: Path) -> Path:
    folder = home / "state" / "penstock"
    folder.mkdir(parents=True, mode=0o700)
    return folder


def test_a_fresh_box_is_well(look: Look, home: Path) -> None:
    """ER-01: and looking makes nothing."""
    before = sorted(home.rglob("*"))
    found = look()
    assert not [row for row in found.values() if row["state"] == "failure"]
    assert set(found) >= {
        "system", "config", "state folder", "runtime folder", "token", "port", "service",
        "containment", "models", "git", "disk", "clock",
    }  # fmt: skip
    assert sorted(home.rglob("*")) == before


def test_a_name_that_nobody_reads_is_told(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_PROT", "1")
    found = look()["environment"]
    assert "PENSTOCK_PROT" in found["found"]
    assert "PENSTOCK_PORT" in found["fix"]


def test_names_that_mean_something_are_not(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PENSTOCK_NO_SKIPS", raising=False)
    for name in ("RUN_ID", "MODELS__CONCURRENCY", "DELEGATED"):
        monkeypatch.setenv(f"PENSTOCK_{name}", "3")
    assert "environment" not in look()


def test_a_broken_config_is_told(look: Look, config: Path) -> None:
    config.write_text("prot = 1\n")
    found = look()["config"]
    assert found["state"] == "failure"
    assert "did you mean 'port'" in found["found"]


def test_a_folder_that_is_open_to_others_is_told(look: Look, state: Path) -> None:
    state.chmod(0o755)
    found = look()["state folder"]
    assert (found["state"], found["fix"]) == ("warning", f"chmod 700 {state}")


def test_a_folder_of_somebody_else_is_told(
    look: Look, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    found = look()["state folder"]
    assert found["state"] == "failure"
    assert "4242" in found["fix"]


def test_a_token_that_others_may_read_is_told(look: Look, state: Path) -> None:
    (state / "token").write_text("secret")
    (state / "token").chmod(0o644)
    found = look()["token"]
    assert found["state"] == "failure"
    assert "rotate" in found["fix"]
    assert "secret" not in str(found)


def test_a_taken_port_is_told(look: Look, config: Path) -> None:
    """APP-04"""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config.write_text(f"port = {taken.getsockname()[1]}\n")
        found = look()["port"]
    assert found["state"] == "failure"
    assert "`port`" in found["fix"]


def test_a_free_port_of_any_family_is_well(look: Look, config: Path) -> None:
    config.write_text('host = "::1"\nport = 0\n')
    found = look()["port"]
    assert found["state"] == "ok" or "not available" in found["found"]


def test_a_git_that_does_not_run_is_told(
    look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "git").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert look()["git"]["state"] == "warning"


def test_a_missing_git_is_told(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = look()
    assert found["git"]["state"] == "warning"
    assert found["service"]["state"] == "ok", "and a box without systemd is well"


def test_a_model_server_that_is_not_there_is_told(
    look: Look, config: Path, free_port: int
) -> None:
    """ER-01"""
    url = f"http://127.0.0.1:{free_port}"
    config.write_text(f'[models]\nprovider = "ollama"\nurl = "{url}"\nchain = ["m"]\n')
    found = look()["models"]
    assert found["state"] == "failure"
    assert url in found["found"]


def test_a_full_disk_is_told(look: Look, config: Path) -> None:
    config.write_text(f"min_free_bytes = {2**60}\n")
    assert look()["disk"]["state"] == "failure"


def test_the_version_of_the_log_and_its_copies_are_told(
    look: Look, state: Path
) -> None:
    """RS-04"""
    assert "will be made" in look()["log"]["found"]
    make_first_log(log := state / "penstock.db")
    assert "schema version 1" in look()["log"]["found"]
    log.rename(state / "penstock.db.v1")
    assert "before it was migrated" in look()["log copy"]["found"]
    log.write_bytes(b"nothing of ours" * 1000)
    make_first_log(newer := state / "newer.db")
    (state / "penstock.db.v1").unlink()
    assert look()["log"]["state"] == "failure"
    with closing(sqlite3.connect(newer)) as db:
        db.execute("PRAGMA user_version = 99")
    newer.rename(log)
    told = look()["log"]
    assert told["state"] == "failure"
    assert "of a newer penstock" in told["found"]


def test_an_old_kernel_is_told(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """SY-03"""
    monkeypatch.setattr(checks, "KILLS_CGROUPS", (99, 0))
    assert "cgroup.kill" in look()["system"]["found"]


def test_a_person_gets_lines_and_fixes(penstock: Penstock, state: Path) -> None:
    state.chmod(0o777)
    lines = penstock("doctor").stdout.splitlines()
    place = next(n for n, line in enumerate(lines) if "state folder" in line)
    assert lines[place].startswith("warning")
    assert lines[place + 1].strip() == f"chmod 700 {state}"


@pytest.mark.slow
def test_a_running_daemon_is_recognised(
    penstock: Penstock, real_daemon: RealDaemon
) -> None:
    """ER-01: its port is its own, and how it contains runs is told."""
    rows = map(json.loads, penstock("doctor", "--json").stdout.splitlines())
    found = {row["check"]: row for row in rows}
    assert found["port"]["state"] == "ok"
    assert "the daemon's" in found["port"]["found"]
    assert found["containment"]["found"].startswith(("cgroup", "subreaper"))


def test_the_port_that_is_told_is_that_of_the_daemon_that_runs(
    penstock: Penstock, real_daemon: RealDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ER-01: `serve --port` goes before a setting, and what is free says nothing of it."""
    own = str(real_daemon.port)
    rows = [json.loads(x) for x in penstock("doctor", "--json").stdout.splitlines()]
    assert f"port {own} is the daemon's" in next(r["found"] for r in rows if r["check"] == "port")  # fmt: skip
    monkeypatch.setenv("PENSTOCK_PORT", "1234")
    rows = [json.loads(x) for x in penstock("doctor", "--json").stdout.splitlines()]
    found = next(row for row in rows if row["check"] == "port")
    assert f"port {own} is the daemon's; `port` is set to 1234" in found["found"]
    assert "--port" in found["fix"]


def test_releases_are_compared_as_numbers() -> None:
    assert kernel_of("5.10.0-28-amd64") > (5, 3)
    assert kernel_of("6.1") == (6, 1)
    assert kernel_of("weird") == (0, 0)


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
def test_a_box_that_grants_no_process_is_told(
    look: Look, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """ER-01: at the limit of its processes the doctor still says what it can see."""

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    before = look()
    # Later Pythons spawn where they can; this is the switch that the documentation of subprocess names.
    monkeypatch.setattr(subprocess, "_USE_POSIX_SPAWN", False)
    monkeypatch.setattr(subprocess, "_fork_exec", refuse)
    found = look()
    assert set(found) == set(before)
    assert found["git"]["state"] == "warning"
    if shutil.which("systemctl"):
        assert os.strerror(number) in found["service"]["found"]


def test_a_service_manager_that_cannot_be_asked_is_told(
    look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "systemctl").write_text("#!/nowhere\n")
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert "cannot be started" in look()["service"]["found"]


def test_a_daemon_that_is_too_busy_to_be_asked_is_told(
    look: Look, config: Path, free_port: int
) -> None:
    """Fault 17: whoever listens and takes nobody answers a connection with EAGAIN, or not at all."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        where = deaf.getsockname()
        with socket.create_connection(where):
            config.write_text(
                f'port = {free_port}\n[models]\nprovider = "openai"\nchain = ["x"]\n'
                f'url = "http://127.0.0.1:{where[1]}/v1"\nconnect_timeout = 0.5\n'
            )
            found = look()["models"]
    assert found["state"] == "failure"
    assert "does not answer" in found["found"]


def test_an_agent_that_is_installed_must_answer_and_let_you_in(
    look: Look, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ER-01 AG-01: one that does not is told with the command that logs in, or what else would help."""
    program = tmp_path / "goose"
    script = f"exec {sys.executable} {scripted_agent.__file__}"
    program.write_text(f"#!/bin/sh\n{script} edit\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert look()["agent"] == {
        "check": "agent", "state": "ok", "found": "goose answers, and lets you in", "fix": ""
    }  # fmt: skip
    program.write_text(f"#!/bin/sh\n{script} auth\n")
    told = look()["agent"]
    assert (told["state"], told["fix"]) == ("warning", "`goose configure`")
    program.unlink()
    assert look()["agents"]["found"] == "none installed"
    config.write_text(f"{config.read_text()}[agents.mine]\ncommand = ['not-there']\n")
    told = look()["agent"]
    assert (told["state"], told["found"]) == ("warning", "mine: not installed")
