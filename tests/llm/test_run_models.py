"""`run.lm` over real HTTP, DSPy included: fields, attempts, budgets, cancelling (DS, CX-11, ER-01)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import dspy  # type: ignore[import-untyped]
import pytest
import trio
import trio.lowlevel

from fakes.history import recorded
from fakes.model_server import ModelServer
from penstock.llm.budget import Spending, Spent
from penstock.llm.chain import Chain
from penstock.llm.context import build_layers
from penstock.llm.models import open_models
from penstock.llm.prompts import GENERIC, PromptCache
from penstock.llm.run_models import RunModels
from penstock.words.config import Budget, Models
from penstock.words.errors import (
    BudgetSpent,
    ContextTooLarge,
    MalformedAnswer,
    ModelFailed,
    ModelTruncated,
    ModelUnreachable,
    Refused,
)
from penstock.words.events import Milestone, RunStarted
from penstock.words.wait_reason import Waiting

QUESTION = {"question": "What is a penstock?"}


class Plan(dspy.Signature):  # type: ignore[misc]
    """Split the task into modules."""

    task: str = dspy.InputField()
    modules: list[str] = dspy.OutputField()
    summary: str = dspy.OutputField()


class Deltas:
    """Collects what the stream of fields yields."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str, int]] = []

    async def __call__(self, field: str, text: str, attempt: int) -> None:
        await trio.lowlevel.checkpoint()
        self.all.append((field, text, attempt))

    def joined(self, field: str, attempt: int) -> str:
        return "".join(
            text
            for name, text, number in self.all
            if (name, number) == (field, attempt)
        )


@pytest.fixture(params=["ollama", "openai"])
async def chain(
    request: pytest.FixtureRequest, model_server: ModelServer
) -> AsyncIterator[Chain]:
    path = "/v1" if request.param == "openai" else ""
    config = Models(
        provider=request.param,
        url=model_server.url + path,
        chain=("mistral:7b", "qwen3:8b"),
    )
    async with open_models(config, {}) as opened:
        assert opened is not None
        yield opened


def models_of(chain: Chain, run_id: str = "r-1", **more: Any) -> RunModels:
    ledger = more.pop("ledger", Spending(Budget(), Budget()))
    return RunModels(chain, ledger, run_id=run_id, root_id=run_id, **more)


async def test_a_signature_is_filled_and_streamed_by_field(
    chain: Chain, model_server: ModelServer
) -> None:
    """DS-01: typed fields, and (field, delta) from our splitter."""
    model_server.script(
        {"fields": {"modules": '["parser", "cli"]', "summary": "Two small ones."}}
    )
    deltas = Deltas()
    with trio.fail_after(30):
        answer = await models_of(chain).ask(
            Plan, inputs={"task": "a tool"}, on_delta=deltas
        )
    assert answer["modules"] == ["parser", "cli"]
    assert answer["summary"] == deltas.joined("summary", 1) == "Two small ones."
    assert (answer.model, answer.attempts, answer.finish_reason) == (
        "mistral:7b",
        1,
        "stop",
    )
    assert len(deltas.all) > 5


async def test_the_model_may_reason_first(
    chain: Chain, model_server: ModelServer
) -> None:
    model_server.script({"fields": {"reasoning": "Because.", "answer": "A gate."}})
    with trio.fail_after(30):
        answer = await models_of(chain).ask(
            "question -> answer", inputs=QUESTION, think=True
        )
    assert answer.fields == {"reasoning": "Because.", "answer": "A gate."}


async def test_a_program_of_several_steps_runs_with_its_tools(
    chain: Chain, model_server: ModelServer
) -> None:
    """DS-01: ReAct with an async tool that uses Trio."""
    used: list[int] = []

    async def double(number: int) -> int:
        """Double a number."""
        await trio.lowlevel.checkpoint()
        used.append(number)
        return number * 2

    act = {
        "next_thought": "go",
        "next_tool_name": "double",
        "next_tool_args": '{"number": 21}',
    }
    stop = {"next_thought": "ok", "next_tool_name": "finish", "next_tool_args": "{}"}
    model_server.script(
        {"match": "next_tool_name", "fields": act, "times": 1},
        {
            "match": "observation_0",
            "fields": {**stop, "reasoning": "sum", "answer": "42"},
        },
    )
    program = dspy.ReAct("question -> answer", tools=[dspy.Tool(double)])
    with trio.fail_after(30):
        answer = await models_of(chain).ask(program, inputs=QUESTION)
    assert used == [21]
    assert answer["answer"] == "42"


