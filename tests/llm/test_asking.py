"""How models are asked: schemas in the words of each server, bounds, and another try that is another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import dspy  # type: ignore[import-untyped]
import pytest
import trio
import trio.lowlevel

from fakes.model_server import ModelServer
from penstock.llm.budget import Spending
from penstock.llm.models import open_models
from penstock.llm.run_models import RunModels
from penstock.words.config import Budget, Models
from penstock.words.errors import (
    MalformedAnswer,
    ModelFailed,
    ModelTruncated,
    StartRefused,
)

TASK = {"task": "a tool"}


class Plan(dspy.Signature):  # type: ignore[misc]
    """You plan."""

    task: str = dspy.InputField()
    modules: list[str] = dspy.OutputField(desc="their names", examples=[["a"]])


class Repair(dspy.Signature):  # type: ignore[misc]
    """You repair."""

    task: str = dspy.InputField()
    code: str = dspy.OutputField(desc="the file", examples=["def shown(): ..."])
    tests: str = dspy.OutputField(desc="its tests, if they are wrong", default="same")


class Code(dspy.Signature):  # type: ignore[misc]
    """You write."""

    task: str = dspy.InputField()
    code: str = dspy.OutputField(desc="the file")
    tests: str = dspy.OutputField(desc="its tests")


@asynccontextmanager
async def open_asking(
    server: ModelServer, provider: str = "openai", **more: Any
) -> AsyncIterator[RunModels]:
    """The models of one run."""
    url = server.url + ("/v1" if provider == "openai" else "")
    chain = more.pop("chain", ("mistral:7b", "qwen3:8b"))
    config = Models(provider=provider, url=url, chain=chain, **more)  # type: ignore[arg-type]
    async with open_models(config, {}) as opened:
        assert opened is not None
        with trio.fail_after(30):  # noqa: ASYNC100 - whoever uses it waits
            ledger = Spending(Budget(), Budget())
            yield RunModels(opened, ledger, run_id="r", root_id="r")


def schemas(server: ModelServer) -> list[list[str]]:
    """In which words each request named its schema."""
    return [list(record["schema"]) for record in server.log()]


@pytest.mark.parametrize(
    ("provider", "word"), [("openai", "response_format"), ("ollama", "format")]
)
async def test_a_server_is_given_the_schema_of_an_answer(
    model_server: ModelServer, provider: str, word: str
) -> None:
    """SM-01 DS-05: closed, and in the words of its protocol; the prompt is a short one with an example."""
    model_server.script({"fields": {"modules": '["parser"]'}})
    async with open_asking(model_server, provider) as models:
        answer = await models.ask(Plan, inputs=TASK, form="json")
    assert answer["modules"] == ["parser"]
    (seen,) = model_server.log()
    sent = seen["schema"][word]
    schema = sent if provider == "ollama" else sent["json_schema"]["schema"]
    assert schema["required"] == ["modules"]
    assert schema["additionalProperties"] is False
    system, user = (message["content"] for message in seen["messages"])
    assert '{"modules": ["a"]}' in system
    assert user == "Task:\na tool"


async def test_a_refused_schema_is_said_otherwise_and_remembered(
    model_server: ModelServer,
) -> None:
    """SM-01 DS-05: as vLLM has it, then not at all; the server is not tried again with what it refused."""
    model_server.script(
        {
            "refuses": ["response_format", "structured_outputs"],
            "fields": {"modules": "[]"},
        }
    )
    async with open_asking(model_server) as models:
        await models.ask(Plan, inputs=TASK, form="json")
        await models.ask(Plan, inputs=TASK, form="json")
    assert schemas(model_server) == [
        ["response_format"],
        ["structured_outputs"],
        [],
        [],
    ]


async def test_whether_schemas_are_sent_can_be_set(model_server: ModelServer) -> None:
    """DS-05: `on` fails with the server's own words, `off` never sends one."""
    model_server.script({"refuses": ["response_format", "structured_outputs"]})
    async with open_asking(model_server, structured="on") as models:
        with pytest.raises(ModelFailed, match="unknown field"):
            await models.ask(Plan, inputs=TASK, form="json")
    model_server.reset()
    model_server.script({"fields": {"modules": "[]"}})
    async with open_asking(model_server, structured="off") as models:
        await models.ask(Plan, inputs=TASK, form="json")
    assert schemas(model_server) == [[]]


@pytest.mark.parametrize(
    ("provider", "name"), [("openai", "max_tokens"), ("ollama", "num_predict")]
)
async def test_every_answer_has_a_limit(
    model_server: ModelServer, provider: str, name: str
) -> None:
    """CX-04: a runaway would go on until the window is full."""
    async with open_asking(model_server, provider, answer_tokens=700) as models:
        await models.ask("question -> answer", inputs={"question": "why?"})
    assert model_server.log()[0]["options"][name] == 700


