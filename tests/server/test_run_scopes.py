"""What a run may ask of its daemon, on every surface: its own tree, children of listed kinds, nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected

from fakes.house import TOKEN, House, open_house
from penstock.pipeline import Inputs, Kind, Output, Run
from penstock.server.mcp.tools import TOOLS
from penstock.server.routes import ROUTES, STREAM, TERMINAL, Route
from penstock.words.api import SubmitRequest
from penstock.words.events import RunCompleted, RunStarted
from server.test_ws import open_client as open_ws
from server.test_ws import until

pytestmark = pytest.mark.sockets

#: The kinds that it may make children of.
KINDS = ("echo",)


class Nothing(Inputs):
    """Nothing."""


class Scripted:
    """An agent that takes a token and stays until the test lets it go; it asks something if it is to."""

    def __init__(self, *, asks: bool = False) -> None:
        self.asks = asks
        self.tokens: dict[str, str] = {}
        self._news = trio.Event()
        self.may_end = trio.Event()

    def kind(self, name: str = "scripted") -> Kind:
        return Kind(name, "Is an agent", Nothing, Output, self.play, guarded=True)

    async def wait_token(self) -> str:
        """The token of the next execution that takes one."""
        with trio.fail_after(60):
            await self._news.wait()
        self._news = trio.Event()
        return self.tokens["agent"]

    async def play(self, run: Run, _inputs: Nothing) -> Output:
        self.tokens[run.run_id] = await run.token(KINDS)
        self._news.set()
        if self.asks:
            await run.ask("may I?", "May it?", ("allow", "deny"))
        await self.may_end.wait()
        return Output()


@asynccontextmanager
async def open_scripted(
    unix: Path | None = None,
    *,
    asks: bool = False,
    priority: str = "MEDIUM",
    mcp: bool = False,
) -> AsyncIterator[tuple[House, Scripted, str]]:
    """A house in which the run `agent` executes and the owner's run `other` does, and the agent's token."""
    scripted = Scripted(asks=asks)
    async with open_house(unix, scripted.kind(), mcp=mcp) as house:
        await house.start("other")
        request = SubmitRequest(kind="scripted", run_id="agent", priority=priority)  # type: ignore[arg-type]
        await house.core.submitter.submit(request)
        yield house, scripted, await scripted.wait_token()


async def end_agent(house: House, scripted: Scripted) -> None:
    scripted.may_end.set()
    await house.wait_fact("agent", RunCompleted)


def path_of(route: Route, run_id: str) -> str:
    return route.path.replace("{run_id}", run_id).replace("{name}", "x")


BODIES: dict[str, Any] = {"submit": {"kind": "echo"}}


async def ask(client: httpx.AsyncClient, route: Route, run_id: str) -> httpx.Response:
    path = path_of(route, run_id)
    if route.name == "selection":
        path += f"?word={run_id}"
    if route.method == "GET":
        return await client.get(path)
    if route.streamed:
        kind = {"Content-Type": "application/octet-stream"}
        return await client.post(path, content=b"x", headers=kind)
    return await client.post(path, json=BODIES.get(route.name, {}))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_a_run_may_ask_of_rest_what_its_table_says_and_nothing_else(
    route: Route,
) -> None:
    """AG-07: of its own tree, of another run, and of all of them."""
    async with open_scripted() as (house, _, token), house.http(token) as client:
        own = await ask(client, route, "agent")
        if route.for_run == "nothing":
            assert own.status_code == 403
            assert "only its user may do more" in own.json()["detail"]
        else:
            assert own.status_code in (200, 202, 404)
        if "{run_id}" in route.path or route.name == "selection":
            for run_id in ("other", "daemon", "none"):
                assert (await ask(client, route, run_id)).status_code == 403


def test_what_a_run_may_ask_is_what_the_law_says() -> None:
    """AG-07: the tables, told once more by hand."""
    asked = {r.name: r.for_run for r in (*ROUTES, STREAM, TERMINAL)}
    assert {name: may for name, may in asked.items() if may != "nothing"} == {
        "submit": "child",
        "get_run": "tree",
        "run_events": "tree",
        "run_output": "tree",
        "why": "tree",
        "get_ask": "tree",
        "selection": "tree",
        "stream": "tree",
        "health": "all",
        "openapi": "all",
        "pipelines": "all",
    }
    called = {tool.name: tool.for_run for tool in TOOLS.values()}
    assert {name: may for name, may in called.items() if may != "nothing"} == {
        "start_run": "child",
        "wait_run": "tree",
        "get_run": "tree",
        "read_output": "tree",
        "read_events": "tree",
        "list_pipelines": "all",
    }


async def test_no_question_is_answered_by_a_run() -> None:
    """AG-07: neither its own nor another's; the question stays open, and its user answers it."""
    async with open_scripted(asks=True) as (house, _, token):
        await house.core.submitter.submit(SubmitRequest(kind="question", run_id="q"))
        await house.wait_fact("q", RunStarted)
        async with house.http(token) as client, house.http() as owner:
            for run_id, name in (("agent", "may I?"), ("q", "go on?")):
                path, body = f"/runs/{run_id}/asks/{quote(name)}", {"answer": "allow"}
                assert (await client.post(path, json=body)).status_code == 403
            seen = await client.get("/runs/agent/asks/may%20I%3F")
            assert seen.json()["answer"] is None
            answered = await owner.post(
                "/runs/agent/asks/may%20I%3F", json={"answer": "deny"}
            )
            assert answered.status_code == 200


