"""DS-01 and DS-03: fields out of a stream, whatever the size of its pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.llm.fields import FieldSplitter

FIELDS = ("reasoning", "answer")

#: What answers are made of, the nasty parts included.
PARTS = st.sampled_from([
    "[[ ## reasoning ## ]]", "[[ ## answer ## ]]", "[[ ## completed ## ]]", "[[ ## other ## ]]",
    "[[ ## ", "[[", "[", " ## ]]", "]]", "\n", "\n\n", "\r\n", " ", "\t", "    ", "text", "水門",
    "🚰", "\u2028", "\x85", "x = [[1, 2], [3]]", "```python\n", "def f():\n    pass\n",
])  # fmt: skip
ANSWERS = st.lists(PARTS, max_size=30).map("".join)


def split(pieces: list[str]) -> tuple[list[tuple[str, str]], dict[str, str]]:
    splitter = FieldSplitter(FIELDS)
    added: list[tuple[str, str]] = []
    for piece in pieces:
        restarts = splitter.restarts
        new = splitter.feed(piece)
        # What was added before an answer began anew does not count.
        added = new if splitter.restarts > restarts else added + new
    return added + splitter.close(), splitter.values


def joined(added: list[tuple[str, str]]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name, text in added:
        texts[name] = texts.get(name, "") + text
    return texts


def cut(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted({place % (len(text) + 1) for place in places}), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges)]


@given(ANSWERS, st.lists(st.integers(0, 10_000), max_size=20))
def test_pieces_of_any_size_give_the_same_fields(text: str, places: list[int]) -> None:
    """DS-03: no character lost, doubled or moved."""
    whole, values = split([text])
    added, same_values = split(cut(text, places))
    assert joined(added) == joined(whole) == {k: v for k, v in values.items() if v}
    assert values == same_values


@given(ANSWERS)
def test_characters_one_by_one_give_the_same_fields(text: str) -> None:
    assert split(list(text))[1] == split([text])[1]


def test_fields_come_in_order_with_their_text_as_it_arrives() -> None:
    """DS-01: the stream yields (field, delta)."""
    splitter = FieldSplitter(FIELDS)
    assert splitter.feed("Sure!\n[[ ## reasoning ## ]]\nBecause") == [
        ("reasoning", "Because")
    ]
    assert splitter.feed(" it\nflows.\n\n[[ ## ans") == [
        ("reasoning", " it"),
        ("reasoning", "\nflows."),
    ]
    assert splitter.feed("wer ## ]]\n 42 ") == [("answer", "42")]
    assert splitter.feed("\n[[ ## completed ## ]]\nBye.") == []
    assert splitter.close() == []
    assert splitter.values == {"reasoning": "Because it\nflows.", "answer": "42"}


def test_a_field_may_begin_on_the_line_of_its_header() -> None:
    assert split(["[[ ## answer ## ]] 42\n"])[1] == {"answer": "42"}


def test_what_only_looks_like_a_header_is_text() -> None:
    """DS-03: not a character of it is lost."""
    text = "[[ ## answer ## ]]\nx = [[1]]\n[[ ## not\n[[ ## " + "n" * 200 + "\n  [[ ##"
    assert split(list(text))[1] == {"answer": text.split("\n", 1)[1]}


def test_of_a_field_that_comes_twice_the_last_counts() -> None:
    """DS-03: models rehearse the form; what was streamed of it is taken back."""
    text = "[[ ## answer ## ]]\nfirst\n[[ ## answer ## ]]\nsecond"
    assert split([text])[1] == {"answer": "second"}


def test_inner_white_space_is_kept_and_outer_left_out() -> None:
    text = "[[ ## answer ## ]]\n\n  a\n\n    b\t\n \n"
    assert split(list(text))[1] == {"answer": "a\n\n    b"}


@pytest.mark.parametrize("text", ["", "no header at all", "[[ ## reasoning ## ]]"])
def test_an_answer_without_the_fields_has_none(text: str) -> None:
    added, values = split([text])
    assert added == []
    assert "answer" not in values
