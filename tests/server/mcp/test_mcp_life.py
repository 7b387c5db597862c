"""How MCP begins, holds many clients, and ends."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from mcp.shared.exceptions import MCPDeprecationWarning

from fakes.agents import (
    ERAS,
    Agents,
    Updates,
    agent_marks,
    call,
    run,
    subscribed,
    told_by,
)
from fakes.real_daemon import RealDaemon

pytestmark = agent_marks

#: Clients at a time, and how many of them the daemon may have.
MANY = 100


def test_a_daemon_no_agent_talks_to_does_not_pay_for_mcp() -> None:
    """APP-01, QA-05"""
    code = (
        "import sys, penstock.service, penstock.server.app, penstock.server.door,"
        " penstock.server.ws, penstock.server.mcp.lazy;"
        "print([m for m in sys.modules if m == 'mcp' or m.startswith('mcp.')])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert told.stdout.strip() == b"[]"


def test_the_first_requests_wait_for_the_server(
    start_mcp_daemon: Callable[..., RealDaemon],
) -> None:
    """APP-01 All that come while it is imported are answered, and so is everybody else."""
    agents = Agents(start_mcp_daemon())

    async def scenario() -> None:
        async def look() -> None:
            async with agents.client("auto") as client:
                assert (await call(client, "queue_status"))["slots"] == 5

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(look)
            assert (await agents.rest("GET", "/queue"))["slots"] == 5

    run(scenario)


def test_a_hundred_sessions_leave_nothing(
    start_mcp_daemon: Callable[..., RealDaemon],
) -> None:
    """MCP-01 Neither sessions nor subscriptions."""
    agents = Agents(
        start_mcp_daemon(
            PENSTOCK_MAX_MCP_SESSIONS=str(MANY),
            PENSTOCK_MAX_MCP_SUBSCRIPTIONS=str(MANY),
            # A client has several connections, and those of the first hundred may linger.
            PENSTOCK_MAX_CONNECTIONS="2000",
        )
    )

    async def scenario() -> None:
        crowd = Crowd(agents)
        async with anyio.create_task_group() as group:
            for number in range(MANY):
                group.start_soon(crowd.visit, number)
            await crowd.complete.wait()
            assert await subscribers(agents) == MANY
            refused = await agents.open_session()
            assert refused.status_code == 503
            assert "Too many open sessions" in refused.text
            crowd.over.set()
        # One that comes after them finds room only if theirs was given back.
        async with agents.client("auto") as client:
            async with subscribed(client, "auto", "run://late", Updates()):
                pass
        # A second hundred finds room only if the first is forgotten.
        for _ in range(MANY):
            assert (await agents.open_session()).status_code == 200
        assert await subscribers(agents) == 0

    run(scenario, "asyncio")


async def subscribers(agents: Agents) -> int:
    """How many agents follow a run now."""
    readers = (await agents.rest("GET", "/clients"))["clients"]
    return sum(row["kind"] == "mcp" for row in readers)


class Crowd:
    """Clients that come one by one, subscribe, and stay until it is over."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self._there = 0
        self.complete = anyio.Event()
        self.over = anyio.Event()

    async def visit(self, number: int) -> None:
        async with self._agents.client("legacy") as client:
            await call(client, "queue_status")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MCPDeprecationWarning)
                # Left open: the end of the session is the end of the subscription.
                await client.subscribe_resource(f"run://visit-{number}")
            self._there += 1
            if self._there == MANY:
                self.complete.set()
            await self.over.wait()


@pytest.mark.parametrize("loop", ["trio", "asyncio"])
def test_a_stop_gives_every_waiting_call_its_result(
    start_mcp_daemon: Callable[..., RealDaemon], loop: str
) -> None:
    """APP-06 Drain order: the runs end, waiting calls tell how, then streams and sessions close."""
    daemon = start_mcp_daemon()
    agents = Agents(daemon)
    told: dict[str, Any] = {}

    async def wait(era: str, run_id: str, waiting: anyio.Event) -> None:
        async def hear(
            progress: float, total: float | None, message: str | None
        ) -> None:
            await anyio.lowlevel.checkpoint()
            waiting.set()

        async with agents.client(era) as client:
            # Else the client looks up what the result must be like, when the daemon has gone.
            await client.list_tools()
            found = await client.call_tool(
                "wait_run", {"run_id": run_id}, progress_callback=hear
            )
            told[f"{era} {run_id}"] = told_by(found)

    async def listen(run_id: str, ready: anyio.Event) -> None:
        async with agents.client("auto") as client:
            async with client.listen(
                resource_subscriptions=[f"run://{run_id}"]
            ) as news:
                ready.set()
                # A stream that were only cut would raise.
                async for _ in news:
                    pass
        told["listen"] = True

    async def scenario() -> None:
        async with agents.client("auto") as client:
            for run_id, then in (("ends", "fail"), ("goes-on", "requeue")):
                inputs = {"shell": "while :; do echo x; sleep 0.2; done"}
                wanted = {"kind": "command", "inputs": inputs, "on_restart": then}
                await call(client, "start_run", run_id=run_id, **wanted)
        async with anyio.create_task_group() as group:
            ready = [anyio.Event() for _ in range(5)]
            group.start_soon(listen, "ends", ready[0])
            waits = [(era, run_id) for era in ERAS for run_id in ("ends", "goes-on")]
            for (era, run_id), event in zip(waits, ready[1:], strict=True):
                group.start_soon(wait, era, run_id, event)
            for event in ready:
                await event.wait()
            assert await anyio.to_thread.run_sync(daemon.stop) == 0
        assert told["listen"]
        for era in ERAS:
            assert told[f"{era} ends"]["state"] == "failed"
            assert told[f"{era} ends"]["ended_at"]
            assert told[f"{era} goes-on"]["state"] == "queued"

    run(scenario, loop)