async def test_children_are_of_listed_kinds_and_below_the_run() -> None:
    """AG-07: and no more important than it; of its own tree it may look at them."""
    async with open_scripted(priority="LOW") as (house, _, token):
        async with house.http(token) as client:

            async def submit(**fields: Any) -> httpx.Response:
                return await client.post("/runs", json={"kind": "echo"} | fields)

            assert (await submit(kind="question")).status_code == 403
            assert (await submit(kind="scripted")).status_code == 403
            assert (await submit(run_id="mine")).status_code == 400
            assert (await submit(priority="MEDIUM")).status_code == 400
            assert (await submit(after=["other"])).status_code == 403
            first = await submit(run_id="agent.one")
            assert first.status_code == 202
            minted = (await submit(priority="BACKGROUND", after=["agent.one"])).json()
            for run_id, priority in (
                ("agent.one", "LOW"),
                (minted["run_id"], "BACKGROUND"),
            ):
                child = (await client.get(f"/runs/{run_id}")).json()
                assert child["parent_id"] == "agent"
                assert child["priority"] == priority
            # Who writes its number means the same run.
            number = first.json()["number"]
            assert (await client.get(f"/runs/{number}")).json()["run_id"] == "agent.one"
            await house.start("agent.owners")
            assert (await submit(run_id="agent.owners")).status_code == 409
            assert (await client.get("/runs/agent.owners")).status_code == 403


@pytest.mark.parametrize("unix", [False, True])
async def test_a_token_is_dead_with_its_run(tmp_path: Path, unix: bool) -> None:
    """AG-07: on the port and on the socket, where it narrows what it shows; a stream of it breaks off."""
    socket = tmp_path / "s" if unix else None
    async with open_scripted(socket) as (house, scripted, token):
        way = {"uds": str(socket)} if unix else {}
        async with house.http(token, **way) as client:
            assert (await client.get("/runs/agent")).status_code == 200
            assert (await client.get("/runs/other")).status_code == 403
            number, digest, name = token.removeprefix("run-").split("-", 2)
            forged = (
                f"run-{number}-{digest[:-1]}{(int(digest[-1], 16) + 1) % 16:x}-{name}"
            )
            shown = {"Authorization": f"Bearer {forged}"}
            forgery = await client.get("/runs/agent", headers=shown)
            assert forgery.status_code == 401
            await end_agent(house, scripted)
            for path in ("/runs/agent", "/pipelines", "/health"):
                assert (await client.get(path)).status_code == 401


