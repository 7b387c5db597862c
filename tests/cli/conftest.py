"""The command line in this process, and a daemon where it looks for one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fakes.beside import open_beside
from fakes.foreign_daemon import ForeignDaemon, open_foreign_daemon
from fakes.house_beside import HouseBeside, open_house_beside
from fakes.penstock_command import Penstock
from penstock.cli.main import cli
from penstock.kinds.command import KIND as COMMAND
from penstock.kinds.llms_txt.pipeline import KIND as LLMS_TXT
from penstock.pipeline import Kind


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
def socket(home: Path) -> Path:
    """Where the command line looks for a daemon."""
    folder = home / "run" / "penstock"
    folder.mkdir(mode=0o700)
    return folder / "daemon.sock"


@pytest.fixture
def kinds() -> tuple[Kind, ...]:
    """What the real daemon runs beside the kinds of every house; a module may have its own."""
    return (COMMAND, LLMS_TXT)


@pytest.fixture
def daemon(socket: Path, kinds: tuple[Kind, ...]) -> Iterator[HouseBeside]:
    """The real server before a real core in memory."""
    with open_house_beside(socket, *kinds) as house:
        yield house


@pytest.fixture
def foreign_daemon(socket: Path) -> Iterator[ForeignDaemon]:
    """A daemon that says what ours never does."""
    with open_beside(partial(open_foreign_daemon, socket)) as beside:
        beside.opened.routes["GET", "/health"] = (200, {"status": "ok"})
        yield beside.opened
