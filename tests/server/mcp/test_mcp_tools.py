"""The tools, called by the SDK's own client: both eras, both event loops, a daemon of its own."""

from __future__ import annotations

from typing import Any, Literal

import anyio
import anyio.lowlevel
import jsonschema  # type: ignore[import-untyped]
import pytest
from mcp.shared.exceptions import MCPError
from mcp.types import ElicitResult

from fakes.agents import (
    DEADLINE,
    Agents,
    agent_marks,
    call,
    every_era,
    every_loop,
    refusal,
    run,
    start,
    told_by,
)
from penstock.kinds.registry import load_kinds
from penstock.server.mcp.kind_tools import kind_tools
from penstock.server.mcp.tools import TOOLS, listed_tools

pytestmark = agent_marks

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NAMES = [
    "start_run", "wait_run", "get_run", "read_output", "list_runs", "cancel_run", "retry_run", "answer",
    "read_events", "list_pipelines", "queue_status", "change_queue", "start_coding_task", "get_task_status",
]  # fmt: skip
#: One for each kind, but that of coding tasks.
OF_KINDS = ["run_command", "run_dead_code", "run_interview", "run_llms_txt", "run_loop"]


def test_start_run_takes_any_object_and_says_which_kinds_there_are() -> None:
    """MCP-01"""
    kinds = load_kinds()
    [schema] = [
        t.input_schema for t in listed_tools(kinds.values()) if t.name == "start_run"
    ]
    assert schema["properties"]["kind"]["enum"] == sorted(kinds)
    jsonschema.validate({"kind": "command", "inputs": {"argv": ["true"]}}, schema)
    assert set(schema["properties"]["inputs"]) == {"type", "description"}


def test_every_installed_kind_can_be_started_by_a_flat_tool() -> None:
    """MCP-01: but coding tasks, which have a tool of their own, and agents, whose inputs have no room."""
    kinds = load_kinds()
    flat = {tool.kind.name for tool in kind_tools(kinds.values())}
    assert flat == set(kinds) - {"coding", "agent"}


@every_loop
@every_era
def test_every_tool_does_its_work(agents: Agents, era: str, loop: str) -> None:
    """MCP-01, MCP-02"""

    async def scenario() -> None:
        async with agents.client(era) as client:
            listed = [tool.name for tool in (await client.list_tools()).tools]
            assert listed == OF_KINDS + NAMES
            assert list(TOOLS) == NAMES
            assert client.server_info is not None
            assert client.server_info.name == "penstock"
            run_id = await start(client, "echo", "hello")
            done = await call(client, "wait_run", run_id=run_id)
            assert (done["state"], done["result"]["exit_code"]) == ("completed", 0)
            again = await call(client, "retry_run", run_id=run_id)
            assert again["run_id"] != run_id
            receipt = await call(client, "cancel_run", run_id=run_id, reason="late")
            assert receipt["outcome"] == "already_terminal"
            page = await call(client, "read_events", run_id=run_id, limit=2)
            assert [e["sequence"] for e in page["events"]] == [1, 2]
            assert page["more"]
            rest = await call(client, "read_events", run_id=run_id, after=page["next"])
            assert rest["events"][0]["sequence"] == 3
            assert not rest["more"]
            ahead = await call(client, "read_events", run_id=run_id, after=10**6)
            assert (ahead["events"], ahead["gap"]["put_back"]) == ([], True)
            place = {"after": page["next"], "after_id": page["events"][0]["event_id"]}
            other = await call(client, "read_events", run_id=run_id, **place)
            assert other["gap"]["put_back"]
            assert other["events"][0]["position"] == page["next"]
            printed = await call(client, "read_output", run_id=run_id, tail=1)
            assert printed["text"].count("\n") == printed["lines"] == 1
            since = await call(
                client, "read_output", run_id=run_id, after=printed["next"]
            )
            assert (since["lines"], since["earlier"]) == (0, False)
            assert "text" not in since
            every = await call(client, "read_events", limit=3)
            assert [e["position"] for e in every["events"]] == [1, 2, 3]
            listed = await call(client, "list_runs", q="kind:command", limit=2)
            assert [row["run_id"] for row in listed["runs"]] == [
                again["run_id"],
                run_id,
            ]
            kinds = await call(client, "list_pipelines")
            assert "interview" in {kind["name"] for kind in kinds["pipelines"]}
            assert (await call(client, "queue_status"))["slots"] == 5
            moved = await call(client, "retry_run", run_id=run_id, needs={"gpu": "1"})
            shown = await call(client, "get_run", run_id=moved["run_id"])
            assert shown["needs"] == {"gpu": "1"}
            assert shown["why"] == "It asks for gpu=1, which this box has not."
            waited = await call(client, "wait_run", run_id=moved["run_id"], seconds=0.1)
            assert (waited["state"], waited["why"]) == ("queued", shown["why"])
            assert "why" not in done

    run(scenario, loop)