@pytest.mark.parametrize(
    ("bad", "field", "why"),
    [
        ({"text": "I would rather talk about the weather."}, "modules", "is missing"),
        ({"fields": {"modules": "parser and cli"}}, "modules", "valid list"),
        (
            {"text": "[[ ## modules ## ]]\n[]\n[[ ## completed ## ]]"},
            "summary",
            "is missing",
        ),
        ({"text": ""}, "modules", "empty"),
    ],
    ids=["no fields", "wrong type", "a field missing", "empty"],
)
async def test_a_malformed_answer_is_asked_for_again_with_the_reason(
    chain: Chain, model_server: ModelServer, bad: dict[str, Any], field: str, why: str
) -> None:
    """DS-05: validated, asked again with an attempt number."""
    good = {"modules": "[]", "summary": "good"}
    model_server.script({**bad, "times": 1}, {"fields": good})
    deltas = Deltas()
    with trio.fail_after(30):
        answer = await models_of(chain).ask(Plan, inputs={"task": "x"}, on_delta=deltas)
    assert answer.attempts == 2
    assert deltas.joined("summary", 2) == "good"
    last = model_server.log()[1]["messages"][-1]["content"]
    assert field in last
    assert why in last


async def test_after_three_attempts_the_failure_names_the_field(
    chain: Chain, model_server: ModelServer
) -> None:
    """DS-05: at most 3 times, then what was wrong."""
    model_server.script({"fields": {"modules": "parser and cli"}})
    with (
        trio.fail_after(30),
        pytest.raises(MalformedAnswer, match=r"modules: .*3 attempts") as caught,
    ):
        await models_of(chain).ask(Plan, inputs={"task": "x"})
    assert caught.value.facts == {"field": "modules", "attempts": 3}
    assert len(model_server.log()) == 3


async def test_a_check_of_the_pipeline_is_part_of_the_form(
    chain: Chain, model_server: ModelServer
) -> None:
    """DS-05, WF-05: the model is told what the check found."""
    model_server.script(
        {"fields": {"modules": '["a", "a"]'}, "times": 1},
        {"fields": {"modules": '["a", "b"]'}},
    )

    def no_doubles(fields: Any) -> None:
        if len(set(fields["modules"])) < len(fields["modules"]):
            raise Refused("modules", "`a` is named twice")

    with trio.fail_after(30):
        answer = await models_of(chain).ask(
            Plan, inputs={"task": "x"}, check=no_doubles
        )
    assert answer["modules"] == ["a", "b"]
    assert (
        "modules: `a` is named twice"
        in model_server.log()[1]["messages"][-1]["content"]
    )


async def test_a_cut_answer_is_a_failure_unless_allowed(
    chain: Chain, model_server: ModelServer
) -> None:
    """DS-04, DT-03: finish reason `length`."""
    model_server.script({"text": "[[ ## answer ## ]]\nhalf of", "finish": "length"})
    deltas = Deltas()
    models = models_of(chain)
    with trio.fail_after(30):
        with pytest.raises(ModelTruncated, match="limit of tokens"):
            await models.ask("question -> answer", inputs=QUESTION, on_delta=deltas)
        answer = await models.ask(
            "question -> answer", inputs=QUESTION, allow_truncated=True
        )
    assert deltas.joined("answer", 1) == answer["answer"] == "half of"
    assert answer.finish_reason == "length"


async def test_what_was_held_back_of_a_broken_answer_is_handed_over(
    chain: Chain, model_server: ModelServer
) -> None:
    """DS-03, DS-04: flushed before the failure."""
    model_server.script(
        {"text": "[[ ## answer ## ]]\nas far as\n[[ ## co", "mute": True}
    )
    deltas = Deltas()
    with trio.fail_after(30), pytest.raises(ModelFailed, match="end marker"):
        await models_of(chain).ask(
            "question -> answer", inputs=QUESTION, on_delta=deltas
        )
    assert deltas.joined("answer", 1) == "as far as\n[[ ## co"


