"""Daemons for agents: real ones, for a whole module, with the kind `interview`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.real_daemon import RealDaemon, wait_until_answering

KINDS = Path(__file__).parent.parent / "server" / "mcp" / "kinds"


@pytest.fixture(scope="module")
def start_mcp_daemon(
    tmp_path_factory: pytest.TempPathFactory, free_ports: Iterator[int]
) -> Iterator[Callable[..., RealDaemon]]:
    """Starts daemons that end with the module: `start_mcp_daemon(PENSTOCK_…="… PORT …")`."""
    daemons: list[RealDaemon] = []

    def start(**environ: str) -> RealDaemon:
        home = tmp_path_factory.mktemp("mcp")
        port = next(free_ports)
        inherited = {k: v for k, v in os.environ.items() if "PENSTOCK_" not in k}
        folders = {
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_RUNTIME_DIR": str(home / "run"),
            "PYTHONPATH": str(KINDS),
        }
        wanted = {k: v.replace("PORT", str(port)) for k, v in environ.items()}
        environment = {**inherited, **folders, **wanted}
        (home / "run").mkdir(mode=0o700)
        argv = [sys.executable, "-m", "penstock.cli.main", "serve", "--port", str(port)]
        daemons.append(start_server(argv, port, environment, home / "daemon.log"))
        return daemons[-1]

    try:
        yield start
    finally:
        for daemon in daemons:
            daemon.stop()


def start_server(
    argv: list[str], port: int, environ: dict[str, str], log: Path
) -> RealDaemon:
    """A server in a process of its own, once it answers."""
    with log.open("wb") as file:
        process = subprocess.Popen(argv, env=environ, stderr=file, stdout=file)
    daemon = RealDaemon(process, port, environ, log)
    wait_until_answering(daemon)
    return daemon
