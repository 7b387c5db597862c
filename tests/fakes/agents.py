"""Agents: the SDK's own client, under Trio and asyncio, in both protocol eras."""

from __future__ import annotations

import json
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp.types import ResourceUpdatedNotification

from fakes.real_daemon import RealDaemon

#: How a client is told which protocol to speak, and what it then speaks.
ERAS = {"legacy": "2025-11-25", "auto": "2026-07-28"}
#: Seconds after which a scenario has hung.
DEADLINE = 180

every_era = pytest.mark.parametrize("era", list(ERAS))
every_loop = pytest.mark.parametrize("loop", ["trio", "asyncio"])
#: The SDK's HTTP client leaves its response iterators to the garbage collector, which Trio tells.
agent_marks = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning"),
]

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


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

    async def metrics(self) -> str:
        """The daemon's numbers, as Prometheus reads them."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            return (await http.get(f"{self.daemon.url}/metrics")).text

    async def open_session(self) -> httpx2.Response:
        """The answer to the request that opens a session of the older protocol."""
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept": "application/json, text/event-stream",
        }
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            return await http.post(self.url, json=INITIALIZE)


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
    return told_by(result)


def told_by(result: Any) -> Any:
    """What a result tells: one JSON object, and beside it what is text."""
    assert result.structured_content is None
    told, *apart = [part.text for part in result.content]
    return json.loads(told) | ({"text": apart[0]} if apart else {})


async def refusal(client: Client, tool: str, arguments: Mapping[str, Any]) -> str:
    """The sentence of a tool's error."""
    result = await client.call_tool(tool, dict(arguments))
    assert result.is_error
    assert result.structured_content is None
    [said] = result.content
    return str(said.text)  # type: ignore[union-attr]


async def start(client: Client, *argv: str) -> str:
    """Start a command; its run id."""
    told = await call(client, "start_run", kind="command", inputs={"argv": list(argv)})
    return str(told["run_id"])


class Updates:
    """The notices that a client got."""

    def __init__(self) -> None:
        self.uris: list[str] = []
        self._changed = anyio.Event()

    def note(self, uri: str) -> None:
        self.uris.append(uri)
        self._changed.set()

    async def take(self, message: Any) -> None:
        await anyio.lowlevel.checkpoint()
        if isinstance(message, ResourceUpdatedNotification):
            self.note(message.params.uri)

    async def wait_next(self) -> None:
        """Wait for a notice that came since this returned last."""
        await self._changed.wait()
        self._changed = anyio.Event()


@asynccontextmanager
async def subscribed(
    client: Client, era: str, uri: str, updates: Updates
) -> AsyncIterator[None]:
    """A subscription as either era has it."""
    if era == "legacy":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MCPDeprecationWarning)
            await client.subscribe_resource(uri)
            yield
            await client.unsubscribe_resource(uri)
        return
    async with (
        client.listen(resource_subscriptions=[uri]) as notices,
        anyio.create_task_group() as group,
    ):

        async def listen() -> None:
            async for notice in notices:
                updates.note(notice.uri)  # type: ignore[union-attr]

        group.start_soon(listen)
        yield
        group.cancel_scope.cancel()
