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


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"\0" * 100_000, "base64"),
        (b"\0ab" * 30_000, "base64"),
        (b"\x1b[31mred\x1b[0m\r\n" * 10_000, "text"),
        (b"a" * 100 + b"\0", "text"),
        (b"a long name of a file\0" * 1000, "text"),
        (b"\0" * 100, "text"),
    ],
    ids=["zeros", "many", "colours", "one", "names", "few"],
)
def test_zeros_are_recorded_in_the_form_that_takes_less_room(
    data: bytes, form: str
) -> None:
    """PT-03 ST-10: JSON writes each of them with six characters; colours and names stay text."""
    piece = piece_of("stdout", data)
    assert (piece.base64 is not None) == (form == "base64")
    assert bytes_of(piece) == data
    assert len(encode_event(piece)) < 2 * len(data) + 1000


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
