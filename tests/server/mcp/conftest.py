"""A real daemon for a whole module, with the kind `interview`, and the SDK's own client."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.agents import Agents
from fakes.real_daemon import RealDaemon, wait_until_answering

KINDS = Path(__file__).parent / "kinds"


@pytest.fixture(scope="module")
def start_mcp_daemon(
    tmp_path_factory: pytest.TempPathFactory, free_ports: Iterator[int]
) -> Iterator[Callable[..., RealDaemon]]:
    """Starts daemons that end with the module: `start_mcp_daemon(PENSTOCK_…="…")`."""
    daemons: list[RealDaemon] = []

    def start(**environ: str) -> RealDaemon:
        home = tmp_path_factory.mktemp("mcp")
        port = next(free_ports)
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_")},
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_RUNTIME_DIR": str(home / "run"),
            "PYTHONPATH": str(KINDS),
            **environ,
        }
        (home / "run").mkdir(mode=0o700)
        log = home / "daemon.log"
        argv = [sys.executable, "-m", "penstock.cli.main", "serve", "--port", str(port)]
        with log.open("wb") as file:
            process = subprocess.Popen(
                argv, env=environment, stderr=file, stdout=file, cwd=home
            )
        daemons.append(RealDaemon(process, port, environment, log))
        wait_until_answering(daemons[-1])
        return daemons[-1]

    try:
        yield start
    finally:
        for daemon in daemons:
            daemon.stop()


@pytest.fixture(scope="module")
def mcp_daemon(start_mcp_daemon: Callable[..., RealDaemon]) -> RealDaemon:
    """One daemon for all tests of a module."""
    return start_mcp_daemon()


@pytest.fixture(scope="module")
def agents(mcp_daemon: RealDaemon) -> Agents:
    """Clients of that daemon."""
    return Agents(mcp_daemon)
