"""AG: what an agent may ask of the daemon that runs it, and the tools that it is given for that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio

from kinds.agent.test_agent_runs import (
    ended_badly,
    ended_well,
    open_agents,
    processes_of,
    task,
)
from penstock.kinds.agent.pipeline import KIND
from penstock.testing import InMemoryCore

Clock = trio.testing.MockClock


async def servers(core: InMemoryCore, **inputs: Any) -> list[dict[str, Any]]:
    """The servers of MCP that an agent was told of."""
    await ended_well(core, await core.submit("agent", task("echo", **inputs)))
    [agent] = processes_of(core).agents
    [told] = [x for x in agent.told if x.get("method") == "session/new"]
    found: list[dict[str, Any]] = told["params"]["mcpServers"]
    return found


def test_agents_are_guarded() -> None:
    """AG-07"""
    assert KIND.guarded


async def test_an_agent_is_given_tools_for_the_kinds_that_it_may_start(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-07: beside the servers of its user, by a token of this run, which is recorded nowhere."""
    mine = {"name": "mine", "command": "/bin/mine", "args": [], "env": []}
    async with open_agents(tmp_path) as core:
        first, ours = await servers(core, mcp_servers=[mine], penstock_tools=["agent"])
        assert first == mine
        assert (ours["name"], ours["command"]) == ("penstock", "penstock")
        assert ours["args"] == ["mcp"]
        [variable] = ours["env"]
        assert variable["name"] == "PENSTOCK_TOKEN"
        assert variable["value"].startswith("run-1-")
        recorded = b"".join(fact.body for fact in await core.facts("r-1"))
        assert variable["value"].encode() not in recorded


async def test_without_a_word_an_agent_is_given_none(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-07"""
    async with open_agents(tmp_path) as core:
        assert await servers(core) == []


async def test_a_kind_that_is_not_there_is_told_before_anything_is_copied(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-07"""
    async with open_agents(tmp_path) as core:
        run_id = await core.submit("agent", task("echo", penstock_tools=["comand"]))
        view = await ended_badly(core, run_id)
        assert view.error == "inputs.penstock_tools: 'comand' is not installed"
        assert processes_of(core).stages == []