@every_era
def test_an_agent_changes_who_executes_when(agents: Agents, era: str) -> None:
    """MCP-01, DU-05: the queue, its groups and slots, runs in line, and one program."""

    async def scenario() -> None:
        async with agents.client(era) as client:

            async def change(action: str, **others: str) -> dict[str, Any]:
                told: dict[str, Any] = await call(
                    client, "change_queue", action=action, **others
                )
                return told

            assert (await change("slots", value="1"))["slots"] == 1
            told = await change("slots", group="disk", value="3")
            assert told["groups"]["disk"]["slots"] == 3
            why = await refusal(
                client, "change_queue", {"action": "slots", "value": "x"}
            )
            assert "slots" in why
            assert (await change("pause", value="lunch"))["paused"] == [
                {"group": None, "reason": "lunch"}
            ]
            wanted = {"kind": "command", "inputs": {"argv": ["sleep", "60"]}}
            runs = [await call(client, "start_run", **wanted) for _ in range(3)]
            first, second, third = [one["run_id"] for one in runs]
            assert (await change("stash", run_id=first))["stashed"]
            assert not (await change("enqueue", run_id=first))["stashed"]
            told = await change("priority", run_id=second, value="high")
            assert told["priority"] == "HIGH"
            assert (await change("first", run_id=third))["turn"] is not None
            given = {"action": "priority", "run_id": second, "value": "urgent"}
            assert "priority" in await refusal(client, "change_queue", given)
            given = {"action": "last"}
            assert "run_id" in await refusal(client, "change_queue", given)
            assert not (await change("resume")).get("paused")
            await change("slots")
            with anyio.fail_after(DEADLINE):
                while True:
                    # It, and then its program, is about to begin.
                    given = {"action": "pause", "run_id": second}
                    paused = await client.call_tool("change_queue", given)
                    if not paused.is_error:
                        break
                    await anyio.sleep(0.05)
            assert (await call(client, "get_run", run_id=second))["state"] == "paused"
            assert (await change("resume", run_id=second))["state"] == "running"
            for run_id in (first, second, third):
                await call(client, "cancel_run", run_id=run_id)

    run(scenario)


@every_era
def test_an_agent_makes_a_schedule_and_removes_it(agents: Agents, era: str) -> None:
    """MCP-01, DU-04"""

    async def scenario() -> None:
        async with agents.client(era) as client:
            wanted = {"kind": "command", "inputs": {"argv": ["true"]}, "every": "1d"}
            why = await refusal(client, "start_run", wanted)
            assert "run_id" in why
            told = await call(client, "start_run", run_id="nightly", **wanted)
            assert (told["name"], told["timing"]) == ("nightly", "1d")
            assert "run_id" not in told
            [row] = (await call(client, "queue_status"))["schedules"]
            assert row["inputs"]["argv"] == ["true"]
            bad = {**wanted, "run_id": "other", "every": "now and then"}
            assert "timing" in await refusal(client, "start_run", bad)
            left = await call(
                client, "change_queue", action="unschedule", value="nightly"
            )
            assert not left.get("schedules")

    run(scenario)


