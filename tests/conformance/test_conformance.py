"""The judges of MCP: the official conformance suite and the Inspector, against the daemon.

What needs no fixtures is judged on the daemon itself, the rest on the same stack with the suite's own
fixtures behind it. No failure is expected of either.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.agent_daemons import start_server
from fakes.agents import Agents
from fakes.real_daemon import RealDaemon

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
SUITE = HERE / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
SDK_V1 = HERE / "sdk_v1.mjs"
INSPECTOR = HERE / "node_modules/.bin/mcp-inspector"
PENSTOCK = [sys.executable, "-m", "penstock.cli.main"]
#: Seconds for one call of a judge; the whole suite takes twenty.
JUDGE_SECONDS = 180

#: What any server can be judged by, by the version of the protocol; each makes at least one check.
WITHOUT_FIXTURES = {
    "2025-11-25": [
        "server-initialize",
        "server-session-lifecycle",
        "logging-set-level",
        "ping",
        "tools-list",
        "server-sse-multiple-streams",
        "resources-list",
        "prompts-list",
        "dns-rebinding-protection",
    ],
    "2026-07-28": [
        "tools-list",
        "prompts-list",
        "caching",
        "server-sse-multiple-streams",
        "resources-list",
        "sep-2164-resource-not-found",
        "dns-rebinding-protection",
        "http-header-validation",
        "input-required-result-missing-input-response",
        "input-required-result-unsupported-methods",
        "input-required-result-ignore-extra-params",
        "input-required-result-validate-input",
    ],
}
#: The suite skips its tenth, on notices of a task's status.
TASKS = [
    "tasks-lifecycle",
    "tasks-capability-negotiation",
    "tasks-wire-fields",
    "tasks-request-state-removal",
    "tasks-mrtr-input",
    "tasks-request-headers",
    "tasks-dispatch-and-envelope",
    "tasks-required-task-error",
    "tasks-mrtr-composition",
]
#: How many scenarios each version has, so that none is left out unnoticed.
SCENARIOS = {"2025-11-25": 33, "2026-07-28": 40}


@pytest.fixture(scope="module")
def judged_daemon(start_mcp_daemon: Callable[..., RealDaemon]) -> RealDaemon:
    """A daemon that pages of its own address may talk to: the suite plays one."""
    return start_mcp_daemon(
        PENSTOCK_AUTH="false", PENSTOCK_ALLOWED_ORIGINS='["http://127.0.0.1:PORT"]'
    )


@pytest.fixture(scope="module")
def fixture_server(
    tmp_path_factory: pytest.TempPathFactory, free_ports: Iterator[int]
) -> Iterator[RealDaemon]:
    """The suite's fixtures on the daemon's own stack."""
    port = next(free_ports)
    environ = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    argv = [sys.executable, str(HERE / "fixture_server.py"), str(port)]
    log = tmp_path_factory.mktemp("fixtures") / "server.log"
    server = start_server(argv, port, environ, log)
    try:
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("version", "scenario"),
    [(version, name) for version, names in WITHOUT_FIXTURES.items() for name in names],
)
def test_the_daemon_passes(
    node: str, judged_daemon: RealDaemon, tmp_path: Path, version: str, scenario: str
) -> None:
    """MCP-01, MCP-05"""
    chosen = ["--spec-version", version, "--scenario", scenario]
    told = judge(node, judged_daemon, tmp_path, chosen)
    assert re.search(r"Passed: ([1-9]\d*)/\1, 0 failed", told), told


@pytest.mark.parametrize("version", list(SCENARIOS))
def test_its_stack_passes_the_whole_suite(
    node: str, fixture_server: RealDaemon, tmp_path: Path, version: str
) -> None:
    """MCP-01, MCP-03"""
    chosen = ["--spec-version", version, "--suite", "all"]
    told = judge(node, fixture_server, tmp_path, chosen)
    assert re.search(r"Total: \d+ passed, 0 failed", told), told
    assert len(re.findall(r"^✓ ", told, re.MULTILINE)) == SCENARIOS[version]


@pytest.mark.parametrize("scenario", TASKS)
def test_its_tasks_pass(
    node: str, fixture_server: RealDaemon, tmp_path: Path, scenario: str
) -> None:
    """MCP-03"""
    told = judge(node, fixture_server, tmp_path, ["--scenario", scenario])
    assert re.search(r"Passed: ([1-9]\d*)/\1, 0 failed", told), told


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_sees_tools_and_resources(
    node: str, start_mcp_daemon: Callable[..., RealDaemon], era: str
) -> None:
    """MCP-01"""
    agents = Agents(start_mcp_daemon())
    tools = inspect(node, agents, era, "tools/list")
    assert "start_run" in {tool["name"] for tool in tools["tools"]}
    called = inspect(node, agents, era, "tools/call", "--tool-name", "queue_status")
    assert json.loads(called["content"][0]["text"])["slots"] == 5
    assert inspect(node, agents, era, "resources/list")["resources"] == []
    listed = inspect(node, agents, era, "resources/templates/list")
    assert len(listed["resourceTemplates"]) == 3
    refused = run_inspector(node, agents, era, "tools/list", token="wrong")
    assert refused.returncode != 0


@pytest.mark.parametrize("way", ["http", "stdio"])
def test_the_inspector_drives_a_run_past_a_restart(
    node: str, start_mcp_daemon: Callable[..., RealDaemon], tmp_path: Path, way: str
) -> None:
    """HO-01, HO-03: each of its calls is a session; without a daemon it says so, or has its own."""
    daemon = start_mcp_daemon()
    agents = Agents(daemon)
    target = target_of(daemon, tmp_path) if way == "stdio" else None

    def call_tool(name: str, **arguments: str) -> Any:
        pairs = [f"{field}={value}" for field, value in arguments.items()]
        more = ["--tool-name", name, "--tool-arg", *pairs] if pairs else ["--tool-name", name]  # fmt: skip
        return inspect(node, agents, "auto", "tools/call", *more, target=target)

    # It knows tasks, and waits for the run's end by them.
    done = call_tool("run_command", shell="echo hello")["content"][0]["text"]
    assert json.loads(done)["state"] == "completed"
    run_id = json.loads(done)["run_id"]
    daemon.stop()
    if target is None:
        away = run_inspector(node, agents, "auto", "tools/list", token=agents.token)
        assert away.returncode != 0
        assert "Traceback" not in away.stderr
    else:
        alone = call_tool("run_command", shell="echo alone")["content"][0]["text"]
        assert json.loads(alone)["number"] == 1
    argv = [*PENSTOCK, "serve", "--port", str(daemon.port)]
    again = start_server(argv, daemon.port, dict(daemon.environ), tmp_path / "log")
    try:
        [_, printed] = call_tool("read_output", run_id=run_id)["content"]
        assert printed["text"] == "hello\n"
    finally:
        again.stop()


def target_of(daemon: RealDaemon, folder: Path) -> list[str]:
    """How the Inspector is told of the bridge: by what is printed for hosts that have no name."""
    argv = [*PENSTOCK, "mcp", "config", "json"]
    file = folder / "servers.json"
    file.write_text(run(argv, **dict(daemon.environ)).stdout)
    return ["--config", str(file), "--server", "penstock"]


@pytest.mark.parametrize("way", ["http", "stdio"])
def test_hosts_of_the_first_sdk_can_read_what_goes_wrong(
    node: str, start_mcp_daemon: Callable[..., RealDaemon], way: str
) -> None:
    """MCP-06: it checks results against what tools said that they give, errors too."""
    agents = Agents(start_mcp_daemon())
    socket = Path(agents.daemon.environ["XDG_RUNTIME_DIR"]) / "penstock/daemon.sock"
    penstock = [*PENSTOCK, "--url", f"unix:{socket}", "mcp"]
    chosen = [agents.url, agents.token] if way == "http" else penstock
    told = run([node, str(SDK_V1), way, *chosen], **dict(agents.daemon.environ))
    assert told.returncode == 0, told.stdout + told.stderr
    seen = json.loads(told.stdout)
    assert "run_command" in seen["tools"]
    for name, called in seen.items():
        if isinstance(called, dict):
            assert "thrown" not in called, name
            assert called["structured"] is False
            assert called["isError"] is (name in {"unknown", "misfit"})
    assert seen["unknown"]["texts"] == ["there is no run 'nobody'"]
    [misfit] = seen["misfit"]["texts"]
    for field in ("argv: ", "timeout: ", "nonsense: unknown field"):
        assert field in misfit
    ended = json.loads(seen["ended"]["texts"][0])
    assert (ended["state"], ended["exit_code"]) == ("failed", 3)
    assert sorted(ended["output_tail"]) == ["hello", "oh"]
    assert sorted(seen["output"]["texts"][1].split()) == ["hello", "oh"]
    assert seen["prompts"]
    assert seen["completed"]


def judge(node: str, server: RealDaemon, results: Path, chosen: list[str]) -> str:
    """What the suite said; a failure of it is an AssertionError with all of it."""
    argv = [node, str(SUITE), "server", "--url", f"{server.url}/mcp", *chosen, "-o", str(results)]  # fmt: skip
    told = run(argv)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def inspect(
    node: str, agents: Agents, era: str, method: str, *more: str, target: list[str] | None = None
) -> Any:  # fmt: skip
    """What the Inspector's command line printed."""
    told = run_inspector(
        node, agents, era, method, *more, token=agents.token, target=target
    )
    assert told.returncode == 0, told.stdout + told.stderr
    return json.loads(told.stdout)


def run_inspector(
    node: str, agents: Agents, era: str, method: str, *more: str, token: str, target: list[str] | None = None
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    header = f"Authorization: Bearer {token}"
    port = [agents.url, "--transport", "http", "--header", header]
    return run(
        [node, str(INSPECTOR), "--cli", *(target or port), "--protocol-era", era, "--method", method, *more],
        **dict(agents.daemon.environ),
    )  # fmt: skip


def run(argv: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    # What a proxy is for the wide world is in the way on this box.
    environ = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
    environ |= {"NO_COLOR": "1", **more}
    return subprocess.run(
        argv,
        capture_output=True,
        text=True,
        timeout=JUDGE_SECONDS,
        env=environ,
        check=False,
    )
