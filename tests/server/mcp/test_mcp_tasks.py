"""The Tasks extension: a run is a task, and what it asks is input that the task requires."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2
import pytest

from fakes.agents import Agents, agent_marks, run

pytestmark = agent_marks

EXTENSION = "io.modelcontextprotocol/tasks"
VERSION = "2026-07-28"


@dataclass
class Caller:
    """A client written out by hand: the SDK's own has no words for tasks."""

    http: httpx2.AsyncClient
    url: str
    capabilities: dict[str, Any]
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def ask(self, method: str, header: str | None = None, **params: Any) -> Any:
        """The result, or the error as {"error": …}."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
        }
        headers = {"MCP-Protocol-Version": VERSION, "Mcp-Method": method}
        if shown := header or params.get("taskId") or params.get("name"):
            headers["Mcp-Name"] = shown
        body = {
            "jsonrpc": "2.0",
            "id": next(self.numbers),
            "method": method,
            "params": {**params, "_meta": meta},
        }
        answer = (await self.http.post(self.url, json=body, headers=headers)).json()
        return answer.get("result", {"error": answer.get("error")})

    async def start(self, kind: str, **inputs: Any) -> dict[str, Any]:
        arguments = {"kind": kind, "inputs": inputs}
        told = await self.ask("tools/call", name="start_run", arguments=arguments)
        assert isinstance(told, dict)
        return told

    async def until(self, task_id: str, status: str) -> dict[str, Any]:
        """Poll as often as the task says, until it stands there."""
        while True:
            task = await self.ask("tasks/get", taskId=task_id)
            assert task["resultType"] == "complete"
            if task["status"] == status:
                return dict(task)
            assert task["status"] in {"working", "input_required"}, task
            await anyio.sleep(task["pollIntervalMs"] / 1000)


def told_in(result: dict[str, Any]) -> Any:
    """What the result of a call tells."""
    assert "structuredContent" not in result
    return json.loads(result["content"][0]["text"])


@asynccontextmanager
async def open_caller(agents: Agents, *, tasks: bool = True) -> AsyncIterator[Caller]:
    headers = {
        "Authorization": f"Bearer {agents.token}",
        "Accept": "application/json, text/event-stream",
    }
    capabilities: dict[str, Any] = {"extensions": {EXTENSION: {}}} if tasks else {}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        yield Caller(http, agents.url, capabilities)


def test_a_run_is_a_task_for_a_client_that_knows_tasks(agents: Agents) -> None:
    """MCP-03"""

    async def scenario() -> None:
        async with open_caller(agents) as caller:
            task = await caller.start("command", argv=["echo", "hello"])
            assert task["resultType"] == "task"
            assert task["status"] == "working"
            assert task["ttlMs"] > 0
            done = await caller.until(task["taskId"], "completed")
            assert done["createdAt"] == task["createdAt"]
            result = done["result"]
            assert result["isError"] is False
            told = told_in(result)
            assert told["run_id"] == task["taskId"]
            assert told["result"]["exit_code"] == 0

    run(scenario)


def test_a_failed_run_is_a_completed_task_that_tells_the_failure(
    agents: Agents,
) -> None:
    """MCP-03"""

    async def scenario() -> None:
        async with open_caller(agents) as caller:
            task = await caller.start("command", argv=["false"])
            done = await caller.until(task["taskId"], "completed")
            assert done["result"]["isError"] is True
            assert told_in(done["result"])["state"] == "failed"
            assert "error" not in done

    run(scenario)


def test_a_question_is_input_that_the_task_requires(agents: Agents) -> None:
    """MCP-03"""

    async def scenario() -> None:
        async with open_caller(agents) as caller:
            choices = ["red", "blue"]
            task = await caller.start("interview", question="Which?", choices=choices)
            task_id = task["taskId"]
            asking = await caller.until(task_id, "input_required")
            [(name, request)] = asking["inputRequests"].items()
            assert request["method"] == "elicitation/create"
            assert request["params"]["message"] == "Which?"
            schema = request["params"]["requestedSchema"]
            assert schema["properties"]["answer"]["enum"] == choices

            def reply(answer: str, key: str = name) -> dict[str, Any]:
                return {key: {"action": "accept", "content": {"answer": answer}}}

            declined = {name: {"action": "decline"}}
            for ignored in (declined, reply("red", "another")):
                told = await caller.ask(
                    "tasks/update", taskId=task_id, inputResponses=ignored
                )
                assert told["resultType"] == "complete"
                assert (await caller.ask("tasks/get", taskId=task_id))[
                    "status"
                ] == "input_required"
            wrong = await caller.ask(
                "tasks/update", taskId=task_id, inputResponses=reply("green")
            )
            assert wrong["error"]["code"] == -32602
            await caller.ask(
                "tasks/update", taskId=task_id, inputResponses=reply("blue")
            )
            done = await caller.until(task_id, "completed")
            assert told_in(done["result"])["result"] == {"answer": "blue"}
            assert "inputRequests" not in done
            late = await caller.ask(
                "tasks/update", taskId=task_id, inputResponses=reply("red")
            )
            assert late["resultType"] == "complete"

    run(scenario)


def test_a_task_is_cancelled_and_stays_so(agents: Agents) -> None:
    """MCP-03"""

    async def scenario() -> None:
        async with open_caller(agents) as caller:
            task = await caller.start("command", argv=["sleep", "60"])
            for _ in range(2):
                told = await caller.ask("tasks/cancel", taskId=task["taskId"])
                assert told["resultType"] == "complete"
            ended = await caller.until(task["taskId"], "cancelled")
            assert "result" not in ended
            again = await caller.ask("tasks/cancel", taskId=task["taskId"])
            assert again["resultType"] == "complete"

    run(scenario)


def test_who_does_not_know_tasks_is_given_none(agents: Agents) -> None:
    """MCP-03"""

    async def scenario() -> None:
        async with open_caller(agents, tasks=False) as caller:
            told = await caller.start("command", argv=["true"])
            run_id = told_in(told)["run_id"]
            assert told["resultType"] == "complete"
            refused = await caller.ask("tasks/get", taskId=run_id)
            assert refused["error"]["code"] == -32021
            data: Any = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
            assert refused["error"]["data"] == data

    run(scenario)


@pytest.mark.parametrize("method", ["tasks/list", "tasks/result"])
def test_methods_of_the_older_draft_are_unknown(agents: Agents, method: str) -> None:
    """MCP-03"""

    async def scenario() -> None:
        async with open_caller(agents) as caller:
            told = await caller.ask(method, taskId="x")
            assert told["error"]["code"] == -32601

    run(scenario)


def test_a_task_must_exist_and_bear_the_name_in_the_header(agents: Agents) -> None:
    """MCP-06"""

    async def scenario() -> None:
        async with open_caller(agents) as caller:
            for task_id in ("nobody", "\x00", "daemon"):
                for method in ("tasks/get", "tasks/cancel"):
                    told = await caller.ask(method, "nobody", taskId=task_id)
                    assert told["error"]["code"] in {-32602, -32020}
            daemon = await caller.ask("tasks/get", taskId="daemon")
            assert daemon["error"]["code"] == -32602
            unknown = await caller.ask("tasks/get", taskId="nobody")
            assert unknown["error"]["message"] == "there is no task 'nobody'"
            task = await caller.start("command", argv=["true"])
            other = await caller.ask("tasks/get", "another", taskId=task["taskId"])
            assert other["error"]["code"] == -32020

    run(scenario)
