"""AG-01: lines of an agent are read whatever they are, and only so much of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.kinds.agent.messages import (
    DEEPEST,
    LONGEST_LINE,
    MOST_VALUES,
    AgentAnswer,
    AgentLines,
    AgentNotice,
    AgentRequest,
    Fault,
    Noise,
    read_message,
)
from penstock.kinds.agent.protocol import (
    ANSWERED,
    ASKING,
    MOST_NOISE,
    AgentPhase,
    AgentProtocol,
    Update,
)
from penstock.kinds.agent.transcript import Transcript


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"method":"m"}', AgentNotice("m", {})),
        (b'\xef\xbb\xbf{"method":"m"}\r', AgentNotice("m", {})),
        (b'{"method":"m","params":[1]}', AgentNotice("m", {})),
        (b'{"method":"m","id":0,"params":{"a":1}}', AgentRequest(0, "m", {"a": 1})),
        (b'{"method":"m","id":"x"}', AgentRequest("x", "m", {})),
        (b'{"id":1}', AgentAnswer(1)),
        (b'{"id":1,"result":[],"error":null}', AgentAnswer(1, [])),
        (b'{"id":1,"error":{"code":-1,"message":"no","data":3}}', AgentAnswer(1, fault=Fault(-1, "no", 3))),
        (b'{"id":1,"error":"no"}', AgentAnswer(1, fault=Fault(0, "no"))),
        (b'{"id":1,"error":{}}', AgentAnswer(1, fault=Fault(0, "it gave no reason"))),
        (b'{"method":"m","params":{"x":"\\ud83d\\ude00"}}', AgentNotice("m", {"x": "\U0001f600"})),
        (b'{"method":"m","params":{"\\ud83d":["\\ud83d!"]}}', AgentNotice("m", {"\ufffd": ["\ufffd!"]})),
        (b'{"method":"m","params":{"x":"\xff"}}', AgentNotice("m", {"x": "\ufffd"})),
    ],
)  # fmt: skip
def test_messages_are_read_leniently(line: bytes, message: Any) -> None:
    assert read_message(line) == message


@pytest.mark.parametrize("line", [
    b"x", b"[]", b"1", b"null", b'"x"', b"{", b'{"id":true}', b'{"id":1.5}', b'{"id":null,"method":"m"}', b"{}",
    b'{"method":3}', b'{"method":"m","params":NaN}', b'{"method":"m","params":{"x":1e999}}', b"\x00\xff",
    b'{"method":"m","params":' + b"9" * 5000 + b"}", b'{"a":' + b"[" * 90_000,
])  # fmt: skip
def test_what_is_no_message_is_noise(line: bytes) -> None:
    noise = read_message(line)
    assert isinstance(noise, Noise)
    assert noise.size == len(line)
    assert len(noise.text) <= 500


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_lines_come_in_pieces_of_any_size(size: int) -> None:
    data = b'{"a":1}\n\n \r\n' + b'"' + b"x" * 70_000 + b'"\n{"b":2}\nrest'
    lines = AgentLines()
    found = [line for start in range(0, len(data), size) for line in lines.feed(data[start : start + size])]  # fmt: skip
    assert [len(line) for line in found if isinstance(line, bytes)] == [7, 70_002, 7]


def _pieces(data: bytes) -> Iterator[bytes | Noise]:
    lines = AgentLines()
    for start in range(0, len(data), 65536):
        yield from lines.feed(data[start : start + 65536])


def test_a_line_of_too_much_is_passed_over_and_the_next_one_read() -> None:
    deep = b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1)
    many = b"[" + b"1," * MOST_VALUES + b"1]"
    first, second, last = _pieces(deep + b"\n" + many + b'\n{"id":1}\n')
    assert isinstance(first, Noise)
    assert "deeper than the limit of 100 levels" in first.text
    assert isinstance(second, Noise)
    assert "more than the limit of 200000 values" in second.text
    # It was given up while it still came.
    assert second.size <= len(many)
    assert last == b'{"id":1}'


def test_as_deep_and_as_long_as_may_be_is_read() -> None:
    deep = b"[" * DEEPEST + b"]" * DEEPEST
    long = b'"' + b"x" * (LONGEST_LINE - 2) + b'"'
    assert list(_pieces(deep + b"\n" + long + b"\n")) == [deep, long]
    lines = AgentLines()
    assert list(lines.feed(long + b"x\n")) == []
    assert lines.overlong


def test_noise_is_the_end_once_it_is_too_much() -> None:
    protocol = AgentProtocol()
    line = b"x" * 999 + b"\n"
    told = sum(len(list(protocol.receive(line))) for _ in range(200))
    assert told == MOST_NOISE // 999 + 1
    assert "no message of the protocol" in protocol.broken


def test_every_phase_is_left_by_the_table() -> None:
    """And what is asked for leads to a phase that an answer ends, or to none."""
    reached = set(ASKING.values()) | {phase for pair in ANSWERED.values() for phase in pair}  # fmt: skip
    assert reached | {AgentPhase.CANCELLING} == set(AgentPhase)
    asked_in = {phase for phase, _ in ASKING}
    for phase in AgentPhase:
        assert (phase in ANSWERED) != (phase in asked_in), phase


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip
_keys = st.sampled_from([
    "sessionUpdate", "content", "toolCallId", "status", "kind", "title", "rawInput", "rawOutput", "locations",
    "entries", "cost", "_meta", "messageId", "usage", "path", "type", "text", "oldText", "newText", "amount",
])  # fmt: skip
_words = st.sampled_from([
    "tool_call", "tool_call_update", "plan", "usage_update", "agent_message_chunk", "diff", "content", "text",
    "completed", "pending", "edit",
])  # fmt: skip
_parts = st.dictionaries(_keys, _values | _words, max_size=5)
_updates = st.dictionaries(_keys, _words | _values | _parts | st.lists(_parts, max_size=2), max_size=8)  # fmt: skip


# How long the making of such data takes is the machine's affair.
@given(updates=st.lists(_updates, max_size=5))
def test_whatever_an_agent_tells_makes_facts_or_none(
    updates: list[dict[str, Any]],
) -> None:
    protocol, transcript = AgentProtocol(), Transcript(1, Path("/t"), "fake")
    protocol.ask("initialize", {})
    list(protocol.receive(b'{"id":1,"result":{"protocolVersion":1}}\n'))
    protocol.ask("session/new", {})
    list(protocol.receive(b'{"id":2,"result":{"sessionId":"s"}}\n'))
    for update in updates:
        params = {"sessionId": "s", "update": update}
        line = json.dumps({"method": "session/update", "params": params}).encode()
        for happening in protocol.receive(line + b"\n"):
            if isinstance(happening, Update):
                transcript.take(happening.update)
    transcript.take_wish({key: value for update in updates for key, value in update.items()})  # fmt: skip
    transcript.end_turn(updates[0] if updates else {})
    for fact in transcript.flush():
        assert fact.model_dump_json().encode()


@given(lines=st.lists(st.binary(max_size=60) | _values.map(lambda v: json.dumps(v).encode()), max_size=9))  # fmt: skip
def test_whatever_an_agent_writes_is_taken(lines: list[bytes]) -> None:
    protocol = AgentProtocol()
    protocol.ask("initialize", {})
    for line in lines:
        list(protocol.receive(line + b"\n"))


@given(
    ids=st.lists(_values, max_size=5),
    methods=st.lists(st.sampled_from(["session/request_permission", "session/update", "$/cancel_request", "fs/x"]), max_size=5),
    params=st.dictionaries(st.sampled_from(["sessionId", "update", "requestId", "toolCall", "options"]), _values),
)  # fmt: skip
def test_whatever_an_agent_asks_and_answers_is_taken(
    ids: list[Any], methods: list[str], params: dict[str, Any]
) -> None:
    protocol = AgentProtocol()
    protocol.ask("initialize", {})
    for number in ids:
        for method in methods:
            line = json.dumps({"id": number, "method": method, "params": params})
            list(protocol.receive(line.encode() + b"\n"))
            line = json.dumps({"method": method, "params": params})
            list(protocol.receive(line.encode() + b"\n"))
        line = json.dumps({"id": number, "result": params})
        list(protocol.receive(line.encode() + b"\n"))
