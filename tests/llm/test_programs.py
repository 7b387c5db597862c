"""DSPy programs: compiled ones for built-in questions, synchronous ones in own kinds, examples to learn from."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dspy  # type: ignore[import-untyped]
import pytest
import trio

from fakes.model_server import ModelServer
from penstock.kinds.coding.signatures import MakePlan
from penstock.llm.budget import Spending
from penstock.llm.examples import ExampleLines
from penstock.llm.models import make_daemon_models, open_models
from penstock.llm.run_models import RunModels
from penstock.words.config import Budget, Models
from penstock.words.errors import ModelFailed, Refused
from penstock.words.events import ModelAnswered

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "optimise_plan.py"


class Plan(dspy.Signature):  # type: ignore[misc]
    """You plan."""

    task: str = dspy.InputField()
    modules: list[str] = dspy.OutputField(desc="their names", examples=[["a"]])


@asynccontextmanager
async def open_asking(server: ModelServer, **more: Any) -> AsyncIterator[RunModels]:
    config = Models(
        provider="openai", url=f"{server.url}/v1", chain=("mistral:7b",), retries=0
    )
    async with open_models(config, {}) as opened:
        assert opened is not None
        with trio.fail_after(30):  # noqa: ASYNC100 - whoever uses it waits
            ledger = Spending(Budget(), Budget())
            yield RunModels(opened, ledger, run_id="r", root_id="r", **more)


def saved(path: Path, predictor: Any) -> Path:
    predictor.save(path)
    return path


@pytest.mark.parametrize("form", ["json", "sections"])
async def test_a_compiled_question_is_asked_with_its_examples_and_instructions(
    model_server: ModelServer, tmp_path: Path, form: Any
) -> None:
    """DS-01: by the name of the question; other questions are asked as ever."""
    predictor = dspy.Predict(Plan.with_instructions("You plan tiny tools."))
    predictor.demos = [dspy.Example(task="a clock", modules=["clock"])]
    programs = {"my.plan": saved(tmp_path / "plan.json", predictor)}
    model_server.script({"fields": {"modules": '["parser"]'}})
    async with open_asking(model_server, programs=programs) as models:
        for name in ("my.plan", "other"):
            answer = await models.ask(
                Plan, inputs={"task": "a tool"}, form=form, name=name
            )
            assert answer["modules"] == ["parser"]
    compiled, plain = (record["messages"] for record in model_server.log())
    assert "You plan tiny tools." in compiled[0]["content"]
    assert [m["role"] for m in compiled] == ["system", "user", "assistant", "user"]
    assert "a clock" in compiled[1]["content"]
    assert "clock" in compiled[2]["content"]
    assert "a tool" in compiled[3]["content"]
    assert [m["role"] for m in plain] == ["system", "user"]
    assert "You plan." in plain[0]["content"]
    assert "\0" not in json.dumps([compiled, plain])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "cannot be read"),
        ("[]", "is no JSON object"),
        ("{}", "is not the saved state of a predictor"),
        ('{"signature": {"fields": []}}', "it has 0 fields, not 2"),
    ],
)
async def test_what_is_no_compiled_question_is_refused_in_one_sentence(
    model_server: ModelServer, tmp_path: Path, text: str, why: str
) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    async with open_asking(model_server, programs={"my.plan": file}) as models:
        with pytest.raises(Refused, match=rf"programs\.my\.plan: .*{why}"):
            await models.ask(Plan, inputs={"task": "a tool"}, name="my.plan")
    assert model_server.log() == []


async def test_a_missing_program_is_found_at_the_start(tmp_path: Path) -> None:
    """APP-02"""
    config = Models(provider="ollama", chain=("a",))
    async with open_models(config, {}) as chain:
        assert chain is not None
        with pytest.raises(Refused, match=r"programs\.coding\.plan: cannot be read"):
            make_daemon_models(chain, {"coding.plan": tmp_path / "none.json"})


class Shout(dspy.Module):  # type: ignore[misc]
    """A program that knows no other way than `forward`."""

    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("question -> answer")

    def forward(self, question: str) -> Any:
        return dspy.Prediction(answer=self.ask(question=question).answer.upper())


async def test_a_program_with_only_forward_runs_and_does_not_hold_the_loop(
    model_server: ModelServer,
) -> None:
    """DS-01"""
    model_server.script({"fields": {"answer": "a gate"}, "delay": 0.05})
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await trio.sleep(0.01)
            ticks += 1

    async with open_asking(model_server) as models, trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        answer = await models.ask(Shout(), inputs={"question": "what?"})
        nursery.cancel_scope.cancel()
    assert answer["answer"] == "A GATE"
    assert ticks > 5


async def test_the_best_of_several_answers_is_taken(model_server: ModelServer) -> None:
    """DS-01: `BestOfN`, by a measure of one's own; each answer is another one."""
    for word in ("no", "well", "a gate that meters water"):
        model_server.script({"fields": {"answer": word}, "times": 1})
    program = dspy.BestOfN(
        dspy.Predict("question -> answer"),
        N=3,
        reward_fn=lambda _inputs, said: float(len(said.answer)),
        threshold=1000.0,
    )
    async with open_asking(model_server) as models:
        answer = await models.ask(program, inputs={"question": "what?"})
    assert answer["answer"] == "a gate that meters water"
    assert [r["options"]["temperature"] for r in model_server.log()] == [1.0] * 3


