"""Sessions of the older protocol go on though the daemon was restarted: not all hosts open new ones."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx2

from fakes.agent_daemons import start_server
from fakes.agents import INITIALIZE, Agents, agent_marks, run
from fakes.real_daemon import RealDaemon
from penstock.server.mcp.lasting import (
    LONGEST_OPENING,
    LastingSessions,
    opening_in,
    with_opening,
)

pytestmark = agent_marks

ELICITS: dict[str, Any] = {"elicitation": {"form": {}}}
FIRST = {**INITIALIZE, "params": {**INITIALIZE["params"], "capabilities": ELICITS}}  # type: ignore[dict-item]
LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


async def post(agents: Agents, body: Any, session: str | None = None) -> httpx2.Response:  # fmt: skip
    return await ask(agents, "POST", session, json=body)


async def ask(
    agents: Agents, method: str, session: str | None, **options: Any
) -> httpx2.Response:
    headers = {
        "Authorization": f"Bearer {agents.token}",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-11-25",
    }
    if session is not None:
        headers["Mcp-Session-Id"] = session
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        return await http.request(method, agents.url, **options)


def told(response: httpx2.Response) -> Any:
    assert response.status_code == 200, response.text
    [data] = [li[5:] for li in response.text.splitlines() if li.startswith("data: {")]
    return json.loads(data)


async def open_session(agents: Agents) -> str:
    session = (await post(agents, FIRST)).headers["mcp-session-id"]
    assert (await post(agents, INITIALIZED, session)).status_code == 202
    return str(session)


def test_a_session_goes_on_after_a_restart(
    start_mcp_daemon: Callable[..., RealDaemon], tmp_path: Path
) -> None:
    """HO-03, MCP-01: for who never opens a new one, and under the id that it has."""
    first = start_mcp_daemon()
    agents = Agents(first)
    argv = [sys.executable, "-m", "penstock.cli.main", "serve", "--port", str(first.port)]  # fmt: skip

    async def scenario() -> None:
        session = await open_session(agents)
        listed = told(await post(agents, LIST, session))
        await anyio.to_thread.run_sync(first.stop)
        second = await anyio.to_thread.run_sync(
            start_server, argv, first.port, dict(first.environ), tmp_path / "log"
        )
        try:
            answers: list[httpx2.Response] = []

            async def list_again(number: int) -> None:
                again = {**LIST, "id": f"again {number}"}
                answers.append(await post(agents, again, session))

            async with anyio.create_task_group() as group:
                for number in range(5):
                    group.start_soon(list_again, number)
            for answer in answers:
                assert told(answer)["result"] == listed["result"]
                assert answer.headers["mcp-session-id"] == session
            assert (await ask(agents, "DELETE", session)).status_code == 200
            # Who took leave is not known any more.
            assert (await post(agents, LIST, session)).status_code == 404
        finally:
            second.stop()

    run(scenario)


def test_a_session_that_a_client_ended_stays_ended(
    start_mcp_daemon: Callable[..., RealDaemon],
) -> None:
    """MCP-01 And what never was a session's id is none."""
    agents = Agents(start_mcp_daemon(PENSTOCK_MAX_MCP_SESSIONS="1"))

    async def scenario() -> None:
        session = await open_session(agents)
        assert (await ask(agents, "DELETE", session)).status_code == 200
        assert (await post(agents, LIST, session)).status_code == 404
        assert (await ask(agents, "DELETE", session)).status_code == 404
        for nonsense in ("unknown", "unknown.%%%", "unknown.bm8", ".e30", "a.b.c"):
            assert (await post(agents, LIST, nonsense)).status_code == 404
        # There is room for one session, and a forgotten one is refused in words when that is taken.
        later = await open_session(agents)
        forgotten = f"lost.{later.partition('.')[2]}"
        assert (await post(agents, LIST, forgotten)).status_code == 404
        assert told(await post(agents, LIST, later))["result"]["tools"]

    run(scenario)


