"""`penstock mcp`: a pipe to the running daemon, or to one of its own, and nothing but protocol in it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from socket import AF_UNIX
from socket import socket as Socket
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from fakes.agent_daemons import start_mcp_daemon as start_mcp_daemon
from fakes.agent_daemons import start_server
from fakes.agents import (
    ERAS,
    INITIALIZE,
    Agents,
    agent_marks,
    call,
    every_era,
    every_loop,
    run,
    start,
    told_by,
)
from fakes.real_daemon import RealDaemon
from penstock.client.messages import request_key, routing_headers

pytestmark = agent_marks

COMMAND = [sys.executable, "-m", "penstock.cli.main", "mcp"]


@pytest.fixture(scope="module")
def agents(start_mcp_daemon: Callable[..., RealDaemon]) -> Agents:
    return Agents(start_mcp_daemon())


@asynccontextmanager
async def bridged(environ: Mapping[str, str], era: str) -> AsyncIterator[Client]:
    """An agent that started `penstock mcp`."""
    parameters = StdioServerParameters(
        command=COMMAND[0], args=COMMAND[1:], env=dict(environ)
    )
    async with Client(parameters, mode=era) as client:
        assert client.protocol_version == ERAS[era]
        yield client


@every_loop
@every_era
def test_an_agent_drives_runs_through_its_pipe(
    agents: Agents, era: str, loop: str
) -> None:
    """MCP-01, MCP-03, APP-09"""
    heard: list[str | None] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        await anyio.lowlevel.checkpoint()
        heard.append(message)

    async def scenario() -> None:
        async with bridged(agents.daemon.environ, era) as client:
            tools = await client.list_tools()
            async with agents.client(era) as direct:
                theirs = await direct.list_tools()
                assert tools.tools == theirs.tools
                run_id = await start(client, "sh", "-c", "sleep 1; echo one")
                waiting = {"run_id": run_id}
                done = await client.call_tool(
                    "wait_run", waiting, progress_callback=hear
                )
                assert told_by(done)["state"] == "completed"
                assert "running" in heard
                mine = await call(client, "get_run", run_id=run_id)
                assert mine == await call(direct, "get_run", run_id=run_id)
            [told] = (await client.read_resource(f"run://{run_id}")).contents
            assert json.loads(told.text) == mine  # type: ignore[union-attr]

    run(scenario, loop)


@every_era
def test_an_agent_that_stops_waiting_cancels_nothing(agents: Agents, era: str) -> None:
    """MCP-06"""

    async def scenario() -> None:
        async with bridged(agents.daemon.environ, era) as client:
            run_id = await start(client, "sh", "-c", "sleep 2")
            with anyio.move_on_after(0.3) as waited:
                await client.call_tool("wait_run", {"run_id": run_id})
            assert waited.cancelled_caught
            done = await call(client, "wait_run", run_id=run_id)
            assert done["state"] == "completed"

    run(scenario)


def test_a_run_outlives_the_agent_on_the_running_daemon(agents: Agents) -> None:
    """MCP-06"""

    async def scenario() -> None:
        async with bridged(agents.daemon.environ, "auto") as client:
            run_id = await start(client, "sh", "-c", "sleep 1; echo done")
        async with agents.client("auto") as client:
            done = await call(client, "wait_run", run_id=run_id)
            assert done["state"] == "completed"

    run(scenario)


def test_nothing_but_protocol_is_written_to_stdout(agents: Agents) -> None:
    """APP-09 Nonsense is answered, too, and what it asked last before it left."""
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    ask = {"jsonrpc": "2.0", "id": "a", "method": "tools/list", "params": {}}
    unknown = {"jsonrpc": "2.0", "id": 7, "method": "no/such", "params": {}}
    lines = [json.dumps(INITIALIZE), "nonsense", "[1]", "", json.dumps(ready),
             json.dumps(ask), json.dumps(unknown)]  # fmt: skip
    told = subprocess.run(
        COMMAND, input="\n".join(lines) + "\n", capture_output=True, text=True,
        env=dict(agents.daemon.environ), timeout=60, check=True,
    )  # fmt: skip
    answers = {
        request_key(m["id"]): m for m in map(json.loads, told.stdout.splitlines())
    }
    assert answers["1"]["result"]["serverInfo"]["name"] == "penstock"
    assert answers["null"]["error"]["code"] == -32700
    assert len(answers['"a"']["result"]["tools"]) == 19
    assert answers["7"]["error"]["code"] == -32601
    assert len(told.stdout.splitlines()) == 5


def stripped(daemon: RealDaemon, **more: str) -> dict[str, str]:
    """What hosts on the SDKs pass on: no runtime folder, and nothing that a login session has set."""
    kept = ("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER")
    return {k: daemon.environ[k] for k in kept if k in daemon.environ} | more


def test_a_bare_environment_finds_the_daemon_that_runs(
    start_mcp_daemon: Callable[..., RealDaemon], tmp_path: Path
) -> None:
    """APP-09: by the lock of its state folder, and starts none beside it."""
    home = tmp_path / "home"
    (home / ".local" / "state").mkdir(parents=True)
    state = str(home / ".local" / "state")
    daemon = start_mcp_daemon(HOME=str(home), XDG_STATE_HOME=state)

    async def scenario() -> None:
        async with bridged(stripped(daemon), "auto") as client:
            told = await call(
                client, "run_command", shell='echo "$PWD $OF_AGENT"', name="of agent"
            )
            done = await call(client, "wait_run", run_id=told["run_id"])
            assert done["labels"] == {"name": "of agent"}
        async with Agents(daemon).client("auto") as direct:
            assert await call(direct, "get_run", run_id=told["run_id"]) == done
            printed = await call(direct, "read_output", run_id=told["run_id"])
            assert printed["text"].split() == [os.getcwd()]
        assert not (home / ".local/state/penstock/embedded").exists()

    run(scenario)


def test_a_daemon_that_has_its_lock_and_does_not_listen_yet_is_waited_for(
    home: Path,
) -> None:
    """APP-09: another beside it would go round its queue."""
    state = home / "state" / "penstock"
    state.mkdir(parents=True, mode=0o700)
    lock = state / "daemon.lock"
    socket = home / "late.sock"
    with lock.open("wb") as held, listening() as listener:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write(f"{os.getpid()}\n{json.dumps({'socket': str(socket)})}\n".encode())
        held.flush()
        agent = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with agent:
            assert agent.stdin is not None
            agent.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
            agent.stdin.flush()
            # It looks again and again: nothing tells when it has looked first.
            looked = threading.Timer(0.5, listen, (listener, str(socket)))
            looked.start()
            assert b"POST /mcp" in first_request(listener, looked)
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(60) == 0
    assert not (state / "embedded").exists()


def listen(listener: Socket, path: str) -> None:
    listener.bind(path)
    listener.listen()


@contextmanager
def listening() -> Iterator[Socket]:
    with Socket(AF_UNIX) as listener:
        listener.settimeout(20)
        yield listener


def first_request(listener: Socket, bound: threading.Timer) -> bytes:
    """The first bytes that are sent on a connection; looks of who sends nothing are passed over."""
    bound.join()
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(20)
            if data := connection.recv(1000):
                return data


def test_an_agent_that_waits_for_its_first_answer_waits_for_no_more_than_it_needs() -> (
    None
):
    """APP-09: hosts ask their model without the tools of a server that answers late."""
    code = (
        "import sys, penstock.cli.main, penstock.cli.mcp, penstock.cli.stdio,"
        " penstock.client.bridge, penstock.client.surroundings, penstock.http_clients;"
        " print(*(m for m in sys.modules if m in"
        " ('pydantic', 'penstock.words.config', 'penstock.log.writes', 'sqlite3')))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == []


@every_era
def test_a_restart_of_the_daemon_is_not_noticed(
    start_mcp_daemon: Callable[..., RealDaemon], era: str, tmp_path: Path
) -> None:
    """APP-09: what is asked meanwhile is asked of the next one."""
    first = start_mcp_daemon()
    argv = [*COMMAND[:-1], "serve", "--port", str(first.port)]

    async def scenario() -> None:
        async with bridged(first.environ, era) as client:
            run_id = await start(client, "true")
            await call(client, "wait_run", run_id=run_id)
            await anyio.to_thread.run_sync(first.stop)
            second: list[RealDaemon] = []

            async def start_again() -> None:
                environ = dict(first.environ)
                second.append(
                    await anyio.to_thread.run_sync(
                        start_server, argv, first.port, environ, tmp_path / "log"
                    )
                )

            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(start_again)
                    again = await call(client, "get_run", run_id=run_id)
                assert again["state"] == "completed"
            finally:
                second[0].stop()

    run(scenario)


@every_era
def test_a_restart_of_the_daemon_does_not_end_the_session(
    start_mcp_daemon: Callable[..., RealDaemon], era: str, tmp_path: Path
) -> None:
    """APP-09 While it is away the agent is told so."""
    first = start_mcp_daemon()
    argv = [*COMMAND[:-1], "serve", "--port", str(first.port)]

    async def scenario() -> None:
        async with bridged(first.environ, era) as client:
            run_id = await start(client, "true")
            await call(client, "wait_run", run_id=run_id)
            await anyio.to_thread.run_sync(first.stop)
            with pytest.raises(Exception, match="no daemon answers"):
                await client.call_tool("get_run", {"run_id": run_id})
            second = await anyio.to_thread.run_sync(
                start_server, argv, first.port, dict(first.environ), tmp_path / "log"
            )
            try:
                again = await call(client, "get_run", run_id=run_id)
                assert again["state"] == "completed"
            finally:
                second.stop()

    run(scenario)


@every_era
def test_without_a_daemon_it_brings_its_own(home: Path, era: str) -> None:
    """APP-09 Its runs end with it."""
    fifo = home / "pid"
    os.mkfifo(fifo)
    pids: list[int] = []

    async def scenario() -> None:
        async with bridged(os.environ, era) as client:
            run_id = await start(client, "echo", "hello")
            done = await call(client, "wait_run", run_id=run_id)
            assert done["state"] == "completed"
            await start(client, "sh", "-c", f"echo $$ > {fifo}; sleep 300")
            pids.append(int(await anyio.to_thread.run_sync(fifo.read_text)))

    run(scenario)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_signal_ends_it_while_the_agent_says_nothing(agents: Agents) -> None:
    """APP-09"""
    process = subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=dict(agents.daemon.environ),
    )  # fmt: skip
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
        process.stdin.flush()
        assert b'"penstock"' in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_a_daemon_that_was_named_and_is_not_there_is_an_error(home: Path) -> None:
    """APP-09"""
    argv = [*COMMAND[:-1], "--url", f"unix:{home}/nobody.sock", "mcp"]
    told = subprocess.run(argv, input=b"", capture_output=True, timeout=60, check=False)
    assert told.returncode == 69
    assert told.stdout == b""
    assert b"no daemon answers" in told.stderr


def test_headers_are_those_of_the_newer_protocol() -> None:
    """MCP-01"""
    version = "io.modelcontextprotocol/protocolVersion"

    def headers(method: str, **params: Any) -> dict[str, str]:
        meta = {version: "2026-07-28"}
        return routing_headers({"method": method, "params": {**params, "_meta": meta}})

    assert routing_headers({"method": "tools/list", "params": {}}) == {}
    assert routing_headers({"method": "tools/list"}) == {}
    plain = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call"}
    assert headers("tools/call", name="x y") == {**plain, "mcp-name": "x y"}
    assert headers("tools/call", name=5) == plain
    for name in ("ü", " x", "x\n", "", "=?base64?eA==?="):
        assert headers("tools/call", name=name)["mcp-name"].startswith("=?base64?")
    assert headers("tasks/get", taskId="r-1")["mcp-name"] == "r-1"
    assert request_key(1) != request_key("1")
