"""CX-01: four layers, in order."""

from __future__ import annotations

from fakes.history import recorded
from penstock.llm.chat import Message
from penstock.llm.context import Layers, arrange, build_layers
from penstock.llm.prompts import BY_TYPE, GENERIC, PromptCache
from penstock.words.events import CodeGenerated, ModuleStarted, RunStarted

LAYERS = Layers("SYSTEM", "STATE", "EVENTS", "CURRENT")


def test_the_layers_stand_in_order_around_the_question() -> None:
    """CX-01."""
    sent = arrange(LAYERS, [Message("system", "format"), Message("user", "question")])
    assert [message.role for message in sent] == ["system", "user"]
    text = "".join(message.content for message in sent)
    words = ["SYSTEM", "format", "STATE", "EVENTS", "CURRENT", "question"]
    places = [text.index(word) for word in words]
    assert places == sorted(places)


def test_they_stand_before_the_question_and_not_before_the_examples() -> None:
    example = [Message("user", "example"), Message("assistant", "reply")]
    sent = arrange(
        LAYERS, [Message("system", "format"), *example, Message("user", "question")]
    )
    assert sent[1:3] == example
    assert "STATE" in sent[3].content


def test_empty_layers_change_nothing() -> None:
    """CX-01: valid with an empty history too."""
    messages = [Message("user", "question")]
    assert arrange(Layers(), messages) == messages


def test_layers_alone_are_a_valid_prompt() -> None:
    assert [m.role for m in arrange(LAYERS, [])] == ["system", "user"]


def test_they_are_built_from_an_empty_history() -> None:
    """CX-01."""
    layers = build_layers(PromptCache(), [])
    assert layers.system == GENERIC
    assert "not started" in layers.state
    assert layers.events == layers.current == ""
    assert list(layers.counts()) == [
        "system prompt", "state summary", "compressed events", "current event",
    ]  # fmt: skip


def test_they_are_built_from_what_matters_to_the_current_event() -> None:
    """CX-01, CX-09: the state tells of the whole run, the events are those that fit."""
    history = [
        recorded(RunStarted(kind="coding"), 1),
        recorded(ModuleStarted(module="auth"), 2, version=1),
        recorded(ModuleStarted(module="billing"), 3, version=1),
        recorded(CodeGenerated(module="auth"), 4, version=1),
    ]
    layers = build_layers(PromptCache(), history, history[1])
    assert layers.system == BY_TYPE["module.started"]
    assert "modules: 2" in layers.state
    assert layers.events == ""
    later = build_layers(PromptCache(), history, history[3])
    assert later.events == 'module.started {"module":"auth"}'
    assert later.current == 'code.generated {"module":"auth"}'
    assert later.counts()["current event"] > 0
