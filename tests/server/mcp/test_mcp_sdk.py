"""What is used of the SDK beyond its public names: an upgrade that breaks it fails here."""

from __future__ import annotations

from typing import Any

import mcp.types as wire
import trio
from mcp.client.client import Client
from mcp.server.lowlevel import Server

from fakes.agents import agent_marks
from penstock.server.mcp.subscriptions import connection_of

pytestmark = agent_marks


async def test_a_session_can_be_told_and_its_end_noticed() -> None:
    """MCP-03"""
    seen: list[Any] = []
    ended: list[str] = []

    async def list_tools(ctx: Any, _params: Any) -> wire.ListToolsResult:
        await trio.lowlevel.checkpoint()
        connection = connection_of(ctx)
        seen.append(connection)
        if "test" not in connection.state:
            connection.state["test"] = True
            connection.exit_stack.callback(ended.append, "ended")
        return wire.ListToolsResult(tools=[])

    server: Server[Any] = Server("test", on_list_tools=list_tools)
    async with Client(server, mode="legacy") as client:
        await client.list_tools()
        await client.session.list_tools()
        assert seen[0] is seen[-1]
        assert ended == []
    assert ended == ["ended"]