async def test_a_token_is_that_of_one_execution() -> None:
    """AG-07: a run that is executed again has another."""
    scripted = Scripted()
    async with open_house(None, scripted.kind()) as house:
        request = SubmitRequest(kind="scripted", run_id="agent", retries=1, backoff=0.0)
        await house.core.submitter.submit(request)
        await house.wait_fact("agent", RunStarted)
        first = await scripted.wait_token()
        execution = house.core.table.executions["agent"]
        execution.stop()
        await execution.concluded.wait()
        house.core.recorder.kick()
        second = await scripted.wait_token()
        for token, status in ((first, 401), (second, 200)):
            async with house.http(token) as client:
                assert (await client.get("/runs/agent")).status_code == status


async def test_a_stream_is_judged_by_the_run_that_is_followed() -> None:
    """AG-07, WS-10: by the header and by the first frame; a terminal is none of its business."""
    async with open_scripted() as (house, scripted, token):
        async with open_ws(house, "/ws/agent", token=token) as client:
            await until(client, "ready")
        for target in ("/ws", "/ws/other", "/ws/daemon", "/ws/agent/terminal"):
            with pytest.raises(ConnectionRejected):
                async with open_ws(house, target, token=token):
                    pass
            async with open_ws(house, target, token=None) as client:
                await client.send_message(json.dumps({"type": "open", "token": token}))
                with pytest.raises(ConnectionClosed):
                    await client.get_message()
        async with open_ws(house, "/ws/agent", token=None) as client:
            await client.send_message(json.dumps({"type": "open", "token": token}))
            await until(client, "ready")
            await end_agent(house, scripted)
            with pytest.raises(ConnectionClosed), trio.fail_after(60):
                while True:
                    await client.get_message()
        with pytest.raises(ConnectionRejected):
            async with open_ws(house, "/ws/agent", token=token):
                pass


async def test_a_stream_of_a_child_ends_with_the_run_that_follows_it() -> None:
    """AG-07: what a token opened is over when the token is."""
    async with open_scripted() as (house, scripted, token), house.http(token) as client:
        await client.post("/runs", json={"kind": "echo", "run_id": "agent.one"})
        stream = {"Accept": "application/x-ndjson"}
        with trio.fail_after(60):
            async with client.stream(
                "GET", "/runs/agent.one/events", headers=stream
            ) as told:
                lines = told.aiter_lines()
                assert told.status_code == 200
                assert "run.queued" in await anext(lines)
                scripted.may_end.set()
                with pytest.raises((httpx.RemoteProtocolError, StopAsyncIteration)):
                    while True:
                        await anext(lines)


async def test_a_process_of_a_guarded_run_has_its_scope_whatever_it_shows(
    tmp_path: Path,
) -> None:
    """AG-07: here this very process counts as one; with the daemon's own token, and over the page's head."""
    socket = tmp_path / "s"
    async with open_scripted(socket) as (house, _, _token):
        execution = house.core.table.executions["agent"]
        scope = house.core.tokens.read(_token)
        assert scope is not None
        with house.core.trees.open_tree(scope) as tree:
            tree.launched(os.getppid())
            for token in (TOKEN, None, "wrong"):
                async with house.http(token, uds=str(socket)) as client:
                    assert (await client.get("/runs/agent")).status_code == 200
                    assert (await client.get("/runs/other")).status_code == 403
                    cancel = await client.post("/runs/agent/cancel", json={})
                    assert cancel.status_code == 403
            async with open_ws(house, "/ws/agent") as stream:
                await until(stream, "ready")
            with pytest.raises(ConnectionRejected):
                async with open_ws(house, "/ws"):
                    pass
            # By the port nobody sees who it is.
            async with house.http() as client:
                assert (await client.get("/runs/other")).status_code == 200
        async with house.http(uds=str(socket)) as client:
            assert (await client.get("/runs/other")).status_code == 200
        assert not execution.concluded.is_set()


