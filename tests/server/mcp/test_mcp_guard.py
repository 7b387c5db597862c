"""The guard stands before `/mcp` too, and what is not MCP is told so."""

from __future__ import annotations

import httpx2
import pytest

from fakes.agents import INITIALIZE, Agents, agent_marks, run

pytestmark = agent_marks

TAMPERINGS: dict[str, tuple[dict[str, str], str, int]] = {
    "bad host": ({"Host": "evil.example"}, "", 403),
    "rebound host": ({"Host": "evil.example:9876"}, "", 403),
    "bad origin": ({"Origin": "http://evil.example"}, "", 403),
    "null origin": ({"Origin": "null"}, "", 403),
    "no token": ({"Authorization": ""}, "", 401),
    "wrong token": ({"Authorization": "Bearer wrong"}, "", 401),
    "token in URL": ({}, "?token=TOKEN", 400),
}


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
@pytest.mark.parametrize("tampering", list(TAMPERINGS))
def test_nothing_reaches_mcp_that_did_not_pass_the_guard(
    agents: Agents, path: str, method: str, tampering: str
) -> None:
    """API-08, MCP-05"""
    changed, query, status = TAMPERINGS[tampering]

    async def scenario() -> None:
        response = await request_head(agents, method, path + query, changed)
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        assert "mcp-session-id" not in response.headers

    run(scenario)


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
def test_initialize_tells_name_and_version(agents: Agents, path: str) -> None:
    """MCP-05"""

    async def scenario() -> None:
        response = await request_head(agents, "POST", path, {})
        assert response.status_code == 200
        assert '"name":"penstock"' in response.text
        assert response.headers["mcp-session-id"]

    run(scenario)


@pytest.mark.parametrize(
    ("method", "changed", "status"),
    [
        ("GET", {}, 400),
        ("GET", {"Mcp-Session-Id": "unknown"}, 404),
        ("DELETE", {"Mcp-Session-Id": "unknown"}, 404),
        ("POST", {"Accept": "text/html"}, 406),
        ("POST", {"Content-Type": "text/plain"}, 415),
        ("PUT", {}, 405),
        ("OPTIONS", {}, 405),
    ],
)
def test_what_is_not_mcp_is_answered_by_protocol(
    agents: Agents, method: str, changed: dict[str, str], status: int
) -> None:
    """MCP-05 A plain GET too, and nothing of it as a fault of ours."""

    async def scenario() -> None:
        response = await request_head(agents, method, "/mcp", changed)
        assert response.status_code == status

    run(scenario)


def test_a_body_over_the_limit_is_refused(agents: Agents) -> None:
    """API-08"""

    async def scenario() -> None:
        body = b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * (9 * 1024 * 1024) + b'"}'
        response = await request_head(agents, "POST", "/mcp", {}, body)
        assert response.status_code == 413

    run(scenario)


def test_a_body_of_too_many_values_is_refused(agents: Agents) -> None:
    """API-08 Before the MCP server sees it."""

    async def scenario() -> None:
        body = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"x":[' + b"1," * 60_000
        response = await request_head(agents, "POST", "/mcp", {}, body + b"1]}}")
        assert response.status_code == 413
        assert response.json()["limit"] == 50_000

    run(scenario)


async def request_head(
    agents: Agents,
    method: str,
    path: str,
    changed: dict[str, str],
    body: bytes | None = None,
) -> httpx2.Response:
    """A request with the token and all headers, but for what is changed."""
    headers = {
        "Authorization": f"Bearer {agents.token}",
        "Accept": "application/json, text/event-stream",
        **changed,
    }
    headers = {name: value for name, value in headers.items() if value}
    url = agents.daemon.url + path.replace("TOKEN", agents.token)
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        if method in ("POST", "PUT") and body is None:
            return await http.request(method, url, json=INITIALIZE)
        if body is not None:
            headers = {"Content-Type": "application/json"}
            return await http.request(method, url, content=body, headers=headers)
        return await http.request(method, url)