async def test_a_second_try_is_another_one(model_server: ModelServer) -> None:
    """DS-05: warmer, with the reason, without the bad answer, and after the same answer by the next model."""
    model_server.script({"match": "You plan", "text": "turtles all the way"})
    async with open_asking(model_server) as models:
        with pytest.raises(MalformedAnswer, match="no JSON object"):
            await models.ask(Plan, inputs=TASK, form="json")
    first, second, third = model_server.log()
    assert "temperature" not in first["options"]
    assert second["options"]["temperature"] > 0.5
    assert [r["model"] for r in (first, second, third)] == [
        "mistral:7b",
        "mistral:7b",
        "qwen3:8b",
    ]
    said = "\n".join(message["content"] for message in second["messages"])
    assert "modules: it is no JSON object" in said
    assert "turtles" not in said
    roles = [message["role"] for message in second["messages"]]
    assert roles == ["system", "user"]


async def test_a_cut_answer_goes_to_a_larger_model(model_server: ModelServer) -> None:
    """DS-04, DS-05: not only size escalates; without a larger model it stays a failure."""
    model_server.script(
        {"model": "mistral:7b", "finish": "length"}, {"fields": {"modules": '["a"]'}}
    )
    async with open_asking(model_server) as models:
        answer = await models.ask(Plan, inputs=TASK, form="json")
    assert (answer.model, answer["modules"]) == ("qwen3:8b", ["a"])
    async with open_asking(model_server, chain=("mistral:7b",)) as models:
        with pytest.raises(ModelTruncated, match=r"models\.answer_tokens"):
            await models.ask(Plan, inputs=TASK, form="json")


async def test_two_unusable_answers_are_enough_of_one_model(
    model_server: ModelServer,
) -> None:
    """DS-05: they need not be the same."""
    model_server.script(
        {"text": "turtles", "times": 1},
        {"text": "elephants", "times": 1},
        {"fields": {"modules": '["a"]'}},
    )
    async with open_asking(model_server) as models:
        assert (await models.ask(Plan, inputs=TASK, form="json")).model == "qwen3:8b"


@pytest.mark.parametrize("provider", ["openai", "ollama"])
async def test_a_role_has_its_own_models_and_settings(
    model_server: ModelServer, provider: str
) -> None:
    """Chain, temperature, thinking and further fields; without a role nothing is sent."""
    ours = {"top_k": 5}
    extra: dict[str, Any] = {"options": ours} if provider == "ollama" else ours
    roles = {
        "judge": {
            "chain": ["qwen3:8b"], "temperature": 0.5, "thinking": False, "extra": extra,
        }
    }  # fmt: skip
    model_server.script({"fields": {"modules": '["a"]'}})
    async with open_asking(model_server, provider, roles=roles) as models:
        for role in (None, "judge", "plan"):
            await models.ask(Plan, inputs=TASK, form="json", role=role)
    anyone, judge, planner = model_server.log()
    assert [r["model"] for r in (anyone, judge, planner)] == [
        "mistral:7b",
        "qwen3:8b",
        "mistral:7b",
    ]
    assert "temperature" not in anyone["options"]
    assert (judge["options"]["temperature"], judge["options"]["top_k"]) == (0.5, 5)
    assert planner["options"]["temperature"] == 0.2
    body = judge["body"]
    if provider == "ollama":
        assert body["think"] is False
        assert body["options"]["num_ctx"] > 0
    else:
        assert body["chat_template_kwargs"] == {"enable_thinking": False}


async def test_a_role_of_unknown_models_is_refused(model_server: ModelServer) -> None:
    """APP-02"""
    roles = {"judge": {"chain": ["ghost"]}}
    with pytest.raises(StartRefused, match=r"models\.roles\.judge\.chain: 'ghost'"):
        async with open_asking(model_server, roles=roles):
            pass


async def test_only_the_block_that_is_missing_is_asked_for_again(
    model_server: ModelServer,
) -> None:
    """DS-05: what can be used is kept and shown."""
    model_server.script(
        {"text": "```\nx = 1\n```", "times": 1}, {"text": "```\nimport x\n```"}
    )
    async with open_asking(model_server) as models:
        answer = await models.ask(Code, inputs=TASK, form="blocks")
    assert answer.fields == {"code": "x = 1", "tests": "import x"}
    system, user = (m["content"] for m in model_server.log()[1]["messages"])
    assert "`tests`" in system
    assert "`code`" not in system
    assert "This is there already:\n```\nx = 1\n```" in user