async def test_what_the_log_records_has_no_token_in_it() -> None:
    """AG-07, API-07: an agent may print it; once it is dead, its text is as any other."""

    async def tell(run: Run, _inputs: Nothing) -> Output:
        await run.log(f"mine is {await run.token([])}.")
        return Output()

    async with open_house(None, Kind("tell", "Tells", Nothing, Output, tell)) as house:
        await house.core.submitter.submit(SubmitRequest(kind="tell", run_id="t"))
        facts = await house.wait_fact("t", RunCompleted)
    told = b"".join(fact.body for fact in facts)
    assert b"mine is " in told
    assert b"run-1-" not in told


class McpClient:
    """What an agent's host says, by hand, in one of the two protocols."""

    def __init__(self, client: httpx.AsyncClient, era: str) -> None:
        self._client = client
        self._headers = {"Accept": "application/json, text/event-stream"}
        self._older = era == "2025-11-25"
        self._headers["MCP-Protocol-Version"] = era

    async def open(self) -> None:
        """Open a session, where there is such a thing."""
        if not self._older:
            return
        params = {
            "protocolVersion": "2025-11-25",
            "capabilities": {"elicitation": {}},
            "clientInfo": CLIENT,
        }
        answer = await self._post({"id": 1, "method": "initialize", "params": params})
        self._headers["Mcp-Session-Id"] = answer.headers["mcp-session-id"]
        await self._post({"method": "notifications/initialized"})

    async def ask(self, method: str, **params: Any) -> Any:
        """The whole answer, whichever form it comes in."""
        more = {"Mcp-Method": method}
        if name := params.get("name") or params.get("uri") or params.get("taskId"):
            more["Mcp-Name"] = name
        if not self._older:
            params["_meta"] = {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": CLIENT,
                "io.modelcontextprotocol/clientCapabilities": {
                    "elicitation": {},
                    "extensions": {"io.modelcontextprotocol/tasks": {}},
                },
            }
        message = {"id": 7, "method": method, "params": params}
        answer = await self._post(message, more)
        told = answer.text
        if "event-stream" in answer.headers["content-type"]:
            told = next(x[6:] for x in told.splitlines() if x.startswith("data: {"))
        return json.loads(told)

    async def call(self, tool: str, **arguments: Any) -> tuple[bool, str]:
        """Whether the tool did it, and what it said."""
        answer = await self.ask("tools/call", name=tool, arguments=arguments)
        if "error" in answer:
            return False, answer["error"]["message"]
        result = answer["result"]
        return not result.get("isError", False), json.dumps(result)

    async def _post(self, message: Any, more: Any = None) -> httpx.Response:
        return await self._client.post(
            "/mcp",
            json={"jsonrpc": "2.0", **message},
            headers=self._headers | (more or {}),
        )


CLIENT = {"name": "host", "version": "1"}
#: What would do each tool's work, had the owner called it.
CALLS: dict[str, dict[str, Any]] = {
    "start_run": {"kind": "question", "inputs": {}},
    "wait_run": {"run_id": "other", "seconds": 0},
    "get_run": {"run_id": "other"},
    "read_output": {"run_id": "other"},
    "list_runs": {},
    "cancel_run": {"run_id": "agent"},
    "retry_run": {"run_id": "agent"},
    "answer": {"run_id": "agent", "name": "may I?", "answer": "allow"},
    "read_events": {},
    "queue_status": {},
    "change_queue": {"action": "pause"},
    "start_coding_task": {"prompt": "x"},
    "get_task_status": {"task_id": "agent"},
}
#: What is no tool, and what would be told of another run by it.
METHODS: dict[str, dict[str, Any]] = {
    "resources/list": {},
    "resources/read": {"uri": "run://other"},
    "completion/complete": {
        "ref": {"type": "ref/resource", "uri": "run://{run_id}"},
        "argument": {"name": "run_id", "value": ""},
    },
}
BY_ERA: dict[str, dict[str, dict[str, Any]]] = {
    "2025-11-25": {"resources/subscribe": {"uri": "run://other"}},
    "2026-07-28": {
        "tasks/get": {"taskId": "agent"},
        "tasks/update": {
            "taskId": "agent",
            "inputResponses": {
                "may I?": {"action": "accept", "content": {"answer": "allow"}}
            },
        },
        "tasks/cancel": {"taskId": "agent"},
    },
}