@every_era
def test_a_question_is_answered_by_an_agent(agents: Agents, era: str) -> None:
    """MCP-01"""

    async def scenario() -> None:
        async with agents.client(era) as client:
            inputs = {"question": "Which?", "choices": ["red", "blue"]}
            told = await call(client, "start_run", kind="interview", inputs=inputs)
            run_id = told["run_id"]
            asking = await call(client, "wait_run", run_id=run_id)
            assert not asking["ended_at"]
            patient = {"run_id": run_id, "seconds": 0.2, "until": "ended"}
            told = await call(client, "wait_run", **patient)
            assert told["state"] in {"running", "waiting"}
            [ask] = asking["asks"]
            assert (ask["question"], ask["answer"]) == ("Which?", None)
            named = {"run_id": run_id, "name": "which"}
            why = await refusal(client, "answer", {**named, "answer": "red\0"})
            assert why == "answer: must not contain NUL"
            why = await refusal(client, "answer", {**named, "answer": "green"})
            assert why == "answer: must be one of red, blue"
            await call(client, "answer", **named, answer="blue")
            done = await call(client, "wait_run", run_id=run_id)
            assert done["result"] == {"answer": "blue"}
            assert done["asks"][0]["answered_by"] == "mcp"
            why = await refusal(client, "answer", {**named, "answer": "red"})
            assert "answered already" in why or "ended" in why

    run(scenario)


@every_era
@pytest.mark.parametrize("action", ["accept", "decline"])
def test_a_client_that_can_ask_its_user_is_asked_by_a_wait(
    agents: Agents, era: str, action: Literal["accept", "decline"]
) -> None:
    """MCP-01: a question that is declined stays open, for somebody else."""
    asked: list[str] = []

    async def ask(_context: Any, params: Any) -> ElicitResult:
        await anyio.lowlevel.checkpoint()
        asked.append(params.message)
        content: Any = {"answer": "blue"} if action == "accept" else None
        return ElicitResult(action=action, content=content)

    async def scenario() -> None:
        async with agents.client(era, elicitation_callback=ask) as client:
            inputs = {"question": "Which?", "choices": ["red", "blue"]}
            told = await call(client, "run_interview", **inputs)
            seen = await call(client, "wait_run", run_id=told["run_id"])
            assert asked == ["Which?"]
            if action == "accept":
                assert seen["result"] == {"answer": "blue"}
                assert seen["asks"][0]["answered_by"] == "mcp"
            else:
                assert seen["asks"][0]["answer"] is None
            still = {"run_id": told["run_id"], "until": "ended", "seconds": 0.2}
            await call(client, "wait_run", **still)
            assert asked == ["Which?"]
            await call(client, "cancel_run", run_id=told["run_id"])

    run(scenario)


