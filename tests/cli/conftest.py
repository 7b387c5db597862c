"""The command line in this process, and a scripted daemon where it looks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fakes.penstock_command import Penstock
from fakes.scripted_daemon import ScriptedDaemon
from fakes.scripted_thread import scripted_daemon
from penstock.cli.main import cli


@pytest.fixture
def penstock() -> Penstock:
    """`penstock("list", "--json")`: the result of that command."""

    def run(*args: str, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(cli, args, input=stdin, prog_name="penstock")
        if result.exception is not None and not isinstance(
            result.exception, SystemExit
        ):
            raise result.exception
        return result

    return run


@pytest.fixture
def daemon(home: Path) -> Iterator[ScriptedDaemon]:
    """A scripted daemon at the socket where a real one would be."""
    with scripted_daemon(home / "run" / "penstock" / "daemon.sock") as daemon:
        daemon.routes["GET", "/health"] = (200, {"status": "ok"})
        yield daemon
