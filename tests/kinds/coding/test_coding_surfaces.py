"""A daemon with models: its start, its health, and coding tasks over REST and MCP's way in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from fakes.coding import Place, slug_script, story
from fakes.model_server import ModelServer, start_model_server
from penstock.server.mcp.arguments import CodingTask, OneTask
from penstock.server.mcp.calls import Caller, tool_calls
from penstock.service.daemon import Daemon, open_daemon
from penstock.words.address import read_token
from penstock.words.config import Config, Models
from penstock.words.errors import StartRefused


def models(url: str, *chain: str) -> Models:
    return Models(
        provider="ollama",
        url=url,
        chain=chain or ("mistral:7b",),
        connect_timeout=1.0,
        patience=0.0,
    )


@asynccontextmanager
async def open_whole(
    folder: Path, configured: Models, **settings: Any
) -> AsyncIterator[tuple[Daemon, httpx.AsyncClient]]:
    """A daemon on a free port, and a client of it with its token."""
    settings = {"port": 0, "state_dir": folder, **settings}
    config = Config(models=configured, **settings)
    environ = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    async with open_daemon(config, environ) as daemon:
        shown = {"Authorization": f"Bearer {read_token(daemon.paths.token)}"}
        async with httpx.AsyncClient(
            base_url=daemon.base, headers=shown, trust_env=False, timeout=20
        ) as client:
            yield daemon, client


async def ended(client: httpx.AsyncClient, task_id: str) -> dict[str, Any]:
    """The task after its end, and its history as a stream gives it."""
    lines = {"Accept": "application/x-ndjson"}
    with trio.fail_after(60):
        async with client.stream("GET", f"/runs/{task_id}/events", headers=lines) as r:
            text = "".join([piece async for piece in r.aiter_text()])
    assert "run.completed" in text
    task: dict[str, Any] = (await client.get(f"/tasks/{task_id}")).json()
    return task


@pytest.mark.processes
async def test_a_task_over_rest_ends_completed_with_its_whole_history(
    where: Place, model_server: ModelServer
) -> None:
    """WF-10, API-01, API-02, API-03, API-05: the same after a restart."""
    prompt = "Write slugs. " + "Übung \U0001f600 " * 10_000
    model_server.script(*slug_script())
    configured = models(model_server.url, "mistral:7b", "qwen3:8b", "large:latest")
    configured = configured.model_copy(update={"windows": {"large:latest": 400_000}})
    body = {"prompt": prompt, "answers": ["yes"] * 1000, "priority": "HIGH"}
    async with open_whole(where.folder, configured) as (daemon, client):
        answer = await client.post("/tasks", json=body)
        assert answer.status_code == 200
        task_id = answer.json()["task_id"]
        assert answer.json()["status"] == "created"
        assert answer.json()["websocket_url"].endswith(f"/ws/{task_id}")
        task = await ended(client, task_id)
        facts = await daemon.core.store.read(task_id)
    assert task["status"] == "completed"
    assert task["inputs"]["prompt"] == prompt
    assert story(facts)[-1] == "run.completed"
    assert [f.sequence for f in facts] == list(range(1, len(facts) + 1))
    assert prompt in model_server.log()[0]["messages"][-1]["content"]
    async with open_whole(where.folder, configured) as (_, client):
        again = (await client.get(f"/tasks/{task_id}")).json()
    assert {**again, "websocket_url": ""} == {**task, "websocket_url": ""}


@pytest.mark.processes
async def test_an_agent_s_task_is_the_same_run(
    where: Place, model_server: ModelServer
) -> None:
    """WF-10: `start_coding_task` makes what `POST /tasks` makes."""
    body = {"prompt": "Write slugs.", "answers": ["yes"]}
    results = []
    async with open_whole(where.folder, models(model_server.url)) as (daemon, client):
        model_server.script(*slug_script())
        by_rest = (await client.post("/tasks", json=body)).json()
        results.append(await ended(client, by_rest["task_id"]))
        model_server.script(*slug_script())
        calls = tool_calls(daemon.core, daemon.shutdown)
        caller = Caller(daemon.base, report=quiet)
        by_agent = await calls["start_coding_task"](
            CodingTask(prompt="Write slugs.", answers=("yes",)), caller
        )
        results.append(await ended(client, by_agent["task_id"]))
        status = await calls["get_task_status"](
            OneTask(task_id=by_agent["task_id"]), caller
        )
    one, other = results
    assert status == other
    assert other["status"] == "completed"
    assert by_agent.keys() == by_rest.keys()
    for same in ("kind", "inputs", "result", "code_version", "priority"):
        assert one[same] == other[same]


async def quiet(_number: int, _sentence: str) -> None:
    await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": ""},
        {"prompt": " \n"},
        {"prompt": "x", "answers": "yes"},
        {"prompt": "x", "answers": [1]},
        [],
    ],
)
async def test_a_task_that_is_none_is_refused(where: Place, body: object) -> None:
    """API-01"""
    async with open_whole(where.folder, models(where.url)) as (_, client):
        assert (await client.post("/tasks", json=body)).status_code == 400
        for inputs in ({"prompt": "x", "branch": "b"}, {"prompt": "x", "tests": []}):
            run = {"kind": "coding", "inputs": inputs}
            assert (await client.post("/runs", json=run)).status_code == 400


async def test_without_a_model_the_daemon_starts_and_refuses_what_needs_one(
    where: Place,
) -> None:
    """APP-03, D-18"""
    async with open_whole(where.folder, Models()) as (_, client):
        assert (await client.get("/health")).status_code == 200
        answer = await client.post("/tasks", json={"prompt": "Write slugs."})
    assert answer.status_code == 400
    assert "set provider, url and chain under [models]" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("configured", "why"),
    [
        (models("http://127.0.0.1:1"), "http://127.0.0.1:1"),
        (models("ftp://x"), "is not an http or https address"),
        (Models(provider="ollama"), "models.chain: name the models"),
    ],
)
async def test_a_configured_model_that_is_not_there_keeps_the_daemon_from_starting(
    where: Place, free_port: int, configured: Models, why: str
) -> None:
    """APP-02: one sentence, and nothing listens nor is anything recorded."""
    with pytest.raises(StartRefused, match=why.replace(".", r"\.")) as refused:
        async with open_whole(where.folder, configured, port=free_port):
            raise AssertionError("it started")
    assert "\n" not in str(refused.value)
    with pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream("127.0.0.1", free_port)
    assert not list(where.folder.glob("*.db"))


async def test_a_model_the_server_does_not_have_keeps_the_daemon_from_starting(
    where: Place,
) -> None:
    """APP-02"""
    with pytest.raises(StartRefused, match="ollama pull ghost:1b"):
        async with open_whole(where.folder, models(where.url, "ghost:1b")):
            raise AssertionError("it started")


@pytest.mark.processes
async def test_a_model_that_goes_away_makes_the_daemon_unwell(tmp_path: Path) -> None:
    """API-06, ER-01: 503 with the address, and the run that needs it fails with it too."""
    with ExitStack() as server:
        own = server.enter_context(start_model_server())
        async with open_whole(tmp_path, models(own.url)) as (_, client):
            before = await client.get("/health")
            server.close()
            with trio.fail_after(20):
                while (after := await client.get("/health")).status_code == 200:  # noqa: ASYNC110
                    await trio.sleep(0.1)
    assert before.json()["models"] == {"mistral:7b": "answers"}
    assert after.status_code == 503
    assert after.json()["models"] == {"mistral:7b": "does not answer"}
    assert own.url in after.json()["reasons"][0]
