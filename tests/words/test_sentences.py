"""One table says what a fact says, for every surface."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from penstock.words.events import (
    EVENT_CLASSES,
    TERMINAL_TYPES,
    KnownEvent,
    RunQueued,
    RunStarted,
    encode_event,
)
from penstock.words.recorded import Recorded
from penstock.words.sentences import (
    SENTENCES,
    detail_of,
    number,
    sentence_of,
    size,
)
from words.test_events import REQUIRED

KNOWN = sorted(EVENT_CLASSES)
#: What a type's facts hold when they were made by another version, or by somebody else.
SHAPES: list[dict[str, Any]] = [
    {},
    {"from_tomorrow": True},
    {
        name: value
        for name in ("reason", "error", "name", "text", "size", "metadata", "modules", "used",
                     "fraction", "summary", "by", "attempt", "argv", "group")
        for value in ({"a": [None]},)
    },
]  # fmt: skip


def recorded(type_: str, body: bytes) -> Recorded:
    at = datetime.now(UTC)
    return Recorded(1, "r", 1, uuid4(), at, {}, None, 0, type_, body)


def fact(event: KnownEvent) -> Recorded:
    return recorded(event.type, encode_event(event))


def test_every_known_fact_has_its_sentence() -> None:
    """EV-13: whoever adds a type says here how it is told."""
    assert set(SENTENCES) == set(EVENT_CLASSES)


@pytest.mark.parametrize("name", KNOWN)
def test_every_known_fact_can_be_told(name: str) -> None:
    """EV-13"""
    body = json.dumps({"type": name, **REQUIRED.get(name, {})}).encode()
    told = recorded(name, body)
    assert isinstance(detail_of(told), str)
    alone = sentence_of(told)
    assert (alone is None) == (SENTENCES[name].alone is None)
    assert alone is None or isinstance(alone, str)


@pytest.mark.parametrize("shape", SHAPES, ids=["nothing", "more", "other values"])
@pytest.mark.parametrize("name", [*KNOWN, "from.tomorrow", ""])
def test_a_fact_of_another_shape_is_told_and_crashes_nobody(
    name: str, shape: dict[str, Any]
) -> None:
    """EV-13: it says what it can, or what was recorded."""
    told = recorded(name, json.dumps({"type": name, **shape}).encode())
    assert isinstance(detail_of(told), str)
    assert isinstance(sentence_of(told), str | None)


#: What agents' facts say on their own, and beside their type.
AGENTS: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "agent.said", "message": "m", "text": " Hi\n"}, "Hi", "agent:  Hi\n"),
    ({"type": "agent.said", "message": "m", "role": "thought", "text": "Hm"}, "", "thought: Hm"),
    ({"type": "tool.called", "call": "c", "tool": "edit", "title": "Edit a.py"}, "Edit a.py", "Edit a.py"),
    ({"type": "tool.called", "call": "c", "tool": "execute", "title": "make"}, "execute: make", "execute: make"),
    ({"type": "tool.called", "call": "c", "tool": "read", "paths": ["a", "b"]}, "read: a, b", "read: a, b"),
    ({"type": "tool.ended", "call": "c", "status": "completed", "output": "x"}, "", "c  completed"),
    ({"type": "tool.ended", "call": "c", "status": "failed", "output": "x\ny\n"}, "tool failed: y", "c  failed"),
    ({"type": "plan.updated", "entries": [{"content": "a", "status": "completed"}, {"content": "b", "status": "in_progress"}]},
     "plan: 1 of 2 done, now: b", "plan: 1 of 2 done, now: b"),
    ({"type": "ask.withdrawn", "name": "q", "reason": "the turn ended"}, "no longer asks q: the turn ended", "q: the turn ended"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "alone", "beside"), AGENTS)
def test_what_an_agent_says_and_does_is_told_in_a_line(
    data: dict[str, Any], alone: str, beside: str
) -> None:
    """EV-13: of models and of plain dicts alike."""
    told = recorded(data["type"], json.dumps(data).encode())
    assert (sentence_of(told), detail_of(told)) == (alone, beside)


def test_an_unknown_fact_is_told_as_it_was_recorded_beside_its_type() -> None:
    """EV-13"""
    told = recorded("x", b'{"type":"x","a":"\\u001b"}')
    assert detail_of(told) == '{"type":"x","a":"\\u001b"}'
    assert sentence_of(told) is None
    assert detail_of(recorded("log", b"{")) == "{"


def test_a_newer_fact_with_one_field_more_still_says_what_it_can() -> None:
    """EV-13: an older command line in front of a newer daemon."""
    body = b'{"type":"run.failed","reason":"error","error":"boom","more":1}'
    assert sentence_of(recorded("run.failed", body)) == "failed: boom"


def test_a_start_says_what_was_asked_for_though_it_does_not_hold_it() -> None:
    """The inputs of a run are in its first fact and nowhere else."""
    inputs = {"argv": ["make", "test"]}
    queued = fact(RunQueued(kind="command", priority=20, inputs=inputs, group="g"))
    assert detail_of(queued) == "command  make test  group=g"
    started = fact(RunStarted(kind="command"))
    assert b"inputs" not in started.body
    assert detail_of(started, inputs) == "command  make test"
    assert detail_of(started) == "command"


def test_an_end_always_has_a_sentence() -> None:
    """CL-02: every surface tells how a run ended."""
    assert all(SENTENCES[name].alone is not None for name in TERMINAL_TYPES)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0k"),
        (48_210, "48.2k"),
        (481_000, "481k"),
        (1_300_000, "1.3M"),
    ],
)
def test_numbers_are_short(count: int, said: str) -> None:
    assert number(count) == said


def test_sizes_are_in_the_units_people_know() -> None:
    assert [size(n) for n in (12, 2048, 5 << 20, 3 << 30)] == [
        "12 B",
        "2 KiB",
        "5 MiB",
        "3.0 GiB",
    ]
