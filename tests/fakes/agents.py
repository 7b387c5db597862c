"""Agents: the SDK's own client, under Trio and asyncio, in both protocol eras."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from fakes.real_daemon import RealDaemon

#: How a client is told which protocol to speak, and what it then speaks.
ERAS = {"legacy": "2025-11-25", "auto": "2026-07-28"}
#: Seconds after which a scenario has hung.
DEADLINE = 60.0

every_era = pytest.mark.parametrize("era", list(ERAS))
every_loop = pytest.mark.parametrize("loop", ["trio", "asyncio"])
#: The SDK's HTTP client leaves its response iterators to the garbage collector, which Trio tells.
agent_marks = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning"),
]


@dataclass(frozen=True)
class Agents:
    """Clients of one daemon."""

    daemon: RealDaemon

    @property
    def url(self) -> str:
        return f"{self.daemon.url}/mcp"

    @property
    def token(self) -> str:
        state = Path(self.daemon.environ["XDG_STATE_HOME"])
        return (state / "penstock" / "token").read_text().strip()

    @asynccontextmanager
    async def client(self, era: str, **options: Any) -> AsyncIterator[Client]:
        async with httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {self.token}"}, timeout=60
        ) as http:
            transport = streamable_http_client(self.url, http_client=http)
            async with Client(transport, mode=era, **options) as client:
                assert client.protocol_version == ERAS[era]
                yield client

    async def rest(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            answer = await http.request(method, self.daemon.url + path, json=body)
            return json.loads(answer.content)


def run(scenario: Callable[[], Awaitable[None]], loop: str = "trio") -> None:
    """Run an async scenario on a fresh loop of this sort."""

    async def bounded() -> None:
        with anyio.fail_after(DEADLINE):
            await scenario()

    anyio.run(bounded, backend=loop)


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    """What a tool gives; an error is an AssertionError that tells it."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    told = result.structured_content
    assert json.loads(result.content[0].text) == told  # type: ignore[union-attr]
    return told


async def refusal(client: Client, tool: str, arguments: Mapping[str, Any]) -> str:
    """The sentence of a tool's error."""
    result = await client.call_tool(tool, dict(arguments))
    assert result.is_error
    return str(result.content[0].text)  # type: ignore[union-attr]


async def start(client: Client, *argv: str) -> str:
    """Start a command; its run id."""
    told = await call(client, "start_run", kind="command", inputs={"argv": list(argv)})
    return str(told["run_id"])