async def test_every_request_has_the_layers_in_order(
    chain: Chain, model_server: ModelServer
) -> None:
    """CX-11: the fake server sees the layers, in the corrections too."""
    history = [
        recorded(RunStarted(kind="coding"), 1),
        recorded(Milestone(name="weather", metadata={"now": "it rains"}), 2),
    ]
    layers = build_layers(PromptCache(), history)
    model_server.script({"text": "nonsense", "times": 1})
    with trio.fail_after(30):
        await models_of(chain).ask("question -> answer", inputs=QUESTION, layers=layers)
    for request in model_server.log():
        text = "\n".join(message["content"] for message in request["messages"])
        words = [
            GENERIC,
            "State of the run",
            "status: running",
            "it rains",
            QUESTION["question"],
        ]
        places = [text.index(word) for word in words]
        assert places == sorted(places)
    assert len(model_server.log()) == 2


async def test_no_request_exceeds_the_window(
    chain: Chain, model_server: ModelServer
) -> None:
    """CX-04, CX-11: a larger model, or a refusal; the server never sees too much."""
    models = models_of(chain)
    with trio.fail_after(30):
        await models.ask("question -> answer", inputs={"question": "why? " * 8_000})
        with pytest.raises(ContextTooLarge, match="qwen3:8b"):
            await models.ask(
                "question -> answer", inputs={"question": "why? " * 40_000}
            )
    (seen,) = model_server.log()
    assert seen["model"] == "qwen3:8b"


async def test_cancelling_closes_the_socket_of_the_model(
    chain: Chain, model_server: ModelServer
) -> None:
    """DS-06: through DSPy as well."""
    model_server.script(
        {"text": "[[ ## answer ## ]]\n" + "word " * 10_000, "delay": 0.002}
    )
    heard = trio.Event()

    async def listen(field: str, text: str, attempt: int) -> None:
        heard.set()
        await trio.lowlevel.checkpoint()

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_streaming, models_of(chain), listen)
            await heard.wait()
            nursery.cancel_scope.cancel()
        (seen,) = await model_server.wait_log(1, "closed by client")
    assert seen["sent"] < 10_000
    assert chain.statistics()[0].active == 0


async def ask_streaming(
    models: RunModels, on_delta: Callable[[str, str, int], Awaitable[None]]
) -> None:
    await models.ask("question -> answer", inputs=QUESTION, on_delta=on_delta)


async def test_two_runs_with_different_models_never_mix(
    model_server: ModelServer,
) -> None:
    """DS-01: ten runs over two chains at once; every answer and every delta is its own."""
    model_server.script(
        {
            "model": "mistral:7b",
            "fields": {"answer": "I am the small one"},
            "delay": 0.002,
        },
        {
            "model": "qwen3:8b",
            "fields": {"answer": "I am the large one"},
            "delay": 0.001,
        },
    )

    async def ask(chain: Chain, number: int, size: str) -> None:
        deltas = Deltas()
        models = models_of(chain, f"r-{number}")
        answer = await models.ask(
            "question -> answer", inputs=QUESTION, on_delta=deltas
        )
        assert answer["answer"] == deltas.joined("answer", 1) == f"I am the {size} one"

    small = Models(provider="ollama", url=model_server.url, chain=("mistral:7b",))
    large = Models(provider="openai", url=f"{model_server.url}/v1", chain=("qwen3:8b",))
    with trio.fail_after(30):
        async with open_models(small, {}) as one, open_models(large, {}) as two:
            assert one is not None
            assert two is not None
            async with trio.open_nursery() as nursery:
                for number in range(5):
                    nursery.start_soon(ask, one, number, "small")
                    nursery.start_soon(ask, two, number + 5, "large")


async def test_an_absent_server_fails_the_question_with_its_address(
    unused_port: int,
) -> None:
    """ER-01: in a run, within the connect timeout."""
    url = f"http://127.0.0.1:{unused_port}"
    async with open_models(
        Models(provider="ollama", url=url, chain=("a",)), {}
    ) as chain:
        assert chain is not None
        with trio.fail_after(5), pytest.raises(ModelUnreachable, match=url):
            await models_of(chain).ask("question -> answer", inputs=QUESTION)