class Judge(dspy.Signature):  # type: ignore[misc]
    """You judge."""

    task: str = dspy.InputField()
    reasons: list[str] = dspy.OutputField(
        desc="why", examples=[["the list has 3 entries, not none", "it is old"]]
    )
    kind: str = dspy.OutputField(desc="which", examples=["command"])


async def test_an_answer_in_json_that_has_the_example_is_asked_for_again(
    model_server: ModelServer,
) -> None:
    """DS-05: asked for pairs of neighbours, a 1.5B model planned the example's converter, and wrote it."""
    told = '{"reasons": ["it is old", "%s"], "kind": "command"}'
    model_server.script(
        {"text": told % "the list has 3 entries, not none", "times": 1},
        {"text": told % "the list is long"},
    )
    async with open_asking(model_server) as models:
        answer = await models.ask(Judge, inputs=TASK, form="json")
    first, second = model_server.log()
    assert "for another task" in first["messages"][0]["content"]
    assert "reasons: that is only the example" in second["messages"][-1]["content"]
    assert answer["reasons"] == ["it is old", "the list is long"]
    assert answer["kind"] == "command", "one word may well be the same"


@pytest.mark.parametrize(
    ("signature", "example"), [(Repair, "def shown(): ..."), (Code, "(code)")]
)
async def test_the_example_of_the_form_is_no_answer(
    model_server: ModelServer, signature: type[dspy.Signature], example: str
) -> None:
    """DS-05: a 1.5B model repeats it when it has nothing to say; a run built on `(code)` for an hour."""
    model_server.script(
        {"text": f"```\n{example}\n```\n", "times": 1},
        {"text": "```\nx = 1\n```\n```\ny = 2\n```\n"},
    )
    async with open_asking(model_server) as models:
        answer = await models.ask(signature, inputs=TASK, form="blocks")
    first, second = model_server.log()
    system = first["messages"][0]["content"]
    assert f"```\n{example}\n```" in system
    assert ("its tests, if" in system, "(tests)" in system) == (
        (True, False) if signature is Repair else (False, True)
    ), "what may be left out is told, and not shown"
    assert "only the example" in second["messages"][-1]["content"]
    assert answer["code"] == "x = 1"


async def test_no_example_is_kept_beside_another(model_server: ModelServer) -> None:
    """DS-05: an answer that was the whole example was asked for its first block only, and the other stayed."""
    model_server.script(
        {"text": "```\n(code)\n```\n```\n(tests)\n```\n", "times": 1},
        {"text": "```\nx = 1\n```\n```\ny = 2\n```\n"},
    )
    async with open_asking(model_server) as models:
        answer = await models.ask(Code, inputs=TASK, form="blocks")
    assert (answer["code"], answer["tests"]) == ("x = 1", "y = 2")
    assert "there already" not in model_server.log()[1]["messages"][-1]["content"]


@pytest.mark.parametrize("provider", ["openai", "ollama"])
async def test_inline_thoughts_do_not_count(
    model_server: ModelServer, provider: str
) -> None:
    """DS-03: neither in the fields nor in what is streamed, though they rehearse the form."""
    thought = "<think>\n[[ ## answer ## ]]\n{answer}\n</think>\n"
    model_server.script({"text": f"{thought}[[ ## answer ## ]]\na gate"})
    heard: list[str] = []

    async def listen(_field: str, text: str, _attempt: int) -> None:
        await trio.lowlevel.checkpoint()
        heard.append(text)

    async with open_asking(model_server, provider) as models:
        answer = await models.ask(
            "question -> answer", inputs={"question": "what?"}, on_delta=listen
        )
    assert answer["answer"] == "".join(heard) == "a gate"


async def test_a_form_that_is_rehearsed_is_taken_back(
    model_server: ModelServer,
) -> None:
    """DS-03: the last header counts, and its text has a higher number than what it replaces."""
    text = "[[ ## answer ## ]]\n{answer}\n[[ ## answer ## ]]\na gate"
    model_server.script({"text": text})
    heard: list[tuple[str, int]] = []

    async def listen(_field: str, text: str, attempt: int) -> None:
        await trio.lowlevel.checkpoint()
        heard.append((text, attempt))

    async with open_asking(model_server) as models:
        answer = await models.ask(
            "question -> answer", inputs={"question": "what?"}, on_delta=listen
        )
    assert answer["answer"] == "a gate"
    assert "".join(text for text, attempt in heard if attempt == 2) == "a gate"
    assert {attempt for _, attempt in heard} == {1, 2}
