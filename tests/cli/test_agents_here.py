"""AG-01 CL-01: which agents there are, in which version, and what each lacks; with --check whether it answers."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from fakes import scripted_agent
from fakes.penstock_command import Penstock
from penstock.cli.offers import AGENT_NAMES
from penstock.kinds.agent.presets import PRESETS_OF_AGENTS

pytestmark = pytest.mark.processes

SCRIPTED = str(Path(scripted_agent.__file__))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs, the only one there is."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, line: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


def told(penstock: Penstock, *words: str) -> dict[str, dict[str, Any]]:
    result = penstock("agents", "--json", *words)
    assert result.exit_code == 0, result.stderr
    return {row["name"]: row for row in map(json.loads, result.stdout.splitlines())}


def test_those_that_are_completed_are_those_that_are_known() -> None:
    """CL-03: the kind takes a second to import, and its names are here."""
    assert tuple(PRESETS_OF_AGENTS) == AGENT_NAMES


def test_what_is_not_there_says_how_it_comes(penstock: Penstock, programs: Path) -> None:  # fmt: skip
    """AG-01: with the command that brings it and the one that logs in."""
    lines = penstock("agents").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(AGENT_NAMES)
    claude = told(penstock, "claude")["claude"]
    assert (claude["program"], claude["trouble"]) == (None, "not installed")
    assert claude["install"].startswith("npm install -g @")
    assert claude["login"]
    unknown = penstock("agents", "cloude")
    assert (unknown.exit_code, "did you mean 'claude'" in unknown.stderr) == (3, True)


def test_a_package_of_npm_is_not_started_to_know_its_version(
    penstock: Penstock, programs: Path, tmp_path: Path
) -> None:
    """AG-01: asked for its version, one serves; an old Node is told, with the version that is needed."""
    package = tmp_path / "lib/node_modules/@agentclientprotocol/codex-acp"
    (package / "dist").mkdir(parents=True)
    started = tmp_path / "started"
    real = program(package / "dist", "index.js", f"touch {started}")
    described = {"name": "@agentclientprotocol/codex-acp", "version": "9.8.7"}
    (package / "package.json").write_text(json.dumps(described))
    (package / "dist/package.json").write_text('{"type": "module"}')
    (programs / "codex-acp").symlink_to(real)
    program(programs, "node", "echo v18.1.0")
    codex = told(penstock, "codex")["codex"]
    assert (codex["version"], codex["trouble"]) == ("9.8.7", "needs Node 22, and this is 18.1.0")  # fmt: skip
    assert not started.exists()
    (programs / "node").unlink()
    assert (
        told(penstock, "codex")["codex"]["trouble"]
        == "needs Node 22, and there is none"
    )


def test_another_tells_its_version_itself(penstock: Penstock, programs: Path) -> None:
    """AG-01: whatever it says; nothing where it says none."""
    program(programs, "goose", "echo ' goose 1.2.3-rc1 (x)'")
    program(programs, "kimi", "exit 3")
    rows = told(penstock, "goose", "kimi")
    assert [(row["version"], row["trouble"]) for row in rows.values()] == [("1.2.3-rc1", ""), ("", "")]  # fmt: skip


def test_another_program_of_a_known_name_needs_only_itself(
    penstock: Penstock, programs: Path, home: Path
) -> None:
    """AG-01: by its path the same program needs what it needs; of another nothing is known."""
    program(programs, "codex-acp", "exit 1")
    config = home / "config.toml"
    for command, trouble in (("codex-acp", "needs Node 22"), ("mine", "")):
        path = program(programs, command, "exit 1")
        config.write_text(f'[agents.codex]\ncommand = ["{path}"]\n')
        result = penstock("--config", str(config), "agents", "codex", "--json")
        assert json.loads(result.stdout)["trouble"].startswith(trouble)
    assert json.loads(result.stdout)["trouble"] == ""


def test_what_an_agent_left_at_work_in_its_folder_spoils_no_check(
    penstock: Penstock, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AG-01: a process in a session of its own goes on to write there while the folder is removed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    writes = "i=0; while [ $i -lt 60000 ]; do : >f$i; i=$((i+1)); done"
    left = f"setsid sh -c '{writes}' >/dev/null 2>&1 & until [ -e f9999 ]; do :; done"
    path = program(tmp_path, "leaves", f"{left}; exit 1")
    config = home / "config.toml"
    config.write_text(f'[agents.mine]\ncommand = ["{path}"]\n')
    result = penstock("--config", str(config), "agents", "mine", "--check", "--json")
    assert "ended" in json.loads(result.stdout)["trouble"]


@pytest.mark.parametrize(
    ("scenario", "trouble"),
    [
        ("echo", ""),
        ("version", "version"),
        ("auth", "not logged in"),
        ("dead", "ended"),
    ],
)  # fmt: skip
def test_checked_it_is_started_and_asked_nothing(
    penstock: Penstock, home: Path, scenario: str, trouble: str
) -> None:
    """AG-01: it answers, or it is told why it does not."""
    words = [sys.executable, SCRIPTED, scenario]
    config = home / "config.toml"
    config.write_text(f"[agents.mine]\ncommand = {json.dumps(words)}\n")
    result = penstock("--config", str(config), "agents", "mine", "--check", "--json")
    assert result.exit_code == 0, shlex.join(words)
    said = json.loads(result.stdout)["trouble"]
    assert (said == "") == (trouble == "")
    assert trouble in said