async def test_a_cut_answer_is_asked_again_with_a_higher_number(
    chain: Chain, model_server: ModelServer
) -> None:
    """DS-04, DS-05: what was heard of it is dropped, and it costs no attempt of the model's."""
    waits: list[str] = []

    @asynccontextmanager
    async def parked(waiting: Waiting) -> AsyncIterator[None]:
        waits.append(waiting.reason)
        yield

    cut = {"fields": {"modules": '["a"]', "summary": "It is."}, "drop": 20}
    model_server.script(*[{**cut, "times": 1}] * 3, {"fields": cut["fields"]})
    deltas = Deltas()
    with trio.fail_after(40):
        answer = await models_of(chain, parked=parked).ask(
            Plan, inputs={"task": "a tool"}, on_delta=deltas
        )
    assert answer.attempts == 4
    assert deltas.joined("summary", 4) == answer["summary"] == "It is."
    assert [reason[:7] for reason in waits] == ["model: "] * 3


async def test_what_is_spent_is_told_and_bounds_what_follows(
    chain: Chain, model_server: ModelServer
) -> None:
    """The hard line refuses before the next request."""
    told: list[tuple[str, Spent]] = []

    async def on_spent(model: str, spent: Spent, _try: UUID) -> None:
        await trio.lowlevel.checkpoint()
        told.append((model, spent))

    ledger = Spending(Budget(tokens=150), Budget())
    models = models_of(chain, ledger=ledger, on_spent=on_spent)
    model_server.script({"fields": {"answer": "short"}, "usage": 200})
    with trio.fail_after(30):
        await models.ask("question -> answer", inputs=QUESTION)
        with pytest.raises(BudgetSpent, match="of 150 tokens"):
            await models.ask("question -> answer", inputs=QUESTION)
    ((model, spent),) = told
    assert (model, spent.tokens_in) == ("mistral:7b", 200)
    assert ledger.run("r-1") == spent
    assert len(model_server.log()) == 1


@pytest.mark.parametrize("goes_on", [True, False])
async def test_the_soft_line_asks_once(
    chain: Chain, model_server: ModelServer, goes_on: bool
) -> None:
    """The soft line asks a person; their word holds."""
    asked: list[str] = []

    async def on_soft_line(why: str) -> bool:
        await trio.lowlevel.checkpoint()
        asked.append(why)
        return goes_on

    ledger = Spending(Budget(tokens=10_000, soft=0.5), Budget())
    ledger.add("r-1", "r-1", Spent(tokens_in=6_000))
    models = models_of(chain, ledger=ledger, on_soft_line=on_soft_line)
    with trio.fail_after(30):
        if not goes_on:
            with pytest.raises(BudgetSpent, match="6000 of 10000 tokens"):
                await models.ask("question -> answer", inputs=QUESTION)
            return
        for _ in range(3):
            await models.ask("question -> answer", inputs=QUESTION)
    assert len(asked) == 1


async def test_nothing_of_a_question_stays_in_dspy(chain: Chain) -> None:
    """Whole prompts kept in histories and traces would fill the daemon's memory."""
    from dspy.clients.base_lm import GLOBAL_HISTORY  # type: ignore[import-untyped]

    with trio.fail_after(30):
        await models_of(chain).ask("question -> answer", inputs=QUESTION)
    assert GLOBAL_HISTORY == []
    assert dspy.settings.trace == []
    assert dspy.settings.lm is None


@pytest.mark.parametrize(
    ("inputs", "name"),
    [({}, "inputs.task"), ({"task": "x", "tusk": "y"}, "inputs.tusk")],
)
async def test_inputs_that_do_not_fit_the_signature_are_refused(
    chain: Chain, model_server: ModelServer, inputs: dict[str, str], name: str
) -> None:
    """DSPy would log a line and ask all the same."""
    with pytest.raises(Refused, match=name):
        await models_of(chain).ask(Plan, inputs=inputs)
    assert model_server.log() == []


async def test_a_prompt_with_half_a_surrogate_pair_is_sent_all_the_same(
    chain: Chain, model_server: ModelServer
) -> None:
    """File names that are not UTF-8 come as such halves."""
    with trio.fail_after(30):
        await models_of(chain).ask(
            "question -> answer", inputs={"question": "read \udcff.txt"}
        )
    assert "read \ufffd.txt" in model_server.log()[0]["messages"][-1]["content"]
