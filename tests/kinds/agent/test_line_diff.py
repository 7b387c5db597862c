"""AG-01: a diff of two texts is one that applies, and takes no longer than the texts are long."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.kinds.agent import line_diff
from penstock.kinds.agent.line_diff import unified_diff

_lines = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n", "d\r\n", "e\x0b\u2028\n"]), max_size=30)  # fmt: skip
_texts = st.builds(lambda lines, end: "".join(lines) + end, _lines, st.sampled_from(["", "x"]))  # fmt: skip


def applied(old: str, diff: str) -> str:
    """The text that a diff makes of this one, as a patch program would, without looking around."""
    before = re.findall(r"[^\n]*\n|[^\n]+$", old)
    after: list[str] = []
    at, last = 0, ""
    for line in diff.split("\n")[2:-1]:
        mark, text = line[:1], line[1:] + "\n"
        if mark == "@":
            start, count = map(int, re.findall(r"\d+", text)[:2])
            begin = start - (1 if count else 0)
            after += before[at:begin]
            at = begin
        elif mark == "\\":
            if last in "+ ":
                after[-1] = after[-1].removesuffix("\n")
        else:
            if mark in "- ":
                assert before[at].removesuffix("\n") == text.removesuffix("\n")
                at += 1
            if mark in "+ ":
                after.append(text)
        last = mark
    return "".join(after + before[at:])


@given(old=_texts, new=_texts)
def test_a_diff_makes_the_one_text_of_the_other(old: str, new: str) -> None:
    diff = unified_diff(old, new, "f")
    assert (diff == "") == (old == new)
    if diff:
        assert applied(old, diff) == new


def test_a_change_has_its_context_and_no_more() -> None:
    old = "".join(f"{k}\n" for k in range(100))
    new = old.replace("\n50\n", "\n50 and more\n").replace("\n10\n", "\n")
    assert unified_diff(old, new, "f") == (
        "--- a/f\n+++ b/f\n"
        "@@ -8,7 +8,6 @@\n 7\n 8\n 9\n-10\n 11\n 12\n 13\n"
        "@@ -48,7 +47,7 @@\n 47\n 48\n 49\n-50\n+50 and more\n 51\n 52\n 53\n"
    )


def test_a_missing_last_newline_is_told() -> None:
    assert unified_diff("a", "a\n", "f").endswith("-a\n\\ No newline at end of file\n+a\n")  # fmt: skip


@pytest.mark.parametrize("path", ["a\n+++ b/etc", 'a"b', "a\x1b[31m"])
def test_a_path_cannot_say_more_than_a_path(path: str) -> None:
    head = unified_diff("a\n", "b\n", path).split("@@")[0]
    assert head.count("\n") == 2
    assert "\x1b" not in head


def test_texts_made_to_take_long_do_not() -> None:
    """Counted in comparisons of lines, which is what grows with the square elsewhere."""

    class Line(str):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Line.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    chance = random.Random(1)
    shuffled = [f"{k}\n" for k in range(4000)]
    chance.shuffle(shuffled)
    for old, new in (
        (["a\n"] * 4000, ["b\n", "a\n"] * 4000),
        ([f"{k}\n" for k in range(4000)], shuffled),
        ([f"{k % 60}\n" for k in range(4000)], [f"{k % 59}\n" for k in range(4000)]),
    ):
        Line.compared = 0
        span = line_diff._Change(0, len(old), 0, len(new))
        list(line_diff._changes([Line(x) for x in old], [Line(x) for x in new], span, 0))  # fmt: skip
        assert Line.compared < 40 * (len(old) + len(new))
