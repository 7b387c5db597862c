"""PT-03, PT-04: a piece of output in its three forms, and what readers make of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.words.events import Log, UnknownEvent, encode_event, parse_event
from penstock.words.printed import bytes_of, piece_of, size_of, text_of


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_a_piece_gives_back_the_bytes_it_was_made_of(data: bytes) -> None:
    """PT-03: text where the bytes are UTF-8, base64 where they are not; through JSON and back."""
    piece = parse_event(json.loads(encode_event(piece_of("stderr", data))))
    assert isinstance(piece, Log)
    assert (bytes_of(piece), size_of(piece)) == (data, len(data))
    assert text_of(piece) == data.decode("utf-8", "replace")


def test_text_is_recorded_as_the_program_wrote_it() -> None:
    """PT-03: control characters, carriage returns and colours are part of it."""
    piece = piece_of("stdout", b"10 %\r\x1b[1m20 %\x1b[m\r\n\x00")
    assert piece.text == "10 %\r\x1b[1m20 %\x1b[m\r\n\x00"
    assert piece.base64 is None


def test_an_emptied_piece_says_how_many_bytes_it_held() -> None:
    """PT-04"""
    piece = Log(stream="stdout", bytes=65536, emptied=True)
    assert (bytes_of(piece), size_of(piece)) == (None, 65536)
    assert text_of(piece) == "[65536 bytes no longer kept]\n"
    assert json.loads(encode_event(piece)) == {
        "type": "log", "stream": "stdout", "bytes": 65536, "emptied": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"text": "x", "base64": "eA=="},
        {"text": "x", "bytes": 1, "emptied": True},
        {"text": "x", "bytes": 1},
        {"bytes": 1},
        {"emptied": True},
        {"bytes": -1, "emptied": True},
        {"bytes": 1, "emptied": False},
        {"base64": "no base64"},
        {"base64": "eA="},
    ],
)
def test_a_piece_has_exactly_one_form(form: dict[str, Any]) -> None:
    """PT-03: whatever else stands in a log is kept as it came, and crashes nobody."""
    assert isinstance(parse_event({"type": "log", **form}), UnknownEvent)