def test_an_id_has_what_its_client_said_or_nothing_more() -> None:
    """MCP-01: who says too much of itself has a session that ends with the server."""

    def first(**params: Any) -> bytes:
        return json.dumps({"method": "initialize", "params": params}).encode()

    given = with_opening("abc", first(capabilities=ELICITS, _meta={"x": 1}))
    assert given.startswith("abc.")
    assert opening_in(given) == {"capabilities": ELICITS}
    for body in (b"", b"[]", b"nonsense", b'{"method": "initialize"}', b"\xff",
                 json.dumps({"method": "ping", "params": {}}).encode(),
                 first(clientInfo={"name": "x" * LONGEST_OPENING})):  # fmt: skip
        assert with_opening("abc", body) == "abc"
    for told_id in ("abc", "abc.", ".e30", "abc.W10", f"abc.{'e' * (LONGEST_OPENING + 1)}"):  # fmt: skip
        assert opening_in(told_id) is None


def test_an_id_that_its_client_made_deep_is_one_without_an_opening() -> None:
    """MCP-01: no parser comes to its end over it; bodies are counted before, headers are not."""
    for text in (b"[" * 1500, b'{"a":' * 300, b"[" * 700 + b"]" * 700):
        coded = base64.urlsafe_b64encode(text).decode().rstrip("=")
        assert len(coded) <= LONGEST_OPENING
        assert opening_in(f"abc.{coded}") is None


async def test_what_is_kept_of_sessions_is_bounded() -> None:
    """RS-01: of those that were opened again, and of those that clients ended."""
    opened = iter(range(1000))

    async def server(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        known = dict(scope["headers"]).get(b"mcp-session-id", b"")
        status = 404 if known.startswith(b"old") else 200
        headers = [] if known else [(b"mcp-session-id", f"new{next(opened)}".encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})  # fmt: skip
        await send({"type": "http.response.body", "body": b""})

    sessions = LastingSessions(server, 3)
    body = json.dumps(FIRST).encode()

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    statuses: list[int] = []

    async def send(event: Any) -> None:
        if "status" in event:
            statuses.append(event["status"])

    for number in range(10):
        told_id = with_opening(f"old{number}", body).encode()
        scope = {"method": "POST", "headers": [(b"mcp-session-id", told_id)]}
        await sessions.receive(scope, receive, send)
        await sessions.receive({**scope, "method": "DELETE"}, receive, send)
    assert statuses == [200] * 20
    assert sessions.kept() == (0, 3)


async def test_a_session_is_over_when_its_client_hears_that_it_is() -> None:
    """MCP-01: what the client asks next may come before the answer is quite away."""
    session = with_opening("one", json.dumps(FIRST).encode()).encode()
    scope = {"method": "DELETE", "headers": [(b"mcp-session-id", session)]}
    open_sessions = {b"one"}
    statuses: list[int] = []

    async def server(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        known = dict(scope["headers"]).get(b"mcp-session-id", b"new")
        status = 200 if known in open_sessions or known == b"new" else 404
        if scope["method"] == "DELETE":
            open_sessions.discard(known)
        headers = [(b"mcp-session-id", b"new")] if known == b"new" else []
        await send({"type": "http.response.start", "status": status, "headers": headers})  # fmt: skip
        await send({"type": "http.response.body", "body": b""})

    sessions = LastingSessions(server, 3)

    async def receive() -> Any:
        body = json.dumps(LIST).encode()
        return {"type": "http.request", "body": body, "more_body": False}

    async def hear(event: Any) -> None:
        if "status" in event:
            statuses.append(event["status"])

    async def ask_at_once(event: Any) -> None:
        await hear(event)
        if "status" in event:
            await sessions.receive({**scope, "method": "POST"}, receive, hear)

    await sessions.receive(scope, receive, ask_at_once)
    assert statuses == [200, 404]
