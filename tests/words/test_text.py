"""DS-03, TU-04: text is decoded whole and cannot command a terminal."""

from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from penstock.words.text import Utf8Decoder, break_lines, cut, escape_json, neutralise


def test_escape_sequences_become_visible() -> None:
    """TU-04"""
    assert neutralise("\x1b[31mred\x1b[0m\x07") == "␛[31mred␛[0m␇"
    assert neutralise("\x9b31m\x7f\x00\r") == "␛[31m␡␀␍"


def test_what_turns_a_line_around_is_replaced() -> None:
    """TU-04: a line reads as it is, in the order in which it was written."""
    turns = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
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


@given(st.text(), st.lists(st.integers(0, 400)))
def test_text_survives_any_split_of_its_bytes(text: str, cuts: list[int]) -> None:
    """DS-03"""
    decoder, encoded = Utf8Decoder(), text.encode()
    edges = [0, *sorted(min(c, len(encoded)) for c in cuts), len(encoded)]
    parts = [encoded[a:b] for a, b in pairwise(edges)]
    assert "".join(map(decoder.decode, parts)) + decoder.finish() == text


@given(st.binary())
def test_bad_bytes_are_replaced_as_in_one_piece(data: bytes) -> None:
    """DS-03"""
    decoder = Utf8Decoder()
    text = "".join(decoder.decode(bytes([byte])) for byte in data) + decoder.finish()
    assert text == data.decode("utf-8", "replace")


def test_carriage_returns_become_newlines_also_across_pieces() -> None:
    decoder = Utf8Decoder(newlines=True)
    parts = [decoder.decode(part) for part in (b"10%\r20%\r", b"\nend\r")]
    assert "".join(parts) + decoder.finish() == "10%\n20%\nend\n"


def test_dropping_tells_how_many_bytes_were_pending() -> None:
    decoder = Utf8Decoder()
    assert decoder.decode("é".encode() + "日".encode()[:2]) == "é"
    assert decoder.drop() == 2
    assert decoder.decode(b"a") == "a"


@given(st.text(), st.integers(4, 50))
def test_a_cut_splits_no_character(text: str, size: int) -> None:
    head, rest = cut(text, size)
    assert head + rest == text
    assert len(head.encode()) <= size
    assert not rest or len(head.encode()) > size - 4


@given(st.lists(st.text("ab\n日🎉", max_size=20)), st.integers(4, 12))
def test_no_line_is_longer_than_the_limit_and_no_character_is_lost(
    parts: list[str], limit: int
) -> None:
    """RS-05"""
    column, broken = 0, ""
    for part in parts:
        text, column = break_lines(part, column, limit)
        broken += text
    assert broken.replace("\n", "") == "".join(parts).replace("\n", "")
    assert all(len(line.encode()) <= limit for line in broken.split("\n"))