async def test_an_answer_is_refined_by_what_was_wrong_with_it(
    model_server: ModelServer,
) -> None:
    """DS-01: `Refine` asks what to do better, and tells it."""
    model_server.script(
        {"match": "advice", "fields": {"discussion": "short", "advice": '{"self": "say more"}'}},
        {"match": "say more", "fields": {"answer": "a gate that meters water"}},
        {"fields": {"answer": "no"}},
    )  # fmt: skip
    program = dspy.Refine(
        dspy.Predict("question -> answer"),
        N=2,
        reward_fn=lambda _inputs, said: float(len(said.answer) > 10),
        threshold=1.0,
    )
    async with open_asking(model_server) as models:
        answer = await models.ask(program, inputs={"question": "what?"})
    assert answer["answer"] == "a gate that meters water"


async def test_a_synchronous_program_that_is_cancelled_closes_its_socket(
    model_server: ModelServer,
) -> None:
    """DS-06"""
    model_server.script({"fields": {"answer": "a"}, "hang": 2})
    async with open_asking(model_server) as models, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: models.ask(Shout(), inputs={"question": "what?"}))
        await model_server.wait_log(1, "generating", sent=2)
        nursery.cancel_scope.cancel()
    await model_server.wait_log(1, "closed by client")


class Draft(dspy.Signature):  # type: ignore[misc]
    """You draft."""

    question: str = dspy.InputField()
    draft: str = dspy.OutputField()


class Polish(dspy.Signature):  # type: ignore[misc]
    """You polish."""

    draft: str = dspy.InputField()
    answer: str = dspy.OutputField()


class DraftThenPolish(dspy.Module):  # type: ignore[misc]
    """A program of two questions."""

    def __init__(self) -> None:
        super().__init__()
        self.draft, self.polish = dspy.Predict(Draft), dspy.Predict(Polish)

    async def aforward(self, question: str) -> Any:
        drafted = await self.draft.acall(question=question)
        return await self.polish.acall(draft=drafted.draft)


@pytest.mark.parametrize(
    ("name", "recorded"), [("", ["Draft", "Polish"]), ("mine", ["mine", "mine"])]
)
async def test_each_question_of_a_program_is_recorded_under_its_own_name(
    model_server: ModelServer, name: str, recorded: list[str]
) -> None:
    """SM-06: or all under the one that was given."""
    model_server.script({"fields": {"draft": "a", "answer": "b"}})
    told: list[str] = []

    async def on_answered(answered: ModelAnswered) -> None:
        await trio.lowlevel.checkpoint()
        told.append(answered.question)

    async with open_asking(model_server, on_answered=on_answered) as models:
        await models.ask(DraftThenPolish(), inputs={"question": "what?"}, name=name)
    assert told == recorded


