"""API-08, QA-08: a body is bounded by what parsing it costs, before anything parses it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.house import TOKEN, open_house
from penstock.words.errors import Refused, TooLarge
from penstock.words.json_meter import JsonMeter

_JSON = {"Content-Type": "application/json"}

_texts = st.text(alphabet='"\\,[]{}aé\n', max_size=12)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | _texts,
    lambda inner: st.lists(inner) | st.dictionaries(_texts, inner),
    max_leaves=30,
)


def _measure(value: Any) -> tuple[int, int]:
    """Values after commas and brackets, and levels: what the meter should find."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return 0, 0
    inner = [_measure(item) for item in value]
    values = max(1, len(value)) + sum(count for count, _ in inner)
    return values, 1 + max((depth for _, depth in inner), default=0)


def _passes(body: bytes, size: int, *, most_values: int, deepest: int) -> bool:
    meter = JsonMeter("body", most_values=most_values, deepest=deepest)
    try:
        for start in range(0, len(body), size):
            meter.feed(body[start : start + size])
    except Refused:
        return False
    return True


@given(value=_values, size=st.integers(1, 40), ascii_only=st.booleans())
def test_values_and_levels_are_counted_exactly(
    value: Any, size: int, ascii_only: bool
) -> None:
    """API-08 However the body is cut, and whatever its strings hold."""
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    values, levels = _measure(value)
    assert _passes(body, size, most_values=max(1, values), deepest=max(1, levels))
    if values > 1:
        assert not _passes(body, size, most_values=values - 1, deepest=1000)
    if levels > 1:
        assert not _passes(body, size, most_values=10_000, deepest=levels - 1)


@pytest.mark.parametrize("text", [",", "[", "\\", '"', '\\\\"', "{}"])
def test_a_long_text_is_one_value(text: str) -> None:
    """API-08 What a prompt holds is nobody's structure."""
    body = json.dumps({"prompt": text * 100_000}).encode()
    assert _passes(body, 65_536, most_values=10, deepest=3)


def test_an_encoding_that_the_meter_cannot_read_is_refused() -> None:
    """API-08 Some parsers take UTF-16, in which escapes would not be seen."""
    meter = JsonMeter("body", most_values=10, deepest=10)
    with pytest.raises(Refused, match="UTF-8"):
        meter.feed('{"a":1}'.encode("utf-16-le"))


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "lists": lambda size: b"[" + b"[]," * (size // 3),
    "integers": lambda size: b"[" + b"1," * (size // 2),
    "empty strings": lambda size: b"[" + b'"",' * (size // 3),
    "names": lambda size: b"{" + b'"":0,' * (size // 5),
    "levels": lambda size: b"[" * size,
    "escapes": lambda size: b'"' + b'\\"' * (size // 2),
    "backslashes": lambda size: b'"' + b"\\" * size,
    "quotes": lambda size: b'"' * size,
    "ends": lambda size: b"]" * size,
    "text": lambda size: b'"' + b"a" * size,
}


def _cpu(body: bytes) -> float:
    """The least of a few measurements: what disturbs one only adds to it."""
    spent = []
    for _ in range(3):
        begin = time.process_time()
        _passes(body, 65_536, most_values=50_000, deepest=128)
        spent.append(time.process_time() - begin)
    return min(spent)


@pytest.mark.slow
@pytest.mark.parametrize("shape", HOSTILE)
def test_counting_takes_a_share_of_what_hashing_would(shape: str) -> None:
    """QA-08 Nine megabytes of anything cost no more than a few passes over that memory."""
    body = HOSTILE[shape](9 * 1024 * 1024)
    begin = time.process_time()
    for _ in range(20):
        body.count(b"\xff\xfe")
    reference = time.process_time() - begin
    assert _cpu(body) < 10 * reference + 0.05


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("inputs", "status", "word"),
    [
        (b"[" + b"[]," * 3_000_000 + b"[]]", 413, "50000 values"),
        (b"[" + b"1," * 4_500_000 + b"1]", 413, "50000 values"),
        (b"[" * 200 + b"]" * 200, 400, "128 levels"),
    ],
    ids=["lists", "integers", "levels"],
)
@pytest.mark.parametrize("path", ["/runs", "/queue/pause"])
async def test_a_body_of_many_values_is_refused_with_the_limit(
    path: str, inputs: bytes, status: int, word: str
) -> None:
    """API-08 ER-02: a problem document that names it, and nothing is recorded."""
    async with open_house() as house, house.http() as client:
        body = b'{"kind":"echo","inputs":{"text":' + inputs + b"}}"
        answer = await client.post(path, content=body, headers=_JSON)
        assert answer.status_code == status, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        document = answer.json()
        assert word in document["detail"]
        assert document["limit"] == int(word.split()[0])
        assert TOKEN not in answer.text
        assert house.core.bus.head == house.opened_at


def test_the_error_of_too_many_values_is_told_as_a_size() -> None:
    """ER-02"""
    meter = JsonMeter("body", most_values=2, deepest=9)
    with pytest.raises(TooLarge, match="more than the limit of 2 values"):
        meter.feed(b"[1,2,3,4]")
