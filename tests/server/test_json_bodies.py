"""What surfaces send of a run is what the OpenAPI document names, on every one of them."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import trio
import trio.testing

from fakes.cores import Nothing, kind, open_fake_core, request, wait_ended
from penstock.pipeline import Inputs, Kind, ProcessFailed, Run
from penstock.runs.core import Core
from penstock.server.judge import ScopeJudge
from penstock.server.mcp.calls import Caller, tool_calls
from penstock.server.mcp.resources import read_resource
from penstock.server.mcp.tasks import RunTasks
from penstock.server.mcp.tools import TOOLS
from penstock.server.openapi import describe
from penstock.server.rest.daemon import schedule_handlers
from penstock.server.rest.run_routes import look_handlers, run_handlers, task_handlers
from penstock.server.routes import ROUTES, Call
from penstock.server.shutdown import Shutdown

Clock = trio.testing.MockClock
BASE = "http://127.0.0.1:9876"


class Prompt(Inputs):
    """What a coding task is asked."""

    prompt: str
    answers: tuple[str, ...] = ()


async def work(run: Run, _inputs: Any) -> Nothing:
    """A run of which there is something to tell."""
    await run.exec(["program", "2"])
    await run.ask("colour", "Which?", ["red"], default="red", expires=1)
    async with run.artifact("text") as artifact:
        await artifact.write("some")
    return Nothing()


WORK = kind("work", work, on_restart="ask")
CODING = Kind("coding", "Codes", Prompt, Nothing, work)


@cache
def schemas_of(*kinds: Kind) -> dict[str, Any]:
    """What the OpenAPI document says of these kinds; to describe them takes a while."""
    described: dict[str, Any] = describe("1", kinds)["components"]["schemas"]
    return described


#: What is sent to those alone who asked for it, or where there is something to say.
SOMETIMES = {"SubmitReply": {"live"}, "ScheduleReply": {"nowhere"}}


def check(core: Core, schema: str, sent: dict[str, Any]) -> None:
    """What is sent has every field that is named, and no other, and each is of its kind."""
    schemas = schemas_of(*core.kinds.values())
    named = set(schemas[schema]["properties"])
    assert named - SOMETIMES.get(schema, set()) <= set(sent) <= named, schema
    whole = {
        "$ref": f"#/components/schemas/{schema}",
        "components": {"schemas": schemas},
    }
    jsonschema.Draft202012Validator(whole).validate(sent)


async def ask(core: Core, name: str, body: Any = None, **fields: Any) -> Any:
    """What REST answers to a call of the route of this name."""
    route = next(route for route in ROUTES if route.name == name)
    query = {query.name: query.default for query in route.queries}
    query |= fields.pop("query", {})
    call = Call(route, fields, query, {}, json.dumps(body or {}).encode(), BASE)
    handlers = (
        run_handlers(core, ScopeJudge(core)) | look_handlers(core) | task_handlers(core)
    )
    handlers |= schedule_handlers(core)
    handler: Any = handlers[name]
    return json.loads((await handler(call)).body)


async def use(core: Core, tool: str, **arguments: Any) -> dict[str, Any]:
    """What an agent gets of a tool."""

    async def quiet(_number: int, _text: str) -> None:
        await trio.lowlevel.checkpoint()

    taken = TOOLS[tool].takes.model_validate(arguments)
    return await tool_calls(core, Shutdown())[tool](taken, Caller(BASE, quiet))


async def end_as(run: Run, inputs: Any) -> Nothing:
    """Ends as the inputs say, after a program that leaves processes behind."""
    await run.exec(["leaves", "2"])
    if inputs.seconds == 1:
        await trio.sleep_forever()
    if inputs.seconds > 1:
        raise ProcessFailed("exit status 5", exit_code=5, signal=None)
    return Nothing()


@pytest.mark.parametrize(
    ("seconds", "limit", "expected"),
    [
        (0, None, (0, "penstock")),
        (1, 3.0, (124, "penstock")),
        (2, None, (5, "program")),
    ],
)
async def test_every_surface_says_which_exit_code_an_end_is(
    seconds: float,
    limit: float | None,
    expected: tuple[int, str],
    autojump_clock: Clock,
) -> None:
    """PT-01: null while it is open; lists, replies and agents say the same."""
    async with open_fake_core(kind("ends", end_as)) as core:
        body = {"kind": "ends", "inputs": {"seconds": seconds}, "timeout": limit}
        await ask(core, "submit", {**body, "run_id": "r"})
        open_ = await ask(core, "get_run", run_id="r")
        assert (open_["exit_code"], open_["exit_from"]) == (None, None)
        await wait_ended(core, "r")
        [listed] = (await ask(core, "list_runs"))["runs"]
        got = await ask(core, "get_run", run_id="r")
        for told in (listed, got, await use(core, "wait_run", run_id="r", seconds=0)):
            assert (told["exit_code"], told["exit_from"]) == expected


async def test_a_submit_says_whether_the_run_was_there_before(
    autojump_clock: Clock,
) -> None:
    """PT-07"""
    async with open_fake_core(WORK) as core:
        first = await ask(core, "submit", {"kind": "work", "run_id": "r"})
        await trio.sleep(60)
        again = await ask(core, "submit", {"kind": "work", "run_id": "r"})
        by_agent = await use(core, "start_run", kind="work", run_id="r")
        assert [told["created"] for told in (first, again, by_agent)] == [
            True,
            False,
            False,
        ]
        assert first["created_at"] == again["created_at"] == by_agent["created_at"]


async def test_a_schedule_is_sent_with_every_field(autojump_clock: Clock) -> None:
    """DU-05 API-03: before its first run and after it, alone and among all."""
    async with open_fake_core(WORK) as core:
        run = {"kind": "work", "inputs": {}}
        made = {"name": "s", "timing": "60s", "run": run}
        check(core, "ScheduleReply", await ask(core, "set_schedule", made))
        await trio.sleep(90)
        told = await ask(core, "list_schedules")
        check(core, "SchedulesReply", told)
        check(core, "ScheduleReply", told["schedules"][0])
        assert told["schedules"][0]["last_run"] is not None


@pytest.mark.parametrize("ended", [False, True])
async def test_every_surface_sends_every_field_of_a_run(
    ended: bool, autojump_clock: Clock
) -> None:
    """API-03 MCP-02: of an open run from memory, of an ended one from the log."""
    async with open_fake_core(WORK, CODING) as core:
        sent = await ask(core, "submit", {"kind": "work", "run_id": "r"})
        check(core, "SubmitReply", sent)
        task = await ask(core, "create_task", {"prompt": "a todo app"})
        check(core, "TaskReply", task)
        started = await use(core, "start_coding_task", prompt="a todo app")
        check(core, "TaskReply", started)
        await trio.sleep(1)
        if ended:
            await wait_ended(core, "r", task["task_id"], started["task_id"])
        page = await ask(core, "list_runs")
        listed = (await use(core, "list_runs"))["runs"]
        assert len(listed) == len(page["runs"]) == 3
        for row in (*page["runs"], *listed):
            check(core, "RunSummary", row)
        got = await ask(core, "get_run", run_id="r")
        waited = await use(core, "wait_run", run_id="r", seconds=0)
        _, resource = await read_resource(core, "run://r")
        for run in (got, waited, await use(core, "get_run", run_id="r")):
            check(core, "RunReply", run)
            assert run == json.loads(resource)
        told = await ask(core, "get_task", run_id=task["task_id"])
        seen = await use(core, "get_task_status", task_id=task["task_id"])
        look = await RunTasks(core, BASE).look(task["task_id"])
        for same in (
            told,
            seen,
            *([json.loads(look.result["content"][0]["text"])] if look.result else ()),
        ):
            check(core, "TaskReply", same)
            assert same == told
        assert (look.result is not None) == ended
        # Lists and single runs say the same of the same thing.
        summary = next(row for row in listed if row["run_id"] == "r")
        assert summary.items() <= got.items()


async def test_what_no_event_tells_is_told_at_every_time_of_a_run(
    autojump_clock: Clock,
) -> None:
    """API-03: what a restart does to it, and what it has used, in memory and in the store."""
    async with open_fake_core(WORK, max_concurrent=1) as core:
        await core.submitter.submit(request("work", "r", priority="LOW"))
        await trio.sleep(1)
        assert (await core.reader.reply("r")).on_restart == "ask"
        core.table.executions["r"].preempt("a test")
        await core.submitter.submit(request("sleep", "s", seconds=60, priority="HIGH"))
        await trio.sleep(1)
        between = await core.reader.reply("r")
        row = await core.store.run("r")
        assert row is not None
        assert between.state == "preempted"
        assert between.used_seconds == row.used_seconds > 0.9
        await wait_ended(core, "r")
        done, row = await core.reader.reply("r"), await core.store.run("r")
        assert row is not None
        assert done.used_seconds == row.used_seconds > between.used_seconds
        assert core.table.terms == {}


@pytest.mark.processes
def test_what_only_describes_the_interface_costs_no_start() -> None:
    """Models of replies that nobody reads here are made for who asks for a description."""
    code = "import sys, penstock.server.app; print('penstock.words.daemon_replies' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "False\n"