async def test_a_failure_of_the_server_is_that_of_the_program(
    model_server: ModelServer,
) -> None:
    model_server.script({"status": 400, "error": "no such thing"})
    async with open_asking(model_server) as models:
        with pytest.raises(ModelFailed, match="no such thing"):
            await models.ask(Shout(), inputs={"question": "what?"})


def line(run_id: str, **event: Any) -> bytes:
    envelope = {"position": 1, "run_id": run_id, "event": event}
    return json.dumps(envelope).encode()


def plan_said(run_id: str, task: str, path: str) -> bytes:
    inputs = {"task": task, "notes": "(none)", "files": "(none)", "tests": "run by: x"}
    module = {"path": path, "purpose": "It is it.", "needs": []}
    fields = {"summary": "One.", "modules": [module]}
    return line(run_id, type="model.answered", question="coding.plan", inputs=inputs, fields=fields, model="m")  # fmt: skip


def examples_of(*lines: bytes) -> list[dict[str, Any]]:
    out = io.BytesIO()
    made = ExampleLines(out.write)
    for one in lines:
        made.write(one)
    made.close()
    return [json.loads(said) for said in out.getvalue().splitlines()]


def test_examples_have_the_verdict_of_the_tests() -> None:
    """What was refused is none; the next tests judge code, the run's end its plan, nothing the rest."""

    def wrote(name: str) -> bytes:
        return line("r", type="model.answered", question=name, fields={"code": "x"})

    found = examples_of(
        b'{"table": "runs", "row": {}}',
        plan_said("r", "a", "a.py"),
        line("r", type="model.answered", question="coding.write", refused="no", fields={}),
        wrote("coding.write"),
        line("r", type="test.failed"),
        wrote("coding.correct"),
        line("other", type="test.failed"),
        line("r", type="test.passed"),
        wrote("coding.review"),
        line("r", type="run.completed"),
        plan_said("s", "b", "b.py"),
        line("s", type="run.failed"),
        plan_said("t", "c", "c.py"),
    )  # fmt: skip
    assert [(one["question"], one["score"]) for one in found] == [
        ("coding.write", 0.0),
        ("coding.correct", 1.0),
        ("coding.plan", 1.0),
        ("coding.review", None),
        ("coding.plan", 0.0),
        ("coding.plan", None),
    ]
    assert found[2]["inputs"]["task"] == "a"
    assert found[2]["run_id"] == "r"


@pytest.mark.processes
async def test_the_example_of_the_docs_compiles_a_question_that_is_asked(
    model_server: ModelServer, tmp_path: Path
) -> None:
    """From examples of runs to a better question, outside of the daemon."""
    examples = examples_of(
        plan_said("r", "a clock", "clock.py"),
        line("r", type="run.completed"),
        plan_said("s", "a bomb", "bomb.py"),
        line("s", type="run.failed"),
    )
    (tmp_path / "examples.jsonl").write_text("\n".join(map(json.dumps, examples)))
    compiled = tmp_path / "plan.json"
    argv = [sys.executable, str(EXAMPLE), str(tmp_path / "examples.jsonl"), str(compiled)]  # fmt: skip
    done = await trio.to_thread.run_sync(
        lambda: subprocess.run(argv, capture_output=True, text=True, timeout=120)
    )
    assert done.stdout == "1 of 1 examples\n", done.stderr
    asked = {"task": "a lamp", "notes": "(none)", "files": "(none)", "tests": "x"}
    module = [{"path": "lamp.py", "purpose": "p", "needs": []}]
    model_server.script({"fields": {"summary": "s", "modules": json.dumps(module)}})
    async with open_asking(model_server, programs={"coding.plan": compiled}) as models:
        await models.ask(MakePlan, inputs=asked, form="json", name="coding.plan")
    said = [m["content"] for m in model_server.log()[0]["messages"]]
    assert "a clock" in said[1]
    assert json.loads(said[2])["modules"][0]["path"] == "clock.py"
    assert "bomb" not in "".join(said)
