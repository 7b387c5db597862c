"""Claude Code, Codex, opencode and Gemini CLI, as npm has them, drive runs for a scripted model.

Each reads of Penstock what `penstock mcp config` wrote into its own file, and finds the daemon running,
away, or restarted in the midst of its session. No account, and nobody outside this box, is asked.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fakes.real_daemon import RealDaemon
from hosts.dialects import Json
from hosts.host_programs import HOST_PROGRAMS, HostProgram
from hosts.scripted_model import (
    FINISHED,
    NO_TOOLS,
    ScriptedModel,
    Step,
    open_scripted_model,
)
from penstock.server.mcp.tools import TOOLS

pytestmark = [pytest.mark.slow, pytest.mark.sockets]

PENSTOCK = [sys.executable, "-m", "penstock.cli.main"]
#: What the host has in its environment, and hands to programs by the bridge; Codex, by a list of names.
MARK = {"VIRTUAL_ENV": "/marked"}

every_host = pytest.mark.parametrize("host", list(HOST_PROGRAMS.values()), ids=lambda h: h.name)  # fmt: skip
every_way = pytest.mark.parametrize("way", ["stdio", "port"])


def run_id_in(result: str) -> str:
    [first, *_] = re.findall(r"run_id\W+([\w.-]+)", result)
    return str(first)


def of_run(tool: str, number: int) -> Step:
    """Call the tool for the run that was told in the result of this number."""

    def step(results: Sequence[str]) -> tuple[str, Json]:
        return tool, {"run_id": run_id_in(results[number])}

    return step


def command(line: str) -> Step:
    """Have the shell run a line."""
    return lambda _results: ("run_command", {"shell": line})


def environment_of(home: Path) -> dict[str, str]:
    """What a person has whose login session sets nothing else."""
    return {"HOME": str(home), "PATH": os.environ["PATH"]}


def tell_host_of_penstock(host: HostProgram, home: Path, way: str) -> None:
    argv = [*PENSTOCK, "mcp", "config", host.name, "--write"]
    argv += ["--http"] if way == "port" else []
    subprocess.run(argv, env=environment_of(home), check=True, capture_output=True)


def token_for(way: str, home: Path) -> Mapping[str, str]:
    """Only the port wants one; Claude Code gets it from `penstock token header`."""
    if way == "stdio":
        return {}
    token = (home / ".local/state/penstock/token").read_text().strip()
    return {"PENSTOCK_TOKEN": token}


@pytest.fixture
def start_person_daemon(
    start_daemon: Callable[..., RealDaemon], home: Path
) -> Callable[..., RealDaemon]:
    """Starts the daemon of a person whose state is where it is by default."""

    def start(**options: Any) -> RealDaemon:
        state = str(home / ".local" / "state")
        return start_daemon(XDG_STATE_HOME=state, **options)

    return start


@every_way
@every_host
def test_a_host_drives_runs_past_a_restart_of_the_daemon(
    node: str,
    home: Path,
    start_person_daemon: Callable[..., RealDaemon],
    host: HostProgram,
    way: str,
) -> None:
    """HO-01, HO-03, MCP-01: it lists the tools, reads output and a failure, and asks on afterwards."""
    daemon = start_person_daemon()
    tell_host_of_penstock(host, home, way)

    def restart() -> None:
        daemon.stop()
        start_person_daemon(port=daemon.port)

    steps = [
        command("echo says $((6*7)) in ${PWD##*/} for $VIRTUAL_ENV."),
        of_run("wait_run", 0),
        # Here the daemon is restarted.
        of_run("read_output", 0),
        command("echo oh no >&2; exit 3"),
        of_run("wait_run", 3),
    ]
    model = ScriptedModel(steps, before={2: restart})
    with open_scripted_model(model):
        told = host.run(node, home, model.url, {**MARK, **token_for(way, home)})
    said = told.stdout + told.stderr
    assert told.returncode == 0, said
    assert FINISHED in told.stdout, said
    assert set(TOOLS) | {"run_command"} <= model.offered.keys()
    assert all(model.offered.values()), "a host took the descriptions out"
    _, done, output, _, failed = model.results
    assert '"state": "completed"' in done
    # By the port it is the daemon that knows where programs work.
    assert (
        "says 42 in work for /marked." if way == "stdio" else "says 42 in "
    ) in output
    assert '"state": "failed"' in failed
    assert "oh no" in failed
    assert not model.unknown


@every_host
def test_without_a_daemon_the_bridge_brings_one(
    node: str, home: Path, host: HostProgram
) -> None:
    """APP-09, HO-03"""
    tell_host_of_penstock(host, home, "stdio")
    model = ScriptedModel([command("echo alone"), of_run("wait_run", 0), of_run("read_output", 0)])  # fmt: skip
    with open_scripted_model(model):
        told = host.run(node, home, model.url, MARK)
    assert FINISHED in told.stdout, told.stdout + told.stderr
    assert "alone" in model.results[2]
    assert (home / ".local/state/penstock/embedded").is_dir()


@every_host
def test_without_a_daemon_at_the_port_no_host_hangs(
    node: str,
    home: Path,
    start_person_daemon: Callable[..., RealDaemon],
    host: HostProgram,
) -> None:
    """APP-09: Codex says which server is missing, the others go on without its tools."""
    daemon = start_person_daemon()
    tell_host_of_penstock(host, home, "port")
    daemon.stop()
    model = ScriptedModel([command("true")])
    with open_scripted_model(model):
        told = host.run(node, home, model.url, token_for("port", home))
    said = told.stdout + told.stderr
    assert model.offered == {}
    if host.name == "codex":
        assert told.returncode == 1, said
        assert "required MCP servers failed to initialize: penstock" in told.stderr
    else:
        assert told.returncode == 0, said
        assert NO_TOOLS in told.stdout, said
