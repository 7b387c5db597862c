"""OD-01, OD-05, DS-05, CX-11: a loop whose decisions a model makes, over real HTTP."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import trio

from fakes.cores import FakeProcesses, request, wait_ended
from fakes.model_cores import open_model_core
from fakes.model_server import ModelServer
from fakes.stores import inline_store
from fakes.texts import common_beginning
from penstock.kinds.command import KIND as COMMAND
from penstock.kinds.loop.pipeline import KIND as LOOP
from penstock.kinds.loop.pipeline import OBSERVED_CHARACTERS
from penstock.llm.prompts import BY_TYPE
from penstock.log.projections import RunView
from penstock.runs.core import Core
from penstock.words.config import Budget
from penstock.words.events import ProcessExited, RunFailed, StepFailed


class Thermometer(FakeProcesses):
    """A program that prints much, and what counts at the end."""

    async def __call__(self, program: Any, **others: Any) -> ProcessExited:
        await others["on_output"]("stdout", b"noise\n" * 5000 + b"it is cold\n")
        return await super().__call__(program, **others)


def choice(kind: str, inputs: str, **more: Any) -> dict[str, Any]:
    """An answer that goes on with this run."""
    fields = {"reason": "not yet", "done": "False", "kind": kind, "inputs": inputs}
    return {"fields": fields, "times": 1, **more}


DONE = {"fields": {"reason": "it is warm", "done": "True", "kind": "none", "inputs": "{}"}}  # fmt: skip


async def take(core: Core, **inputs: Any) -> RunView:
    """A loop `r` to its end."""
    with trio.fail_after(60):
        await core.submitter.submit(request("loop", "r", goal="it is warm", **inputs))
        await wait_ended(core, "r")
    return await core.reader.view("r")


def texts(model_server: ModelServer) -> list[str]:
    return [
        "\n".join(message["content"] for message in seen["messages"])
        for seen in model_server.log()
    ]


async def test_the_model_chooses_each_turn_until_it_is_content(
    model_server: ModelServer,
) -> None:
    """OD-01: kind and inputs of the child are its choice."""
    model_server.script(
        choice("sleep", '{"seconds": 0.01}'), choice("sleep", "{}"), DONE
    )
    async with open_model_core(model_server.url, LOOP) as core:
        view = await take(core, kinds=["sleep"])
        first = await core.reader.view("r.turn-1")
    assert view.result == {"turns": 2, "reached": "goal", "reason": "it is warm"}
    assert first.inputs == {"seconds": 0.01, "fail": False}
    assert view.steps["decide 1"]["reason"] == "not yet"


async def test_the_model_sees_the_goal_the_layers_and_what_was_observed(
    model_server: ModelServer,
) -> None:
    """CX-11: system prompt, state, earlier events, then the question; the end of an output only."""
    model_server.script(choice("sleep", "{}"), DONE)
    async with open_model_core(model_server.url, LOOP, processes=Thermometer()) as core:
        await take(core, kinds=["sleep"], observe="thermometer")
    first, second = texts(model_server)
    words = [
        BY_TYPE["step.completed"],
        "Goal:\nit is warm",
        "State of the run",
        "Earlier events",
        "Observation:",
        "it is cold\n",
    ]
    places = [second.rindex(word) for word in words]
    assert places == sorted(places)
    assert 'step.completed {"name":"act 1","result":{"state":"completed"' in second
    assert "r.turn-1" not in second
    assert '"seconds"' in first
    assert first.count("noise") <= OBSERVED_CHARACTERS / 6 + 1


async def test_successive_prompts_begin_alike(model_server: ModelServer) -> None:
    """CX-11: what does not change stands first, so that a server reads it once; no ids, no nulls."""
    model_server.script(choice("sleep", "{}"), choice("sleep", "{}"), DONE)
    async with open_model_core(model_server.url, LOOP, processes=Thermometer()) as core:
        await take(core, kinds=["sleep"], observe="thermometer")
    prompts = texts(model_server)
    assert len(prompts) == 3
    for before, after in pairwise(prompts):
        alike = common_beginning(before, after)
        assert "Goal:\nit is warm" in alike
        assert "Kinds:\nsleep" in alike
    for noise in ("null", "boot_id", "pid", "_id", "process."):
        assert noise not in prompts[-1].partition("State of the run")[2]


async def test_the_model_sees_what_the_last_turn_printed(
    model_server: ModelServer,
) -> None:
    """OD-01: or it could not judge what its own choice did."""
    model_server.script(choice("command", '{"shell": "thermometer"}'), DONE)
    async with open_model_core(
        model_server.url, LOOP, COMMAND, processes=Thermometer()
    ) as core:
        await take(core, kinds=["command"])
    first, second = texts(model_server)
    assert "The last turn printed" not in first
    told = second[second.rindex("The last turn printed") :]
    assert "it is cold" in told
    assert 100 < told.count("noise") <= OBSERVED_CHARACTERS / 6 + 1


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (choice("command", "{}"), "kind: must be one of sleep"),
        (choice("sleep", '{"hours": 1}'), "inputs.hours"),
        (choice("sleep", "soon"), "inputs"),
    ],
    ids=["another kind", "unknown input", "no JSON"],
)
async def test_a_run_that_cannot_start_is_chosen_again(
    model_server: ModelServer, bad: dict[str, Any], why: str
) -> None:
    """DS-05: the model is told what is wrong with its choice; nothing was started."""
    model_server.script(bad, DONE)
    async with open_model_core(model_server.url, LOOP) as core:
        view = await take(core, kinds=["sleep"])
    assert view.result["turns"] == 0
    assert why in texts(model_server)[1]


async def test_a_decision_that_stays_malformed_fails_the_loop(
    model_server: ModelServer,
) -> None:
    """OD-05: after three attempts; the step and the field are named."""
    model_server.script({"fields": {"reason": "hm", "done": "perhaps"}})
    async with open_model_core(model_server.url, LOOP) as core:
        view = await take(core, act={"kind": "sleep"})
        events = [fact.event for fact in await core.store.read("r")]
    assert len(model_server.log()) == 3
    (failed,) = [event for event in events if isinstance(event, StepFailed)]
    assert failed.name == "decide 1"
    assert isinstance(events[-1], RunFailed)
    assert str(view.error).startswith("decide 1: done: ")


async def test_a_budget_ends_the_loop_before_the_next_request(
    model_server: ModelServer,
) -> None:
    """OD-05: the hard line of the configuration."""
    answer = {"fields": {"reason": "cold", "done": "False"}, "usage": 300}
    model_server.script(answer)
    budget = Budget(tokens=500, soft=1.0)
    async with open_model_core(model_server.url, LOOP, tree_budget=budget) as core:
        view = await take(core, act={"kind": "sleep"})
    assert str(view.error).startswith("decide 3: no further request to a model")
    assert len(model_server.log()) == 2


async def test_a_command_may_end_what_a_model_steers(
    model_server: ModelServer,
) -> None:
    """OD-01: a rule beats the model's opinion, and costs no request."""
    async with open_model_core(model_server.url, LOOP, processes=Thermometer()) as core:
        view = await take(core, until="true", act={"kind": "sleep"})
    assert view.result["reached"] == "until"
    assert model_server.log() == []


async def test_a_decision_is_not_paid_twice(model_server: ModelServer) -> None:
    """OD-05: stopped while its turn runs, and resumed."""
    model_server.script(choice("sleep", '{"seconds": 0.5}'), DONE)
    async with inline_store() as store:
        async with open_model_core(model_server.url, LOOP, store=store) as core:
            await core.submitter.submit(
                request("loop", "r", goal="it is warm", kinds=["sleep"])
            )
            with trio.fail_after(60):
                while not core.reader.is_open("r.turn-1"):
                    await core.bus.wait_published("r")
        async with open_model_core(
            model_server.url, LOOP, store=store, life="life-2"
        ) as core:
            with trio.fail_after(60):
                await wait_ended(core, "r")
            view = await core.reader.view("r")
    assert view.result["turns"] == 1
    assert len(model_server.log()) == 2
