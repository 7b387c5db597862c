"""DS-03, TU-04: text is decoded whole and cannot command a terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.words.text import escape_json, neutralise, unfinished_character


def test_escape_sequences_become_visible() -> None:
    """TU-04"""
    assert neutralise("\x1b[31mred\x1b[0m\x07") == "␛[31mred␛[0m␇"
    assert neutralise("\x9b31m\x7f\x00\r") == "␛[31m␡␀␍"


def test_what_turns_a_line_around_is_replaced() -> None:
    """TU-04: a line reads as it is, in the order in which it was written."""
    turns = [0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
    assert {neutralise(chr(code)) for code in turns} == {"\ufffd"}


def test_json_keeps_its_meaning_when_it_is_escaped() -> None:
    """TU-04 CL-01"""
    value = {"a\x9b": ["\u202e\x7f\x1b", "tab\t", "日本"]}
    line = escape_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(line) == value
    assert neutralise(line) == line


def test_newlines_tabs_and_letters_stay() -> None:
    text = "naïve\tτext\n日本 🎉"
    assert neutralise(text) == text


def test_halves_of_surrogate_pairs_do_not_break_utf_8() -> None:
    assert neutralise("a\ud800b").encode() == "a\ufffdb".encode()


@given(st.text())
def test_neutralising_twice_changes_nothing_more(text: str) -> None:
    once = neutralise(text)
    assert neutralise(once) == once
    assert not any(ord(c) < 0x20 and c not in "\n\t" for c in once)


@given(st.text(), st.integers(0, 400))
def test_what_is_cut_before_an_unfinished_character_is_text(
    text: str, size: int
) -> None:
    """PT-03: wherever a text is cut, all but at most three bytes of it can be read."""
    data = text.encode()[:size]
    rest = unfinished_character(data)
    assert rest <= 3
    data[: len(data) - rest].decode()
    assert not rest or data[-rest] >= 0xC0


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        (b"", 0),
        (b"a", 0),
        (b"\x80\x80\x80\x80", 0),
        (b"a\xc3", 1),
        (b"\xe6\x97", 2),
        (b"\xf0\x9f\x8e", 3),
        (b"\xf0\x9f\x8e\x89", 0),
        (b"\xc3a", 0),
    ],
)
def test_bytes_that_begin_no_character_are_not_waited_for(
    data: bytes, rest: int
) -> None:
    """PT-03"""
    assert unfinished_character(data) == rest
