"""`penstock tui` hands over to the dashboard."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from penstock.cli import tui as verb
from penstock.cli.session import Session
from penstock.words.errors import NotAvailable


def test_the_dashboard_takes_the_place_of_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Flags of `penstock` itself reach it by the environment, its own as they were written."""
    started: list[tuple[list[str], dict[str, str]]] = []

    def execve(_program: str, argv: list[str], environ: dict[str, str]) -> None:
        started.append((argv, environ))

    monkeypatch.setattr(os, "execve", execve)
    session = Session({"HOME": "/h"}, url="http://127.0.0.1:1", config_file="/c.toml")
    done = CliRunner().invoke(
        verb.tui, ["--read-only", "--size", "80x24", "--help"], obj=session
    )
    assert done.exit_code == 0
    [(argv, environ)] = started
    assert argv == ["penstock-tui", "--read-only", "--size", "80x24", "--help"]
    assert environ == {
        "HOME": "/h",
        "PENSTOCK_URL": "http://127.0.0.1:1",
        "PENSTOCK_CONFIG": "/c.toml",
    }


def test_without_the_extra_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "textual" else find(name),
    )
    with pytest.raises(NotAvailable, match=r"pip install 'penstock\[tui\]'"):
        verb.find_program()


@pytest.mark.processes
def test_the_dashboards_own_help_is_shown() -> None:
    program = Path(sys.executable).with_name("penstock")
    if not program.exists():
        pytest.skip("the package is not installed with its commands")
    done = subprocess.run(
        [program, "tui", "--help"], capture_output=True, text=True, check=True
    )
    assert "usage: penstock tui" in done.stdout