@pytest.mark.parametrize("era", list(BY_ERA))
async def test_a_run_may_ask_of_mcp_what_its_table_says_and_nothing_else(
    era: str,
) -> None:
    """AG-07: in both protocols; nothing that it waits for is put to whom it would ask."""
    assert {*CALLS, "list_pipelines"} == TOOLS.keys()
    async with (
        open_scripted(asks=True, mcp=True) as (house, _, token),
        house.http(token) as client,
    ):
        agent = McpClient(client, era)
        await agent.open()
        listed = (await agent.ask("tools/list"))["result"]["tools"]
        assert {tool["name"] for tool in listed} == {
            "run_echo", "start_run", "wait_run", "get_run", "read_output", "read_events", "list_pipelines",
        }  # fmt: skip
        for tool, arguments in CALLS.items():
            done, said = await agent.call(tool, **arguments)
            assert not done, tool
            assert "may not ask" in said or "of these kinds only" in said, (tool, said)
        for method, params in (METHODS | BY_ERA[era]).items():
            assert (
                "may not ask" in (await agent.ask(method, **params))["error"]["message"]
            )
        every = {"kind": "echo", "inputs": {}, "run_id": "often", "every": "1d"}
        assert "may not ask" in (await agent.call("start_run", **every))[1]
        assert (
            await agent.call("start_run", kind="echo", inputs={}, run_id="agent.a")
        )[0]
        assert (await agent.call("run_echo"))[0]
        assert (await agent.call("read_events", run_id="agent"))[0]
        assert "result" in await agent.ask("resources/read", uri="run://agent.a")
        waited = {"run_id": "agent", "seconds": 0, "until": "asks"}
        done, said = await agent.call("wait_run", **waited)
        assert done
        assert "elicitation" not in said
        view = await house.core.reader.view("agent")
        assert [ask.answer for ask in view.asks.values()] == [None]
        assert not await house.core.schedules.rows()


async def test_an_answer_in_a_call_that_waits_is_not_taken_of_a_run() -> None:
    """AG-07: since 2026-07-28 answers come with the call that was asked for them."""
    async with (
        open_scripted(asks=True, mcp=True) as (house, _, token),
        house.http(token) as client,
    ):
        agent = McpClient(client, "2026-07-28")
        given = {"may I?": {"action": "accept", "content": {"answer": "allow"}}}
        waits = {"run_id": "agent", "seconds": 0}
        await agent.ask(
            "tools/call", name="wait_run", arguments=waits, inputResponses=given
        )
        view = await house.core.reader.view("agent")
        assert [ask.answer for ask in view.asks.values()] == [None]


async def test_what_a_run_made_is_no_owner_either() -> None:
    """AG-07: an agent's child could answer for it; also after the agent's end, and of a child of that."""
    async with open_scripted() as (house, scripted, token):
        async with house.http(token) as client:
            child = {"kind": "echo", "run_id": "agent.one"}
            assert (await client.post("/runs", json=child)).status_code == 202
            await house.wait_fact("agent.one", RunStarted)
            later = {**child, "run_id": "agent.two", "delay": 3600}
            assert (await client.post("/runs", json=later)).status_code == 202
        executions = house.core.table.executions
        assert executions["agent"].guarded
        assert executions["agent.one"].guarded
        assert not executions["other"].guarded
        await end_agent(house, scripted)
        async with house.http() as owner:
            now = {"stashed": False}
            assert (await owner.post("/runs/agent.two/rearrange", json=now)).is_success
            await house.wait_fact("agent.two", RunStarted)
        assert executions["agent.two"].guarded
