"""Resources, and being told of their changes: in both eras, and whoever does not read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError

from fakes.agents import (
    Agents,
    Updates,
    agent_marks,
    call,
    every_era,
    every_loop,
    refusal,
    run,
    start,
    subscribed,
)
from penstock.server.mcp.resources import RunUri, parse_uri, run_uri
from penstock.words.errors import NotFound

pytestmark = agent_marks

#: Facts in quick succession.
FLOOD = 400


def test_an_address_names_a_run_or_nothing() -> None:
    """MCP-03"""
    assert parse_uri("run://r-1") == RunUri("r-1")
    assert parse_uri("run://r-1/events?after=7") == RunUri("r-1", "events", after=7)
    assert parse_uri("run://r-1/artifacts/a%2Fb") == RunUri("r-1", "artifacts", "a/b")
    for run_id in ("r-1", "with space", "ümlaut", "a%b", "[x", "Mixed"):
        assert parse_uri(run_uri(run_id)).run_id == run_id
    bad = ["", "run://", "file:///etc/passwd", "run://r/other", "run://r/artifacts/", "run://r/events/x",
           "run://r/events?after=-1", "run://r/events?after=x", f"run://r/events?after={10**30}", "run://[r", "http://r", "run://%ff"]  # fmt: skip
    for uri in bad:
        with pytest.raises(NotFound):
            parse_uri(uri)


@every_loop
@every_era
def test_a_run_can_be_read_in_three_ways(agents: Agents, era: str, loop: str) -> None:
    """MCP-03"""

    async def scenario() -> None:
        async with agents.client(era) as client:
            run_id = await interviewed(client, words=3)
            templates = (await client.list_resource_templates()).resource_templates
            assert [t.uri_template for t in templates] == [
                "run://{run_id}",
                "run://{run_id}/events",
                "run://{run_id}/artifacts/{artifact_id}",
            ]
            listed = (await client.list_resources()).resources
            assert f"run://{run_id}" in {resource.uri for resource in listed}
            told = await text(client, f"run://{run_id}")
            assert json.loads(told) == await call(client, "get_run", run_id=run_id)
            page = json.loads(await text(client, f"run://{run_id}/events"))
            following = json.loads(
                await text(
                    client,
                    f"run://{run_id}/events?after={page['events'][1]['position']}",
                )
            )
            assert following["events"] == page["events"][2:]
            story = await text(client, f"run://{run_id}/artifacts/story")
            assert story == "word 0 word 1 word 2 "
            await call(client, "cancel_run", run_id=run_id)

    run(scenario, loop)


@every_era
def test_what_is_not_there_is_told_with_its_address(agents: Agents, era: str) -> None:
    """MCP-06"""

    async def scenario() -> None:
        async with agents.client(era) as client:
            run_id = await start(client, "true")
            for uri in (
                "run://nobody",
                "run://nobody/events",
                f"run://{run_id}/artifacts/none",
                f"run://{run_id}/artifacts/..%2F..%2Fetc%2Fpasswd",
                "file:///etc/passwd",
            ):
                with pytest.raises(MCPError) as caught:
                    await client.read_resource(uri)
                assert caught.value.error.code == -32602
                assert caught.value.error.data == {"uri": uri}

    run(scenario)


@every_loop
@every_era
def test_a_flood_of_changes_is_told_in_few_words(
    agents: Agents, era: str, loop: str
) -> None:
    """MCP-03"""

    async def scenario() -> None:
        updates = Updates()
        async with agents.client(era, message_handler=updates.take) as client:
            # An id can be subscribed to before there is such a run.
            run_id = f"flood-{era}-{loop}"
            uri = f"run://{run_id}/events"
            async with subscribed(client, era, uri, updates):
                await flood(client, run_id)
                asked = False
                while not asked:
                    # The last notice comes after the last change, so this ends.
                    await updates.wait_next()
                    told = await call(client, "get_run", run_id=run_id)
                    asked = bool(told["asks"])
                assert told["sequence"] > FLOOD
            assert set(updates.uris) == {uri}
            assert 1 <= len(updates.uris) < FLOOD / 4
            await call(client, "cancel_run", run_id=run_id)

    run(scenario, loop)


@every_era
def test_the_daemon_itself_is_no_run(agents: Agents, era: str) -> None:
    """MCP-06 Nor does whoever asks for it hurt anybody."""

    async def scenario() -> None:
        async with agents.client(era) as client:
            for uri in ("run://daemon", "run://daemon/events"):
                with pytest.raises(MCPError):
                    await client.read_resource(uri)
                with pytest.raises(MCPError):
                    async with subscribed(client, era, uri, Updates()):
                        pass
            why = await refusal(client, "get_run", {"run_id": "daemon"})
            assert "own stream" in why
            page = await call(client, "read_events", run_id="daemon", limit=1)
            assert page["events"][0]["event"]["type"] == "daemon.started"

    run(scenario)


@every_era
def test_who_subscribes_to_nonsense_is_told(agents: Agents, era: str) -> None:
    """MCP-06"""

    async def scenario() -> None:
        async with agents.client(era) as client:
            with pytest.raises(MCPError, match="no address of a run"):
                async with subscribed(client, era, "file:///etc/passwd", Updates()):
                    pass

    run(scenario)


def test_a_client_that_does_not_read_stalls_nobody(agents: Agents) -> None:
    """Law 6, MCP-03"""

    async def scenario() -> None:
        async with agents.client("legacy") as client:
            run_id = "not-heard"
            async with deaf_listener(agents, f"run://{run_id}/events"):
                await flood(client, run_id)
                asking = await call(client, "wait_run", run_id=run_id)
                assert asking["asks"]
                assert asking["sequence"] > FLOOD
            await call(client, "cancel_run", run_id=run_id)

    run(scenario)


@asynccontextmanager
async def deaf_listener(agents: Agents, uri: str) -> AsyncIterator[None]:
    """A stream of notices whose client never reads."""
    version = "2026-07-28"
    meta = {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"notifications": {"resourceSubscriptions": [uri]}, "_meta": meta}
    method = "subscriptions/listen"
    headers = {
        "Authorization": f"Bearer {agents.token}",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": version,
        "Mcp-Method": method,
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        http.stream("POST", agents.url, json=body) as response,
    ):
        assert response.status_code == 200
        yield


async def interviewed(client: Client, words: int) -> str:
    """A run that has written its words, asks its question, and gave its slot back: nothing moves any more."""
    inputs = {"question": "Which?", "words": words}
    told = await call(client, "start_run", kind="interview", inputs=inputs)
    run_id = str(told["run_id"])
    asking = await call(client, "wait_run", run_id=run_id)
    assert asking["asks"]
    while asking["state"] != "waiting":
        asking = await call(client, "get_run", run_id=run_id)
    return run_id


async def flood(client: Client, run_id: str) -> None:
    """Start a run that records many facts and then asks its question."""
    inputs = {"question": "Which?", "steps": FLOOD}
    await call(client, "start_run", kind="interview", inputs=inputs, run_id=run_id)


async def text(client: Client, uri: str) -> str:
    """A resource's text."""
    [content] = (await client.read_resource(uri)).contents
    assert content.uri == uri
    return str(content.text)  # type: ignore[union-attr]
