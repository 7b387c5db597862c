"""What a model does is shown while it does it, and what it said is there afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
import trio.testing
from pydantic_core import from_json

from fakes.chains import CountingEngine, chain_of
from fakes.cores import (
    Nothing,
    Seconds,
    fake_environment,
    kind,
    open_fake_core,
    request,
    wait_ended,
)
from fakes.model_cores import open_model_core
from fakes.model_server import ModelServer
from fakes.stores import inline_store
from penstock.llm.chat import ChatRequest, Heard, Message, OnHeard, Reply, Usage
from penstock.llm.exchanges import LARGEST_PROMPT, Exchange, without_middle
from penstock.llm.models import make_daemon_models, open_models
from penstock.log.new_events import new_event
from penstock.log.redaction import make_redaction
from penstock.log.writes import Append
from penstock.pipeline import Run
from penstock.words.config import Models
from penstock.words.errors import MalformedAnswer
from penstock.words.events import ModelAnswered
from penstock.words.recorded import Recorded

Clock = trio.testing.MockClock


@dataclass
class Thinks(CountingEngine):
    """Reads for 10 virtual seconds, thinks for 10, writes for 10: a piece a second."""

    async def chat(self, _request: ChatRequest, on_heard: OnHeard) -> Reply:
        await on_heard(Heard(read=40, of=2100))
        await trio.sleep(10.5)
        for number in range(20):
            await on_heard(Heard(thought="so ") if number < 10 else Heard("word "))
            await trio.sleep(1)
        return Reply("word " * 10, "stop", Usage(90, 20), "so " * 10)


async def ask(run: Run, _inputs: Seconds) -> Nothing:
    """Ask once."""

    async def ignore(_text: str) -> None:
        await trio.lowlevel.checkpoint()

    await run.lm.complete([Message("user", "well?")], ignore)
    return Nothing()


async def plan(run: Run, _inputs: Seconds) -> Nothing:
    """Ask for a list in sections."""
    await run.lm.ask(
        "task -> modules: list[str]", inputs={"task": "a tool"}, name="my.plan"
    )
    return Nothing()


async def test_it_is_told_what_a_model_does_for_every_kind(
    autojump_clock: Clock,
) -> None:
    """It reads, thinks, then writes, with numbers and speed; and it stands in the view."""
    environment = replace(
        fake_environment(), models=make_daemon_models(chain_of(Thinks()))
    )
    seen: list[str] = []
    async with (
        inline_store() as store,
        open_fake_core(kind("ask", ask), store=store, environment=environment) as core,
    ):
        await core.submitter.submit(request("ask", "r"))
        for _ in range(30):
            await trio.sleep(1)
            if (view := core.table.views.get("r")) and view.model_doing not in seen:
                seen.append(view.model_doing)
        await wait_ended(core, "r")
        assert (await core.reader.view("r")).model_doing == ""
    assert seen[:2] == ["", "reading 40 of 2,100 tokens"]
    assert any(said.startswith("thinking ") for said in seen)
    assert seen[-1].startswith("writing ")
    assert seen[-1].endswith("/s")
    assert len(seen) < 20


async def test_a_quick_answer_adds_no_such_fact(autojump_clock: Clock) -> None:
    environment = replace(
        fake_environment(), models=make_daemon_models(chain_of(CountingEngine()))
    )
    async with (
        inline_store() as store,
        open_fake_core(kind("ask", ask), store=store, environment=environment) as core,
    ):
        await core.submitter.submit(request("ask", "r"))
        await wait_ended(core, "r")
        facts = await store.read("r")
    assert not [fact for fact in facts if fact.type == "model.progress"]


def answered(facts: list[Recorded]) -> list[ModelAnswered]:
    return [f.event for f in facts if isinstance(f.event, ModelAnswered)]


async def test_each_exchange_is_recorded_with_why_it_was_refused(
    model_server: ModelServer,
) -> None:
    """SM-06 DS-05: what was sent, thought and said; and the values, to learn from."""
    model_server.script(
        {"text": "I will not.", "thinking": "Must I?", "times": 1},
        {"fields": {"modules": '["a", "b"]'}},
    )
    with trio.fail_after(40):
        async with open_model_core(model_server.url, kind("plan", plan)) as core:
            await core.submitter.submit(request("plan", "r"))
            await wait_ended(core, "r")
            first, second = answered(list(await core.store.read("r")))
    assert first.said == "I will not."
    assert first.thoughts == "Must I?"
    assert "`[[ ## modules ## ]]` is missing" in first.refused
    assert (second.question, second.attempt, second.refused) == ("my.plan", 2, "")
    assert second.inputs == {"task": "a tool"}
    assert second.fields == {"modules": ["a", "b"]}
    assert "a tool" in second.sent[-1].content
    assert first.model == "mistral:7b"


async def test_an_answer_that_was_never_usable_is_recorded_each_time(
    model_server: ModelServer,
) -> None:
    model_server.script({"text": "no"})
    with trio.fail_after(40):
        async with open_model_core(model_server.url, kind("plan", plan)) as core:
            await core.submitter.submit(request("plan", "r"))
            await wait_ended(core, "r")
            view = await core.reader.view("r")
            found = answered(list(await core.store.read("r")))
    assert len(found) == 3
    assert all(one.refused for one in found)
    assert "`penstock context r --sent`" in str(view.error)
    assert MalformedAnswer.__name__ not in str(view.error)


def test_what_is_kept_is_bounded_and_the_rest_is_counted() -> None:
    """SM-06: a prompt may hold whole files."""
    long = "x" * (LARGEST_PROMPT * 3)
    fact = Exchange("q", 1, [Message("system", "s"), Message("user", long)]).fact()
    system, user = fact.sent
    assert (system.content, system.left_out) == ("s", 0)
    assert len(user.content) + user.left_out == len(long) + len("\n…\n")
    assert len(user.content) < LARGEST_PROMPT
    assert without_middle("\ud800", 10) == ("?", 0)
    large = Exchange("q", 1, [], inputs={"file": long}, fields={"a": 1}).fact()
    assert (large.inputs, large.fields) == ({}, {"a": 1})
    odd = Exchange("q", 1, [], fields={"a": object()}).fact()
    assert odd.fields == {}


def test_a_long_message_has_the_room_that_short_ones_leave() -> None:
    """SM-06: nearly every prompt is a short system message and a long question."""
    most = "x" * (LARGEST_PROMPT - 100)
    said = [Message("system", "s"), Message("user", most), Message("assistant", "a")]
    sent = Exchange("q", 1, said).fact().sent
    assert [(one.role, len(one.content), one.left_out) for one in sent] == [
        ("system", 1, 0),
        ("user", len(most), 0),
        ("assistant", 1, 0),
    ]
    many = [Message("user", most)] * 7
    kept = Exchange("q", 1, many).fact().sent
    assert sum(len(one.content) for one in kept) <= LARGEST_PROMPT
    assert all(one.left_out for one in kept)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("hunter.", "hunter2!"),
        ("hunter2", "hunter2!"),
        ('"password": "[^"]+"', '{"password": "hunter2"}'),
        ("(?m:^KEY=.*$)", "Write this:\nKEY=hunter2\n"),
        (r"^hunter\d$", "hunter2"),
        (r"key:\s\w+", "key:\nhunter2"),
    ],
)
def test_secrets_are_taken_out_of_exchanges(pattern: str, said: str) -> None:
    """SM-06: as out of every fact, whatever its JSON makes of quotes and lines."""
    exchange = Exchange("q", 1, [Message("user", f"It is:\n{said}")], said=said)
    now = datetime(2026, 11, 29, tzinfo=UTC)
    made = new_event("r", exchange.fact(), now=now)
    redact: Callable[[Any], Any] = make_redaction([pattern])
    body = from_json(redact(Append((made,), None)).new_events[0].body)
    assert "hunter2" not in body["said"]
    assert body["sent"][0]["content"].startswith("It is:\n")
    # Without its line an anchored pattern means another text.
    assert pattern[0] == "^" or "hunter2" not in body["sent"][0]["content"]
    assert body["type"] == "model.answered"


@pytest.mark.parametrize("path", ["", "/v1"])
async def test_a_thinking_model_is_heard_thinking(
    model_server: ModelServer, path: str
) -> None:
    """Its thoughts are no part of the answer, and its speed is the server's own, or counts them."""
    model_server.script(
        {"text": "Yes.", "thinking": "Is it so?", "timings": {"predicted_ms": 2000.0}}
    )
    heard: list[Heard] = []

    async def hear(one: Heard) -> None:
        await trio.lowlevel.checkpoint()
        heard.append(one)

    provider: Any = "openai" if path else "ollama"
    config = Models(
        provider=provider, url=model_server.url + path, chain=("mistral:7b",)
    )
    with trio.fail_after(30):
        async with open_models(config, {}) as chain:
            assert chain is not None
            done = await chain.complete(
                [Message("user", "so?")], hear, account=lambda *_: None
            )
            (row,) = chain.statistics()
    assert "".join(one.thought for one in heard) == done.reply.thoughts == "Is it so?"
    assert "".join(one.text for one in heard) == done.reply.text == "Yes."
    assert row.tokens_per_second is not None
    assert row.tokens_per_second < 1000
