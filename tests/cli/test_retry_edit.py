"""DU-04: `retry --edit`: the same again but for what a person changes, secrets included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fakes.penstock_command import Penstock
from fakes.real_daemon import RealDaemon

pytestmark = pytest.mark.processes


@pytest.fixture
def ended(penstock: Penstock, real_daemon: RealDaemon) -> str:
    """A run that failed, and had a secret."""
    said = penstock("submit", "--env", "TOKEN=hidden", "--shell", 'test "$TOKEN" = x')
    assert said.exit_code == 0, said.stderr
    run_id: str = said.stdout.strip()
    assert penstock("wait", run_id).exit_code == 1
    return run_id


def shown(penstock: Penstock, run_id: str) -> dict[str, Any]:
    run: dict[str, Any] = json.loads(penstock("show", run_id, "--json").stdout)
    return run


def editor(folder: Path, program: str) -> str:
    """A program that changes a file as a person would."""
    file = folder / "editor"
    file.write_text(f"#!/bin/sh\n{program}\n")
    file.chmod(0o755)
    return str(file)


def test_what_was_changed_is_changed_and_the_rest_is_kept(
    penstock: Penstock, ended: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DU-04: the value that no editor is shown still reaches the program."""
    program = editor(tmp_path, "sed -i 's/= x/= hidden/' \"$1\"")
    monkeypatch.setenv("VISUAL", program)
    said = penstock("retry", ended, "--edit")
    assert said.exit_code == 0, said.stderr
    again = said.stdout.strip()
    assert penstock("wait", again).exit_code == 0
    run = shown(penstock, again)
    assert run["retry_of"] == ended
    assert "= hidden" in run["inputs"]["shell"]
    assert "hidden" not in json.dumps(run["inputs"]["env"])


def test_json_needs_no_editor(penstock: Penstock, ended: str) -> None:
    """DU-04"""
    change = json.dumps({"shell": None, "argv": ["true"]})
    said = penstock("retry", ended, "--inputs", change)
    assert said.exit_code == 0, said.stderr
    assert penstock("wait", said.stdout.strip()).exit_code == 0


@pytest.mark.parametrize("change", ['{"argv": []}', '{"nonsense": 1}', "[]"])
def test_what_is_no_input_is_refused(
    penstock: Penstock, ended: str, change: str
) -> None:
    """DU-04"""
    said = penstock("retry", ended, "--inputs", change)
    assert said.exit_code == 2
    assert said.stdout == ""


def test_nothing_changed_is_nothing_retried(
    penstock: Penstock, ended: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DU-04: who leaves the editor has thought better of it."""
    monkeypatch.setenv("VISUAL", editor(tmp_path, "true"))
    said = penstock("retry", ended, "--edit")
    assert (said.exit_code, said.stdout) == (0, "")
    assert "nothing was changed" in said.stderr


def test_only_one_is_edited(penstock: Penstock, ended: str) -> None:
    """DU-04"""
    assert penstock("retry", ended).exit_code == 0
    said = penstock("retry", "@last", ended, "--edit")
    assert said.exit_code == 2