@every_era
def test_a_question_is_put_with_what_it_is_about(agents: Agents, era: str) -> None:
    """MCP-01: the command, the files and the diff; as text that no terminal obeys, and as values for a model."""
    asked: list[str] = []
    diff = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new\x1b[2J\u202e\n"
    details = {"tool": "edit", "command": "rm x", "paths": ["x"], "diff": diff}

    async def ask(_context: Any, params: Any) -> ElicitResult:
        await anyio.lowlevel.checkpoint()
        asked.append(params.message)
        return ElicitResult(action="accept", content={"answer": "deny"})

    async def scenario() -> None:
        inputs = {"question": "May it?", "choices": ["allow", "deny"], "details": details}  # fmt: skip
        async with agents.client(era) as client:
            told = await call(client, "run_interview", **inputs)
            run_id = told["run_id"]
            seen = await call(client, "wait_run", run_id=run_id, until="asks")
            assert seen["asks"][0]["details"] == details
        async with agents.client(era, elicitation_callback=ask) as client:
            seen = await call(client, "wait_run", run_id=run_id)
            assert seen["result"] == {"answer": "deny"}
            assert seen["asks"][0]["details"] == {}
        [message] = asked
        lines = message.split("\n")
        assert lines[:5] == ["May it?", "", "tool: edit", "command: rm x", "file: x"]
        assert lines[5:] == [
            "--- a/x", "+++ b/x", "@@ -1 +1 @@", "-old", "+new\u241b[2J\ufffd", "",
        ]  # fmt: skip

    run(scenario)


@every_era
def test_tools_say_what_rest_says(agents: Agents, era: str) -> None:
    """MCP-02, MCP-04, APP-08"""

    async def scenario() -> None:
        async with agents.client(era) as client:
            mine = await call(
                client, "start_run", kind="command", inputs={"argv": ["true"]}
            )
            run_id = mine["run_id"]
            body = {"kind": "command", "inputs": {"argv": ["true"]}, "run_id": run_id}
            await call(client, "wait_run", run_id=run_id)
            theirs = await agents.rest("POST", "/runs", body)
            assert mine.keys() == theirs.keys()
            assert mine["websocket_url"] == theirs["websocket_url"]
            assert await call(client, "get_run", run_id=run_id) == await agents.rest(
                "GET", f"/runs/{run_id}"
            )
            assert await call(
                client, "get_task_status", task_id=run_id
            ) == await agents.rest("GET", f"/tasks/{run_id}")
            page = await agents.rest("GET", f"/runs/{run_id}/events?after=0&limit=100")
            assert await call(client, "read_events", run_id=run_id) == page
            kinds = await agents.rest("GET", "/pipelines")
            assert await call(client, "list_pipelines") == kinds

    run(scenario)


@every_loop
@every_era
def test_a_waiting_caller_hears_of_progress(
    agents: Agents, era: str, loop: str
) -> None:
    """MCP-03"""

    async def scenario() -> None:
        heard: list[tuple[float, str | None]] = []

        async def hear(
            progress: float, total: float | None, message: str | None
        ) -> None:
            await anyio.lowlevel.checkpoint()
            assert total is None
            heard.append((progress, message))
            if message == "completed":
                the_end.set()

        the_end = anyio.Event()
        async with agents.client(era) as client:
            run_id = await start(client, "sh", "-c", "sleep 1; echo one; sleep 1")
            await client.call_tool(
                "wait_run", {"run_id": run_id}, progress_callback=hear
            )
            # The client hears notices in a task of its own, maybe after the answer.
            with anyio.fail_after(60):
                await the_end.wait()
            assert len(heard) > 1
            numbers = [number for number, _ in heard]
            assert numbers == sorted(set(numbers))

    run(scenario, loop)


@every_era
def test_a_wait_ends_when_its_seconds_are_over(agents: Agents, era: str) -> None:
    """MCP-02"""

    async def scenario() -> None:
        async with agents.client(era) as client:
            run_id = await start(client, "sleep", "60")
            told = await call(client, "wait_run", run_id=run_id, seconds=0.2)
            assert told["state"] in {"queued", "running"}
            why = await refusal(client, "wait_run", {"run_id": run_id, "seconds": 46})
            assert "45" in why
            receipt = await call(client, "cancel_run", run_id=run_id)
            assert receipt["outcome"] == "cancelled"
            assert receipt["gone_at"]
            assert receipt["survivors"] == []

    run(scenario)


@every_loop
@every_era
def test_a_caller_that_stops_waiting_cancels_nothing(
    agents: Agents, era: str, loop: str
) -> None:
    """MCP-06"""

    async def scenario() -> None:
        async with agents.client(era) as client:
            run_id = await start(client, "sh", "-c", "sleep 2; echo done")
            with anyio.move_on_after(0.5) as waited:
                await client.call_tool("wait_run", {"run_id": run_id})
            assert waited.cancelled_caught
        async with agents.client(era) as client:
            done = await call(client, "wait_run", run_id=run_id)
            assert done["state"] == "completed"

    run(scenario, loop)


@every_era
def test_what_cannot_be_done_is_an_error_that_says_so(agents: Agents, era: str) -> None:
    """MCP-06"""

    async def scenario() -> None:
        async with agents.client(era) as client:
            with pytest.raises(MCPError, match="there is no tool 'nonsense'"):
                await client.call_tool("nonsense", {})
            cases: list[tuple[str, dict[str, Any], str]] = [
                ("get_run", {"run_id": "nobody"}, "there is no run 'nobody'"),
                ("wait_run", {"run_id": "nobody"}, "there is no run 'nobody'"),
                ("retry_run", {"run_id": "nobody"}, "there is no run 'nobody'"),
                ("read_events", {"run_id": "nobody"}, "there is no run 'nobody'"),
                ("get_run", {}, "run_id: Field required"),
                ("get_run", {"run_id": "x", "more": 1}, "more: unknown field"),
                ("start_run", {"kind": "nix", "inputs": {}}, "'nix' is not installed"),
                ("start_run", {"kind": "command", "inputs": {}}, "argv or shell"),
                ("start_coding_task", {"prompt": " "}, "blank"),
                ("list_runs", {"q": "state:odd"}, "odd"),
                ("read_events", {"after": 2**63}, "after"),
                ("list_runs", {"before": -1}, "before"),
            ]
            for tool, arguments, sentence in cases:
                assert sentence in await refusal(client, tool, arguments), tool

    run(scenario)


@every_era
def test_a_run_is_in_the_trace_of_the_call_that_started_it(
    agents: Agents, era: str
) -> None:
    """HO-05: `_meta` says it, beside the arguments; what is no traceparent is overlooked."""
    argv = {"argv": ["sh", "-c", "echo =$TRACEPARENT"]}
    by_kind = {"kind": "command", "inputs": argv}
    other = GIVEN.replace("b7ad", "aaaa")

    async def scenario() -> None:
        async with agents.client(era) as client:
            for tool, arguments, said, kept in (
                ("start_run", by_kind, GIVEN, GIVEN),
                ("run_command", argv, other, other),
                ("start_run", by_kind, "of mine", ""),
                ("start_run", by_kind, 7, ""),
            ):
                meta: Any = {"traceparent": said}
                started = await client.call_tool(tool, arguments, meta=meta)
                assert not started.is_error, started.content
                run_id = told_by(started)["run_id"]
                await call(client, "wait_run", run_id=run_id, until="ended")
                printed = await call(client, "read_output", run_id=run_id)
                assert printed["text"] == f"={kept}\n"
            # The caller of the ended run is not who has it run again.
            meta = {"traceparent": GIVEN}
            again = await client.call_tool("retry_run", {"run_id": run_id}, meta=meta)
            run_id = told_by(again)["run_id"]
            await call(client, "wait_run", run_id=run_id, until="ended")
            printed = await call(client, "read_output", run_id=run_id)
            assert printed["text"] == f"={GIVEN}\n"

    run(scenario)


@every_era
def test_calls_are_counted_by_tool_and_outcome(agents: Agents, era: str) -> None:
    """HO-05: what there is not has one name, so that nobody makes names without end."""

    async def scenario() -> None:
        before = await agents.metrics()
        async with agents.client(era) as client:
            await call(client, "queue_status")
            await refusal(client, "get_run", {"run_id": "nobody"})
            with pytest.raises(MCPError):
                await client.call_tool("made-up-by-me", {})
        after = await agents.metrics()
        assert "made-up-by-me" not in after
        for tool, outcome in (
            ("queue_status", "answered"),
            ("get_run", "failed"),
            ("unknown", "refused"),
        ):
            name = f'penstock_mcp_calls_total{{outcome="{outcome}",tool="{tool}"}} '
            counts = [
                float(line.removeprefix(name))
                for text in (before, after)
                for line in text.splitlines()
                if line.startswith(name)
            ]
            assert sum(counts[-1:]) - sum(counts[:-1]) == 1

    run(scenario, "trio")
