"""PT-06: what a program printed is shown as it would stand there, and commands no terminal."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fakes.few_numbers import some_fast
from penstock.words.display import LineReader, ShownLine, Span, TerminalText
from penstock.words.sgr import PLAIN, TextStyle
from penstock.words.text import UNSAFE

#: All that may reach a terminal of ours beside letters, line ends and tabs.
SGR = re.compile(r"\x1b\[[0-9;]*m")
#: What programs and those who mean harm print, in an order that nobody would choose.
PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            ["\n", "\r", "\r\n", "\x1b", "\x1b[", "\x1b[3", "1m", "\x1b[31m", "\x1b[0m", "\x1b[m", "\x1b[K", "\x1b[2K",
             "\x1b[1;4;38;5;200m", "\x1b[48;2;1;2;3m", "\x1b[38:2::9:8:7m", "\x1b]0;owned\x07", "\x1b]52;c;aGk=\x07",
             "\x9b31m", "\x9b2J", "\x1b[2J", "\x1b[?1049h", "\x1bP+q\x1b\\", "\x1bc", "\x1b(B", "\x1b[8m", "\u202e",
             "\x08", "\x00", "\x7f", "\t", "10%", "100%", "日本", "e\u0301", "[", "m", ";"]
        ),
        st.text(max_size=8),
    ),
    max_size=30,
)  # fmt: skip
CUTS = st.lists(st.integers(0, 200), max_size=8)


def parts_of(text: str, cuts: Iterable[int]) -> list[str]:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[begin:end] for begin, end in pairwise(edges)]


def read(*pieces: str, longest: int = 4096) -> list[ShownLine]:
    reader = LineReader(longest)
    lines = [line for piece in pieces for line in reader.feed(piece)]
    return [*lines, *reader.finish()]


def texts(*pieces: str) -> list[str]:
    return [line.text for line in read(*pieces)]


def said(*pieces: str, colour: bool = True, redraw: bool = True, columns: int = 10_000) -> str:  # fmt: skip
    shown = TerminalText(lambda: columns, colour=colour, redraw=redraw)
    return "".join([*map(shown.feed, pieces), shown.finish()])


class Terminal:
    """What stands on a terminal without a right edge that was sent nothing but text, SGR and returns."""

    def __init__(self, sent: str) -> None:
        self.rows: list[dict[int, tuple[str, TextStyle]]] = [{}]
        self.style, column = PLAIN, 0
        for token in re.finditer(r"\x1b\[([0-9;]*)m|[^\x1b]", sent):
            if token[1] is not None:
                self.style = self.style.apply(token[1])
            elif token[0] == "\n":
                self.rows.append({})
                column = 0
            elif token[0] == "\r":
                column = 0
            else:
                self.rows[-1][column] = (token[0], self.style)
                column += 1

    def lines(self) -> list[list[tuple[str, TextStyle]]]:
        """Letters and their styles; blanks that nobody sees left out at the end."""
        rows = []
        for row in self.rows:
            cells = [row[column] for column in sorted(row)]
            while cells and cells[-1] == (" ", PLAIN):
                cells.pop()
            rows.append(cells)
        return rows


# -- lines


def test_a_progress_bar_is_one_line() -> None:
    """PT-06"""
    bars = "".join(f"\r{percent:3} %" for percent in range(101))
    assert texts(f"get it{bars}\ndone\n") == ["100 %t", "done"]


def test_a_shorter_text_leaves_the_rest_and_an_erased_line_does_not() -> None:
    """PT-06: as on the terminal it was written for."""
    assert texts("abcdef\rXY\n") == ["XYcdef"]
    assert texts("abcdef\r\x1b[KXY\n") == ["XY"]
    assert texts("abcdef\rXY\x1b[K\n") == ["XY"]
    assert texts("abcdef\x1b[2K\rXY\n") == ["XY"]


def test_a_return_before_the_line_end_is_no_part_of_the_line() -> None:
    """PT-06"""
    assert texts("a\r\nb\r\n", "c\r", "\n") == ["a", "b", "c"]


def test_colours_are_taken_in_and_go_on_over_line_ends() -> None:
    """PT-06"""
    red = TextStyle(ink=(31,))
    bold = TextStyle(emphasis=(1,), ink=(38, 5, 200), ground=(48, 2, 1, 2, 3))
    lines = read("a\x1b[31mb\nc\x1b[m\x1b[1;38;5;200;48;2;1;2;3md\x1b[0m\n")
    assert [line.spans for line in lines] == [
        (Span("a"), Span("b", red)),
        (Span("c", red), Span("d", bold)),
    ]


def test_what_a_compiler_and_tput_say_beside_colours_is_not_seen() -> None:
    """PT-06: `ESC [ K` after each colour, and letters set back to usual ones."""
    [line] = read("\x1b[01m\x1b[Ka.c:\x1b[m\x1b[K x\x1b(B\n")
    assert line.spans == (Span("a.c:", TextStyle(emphasis=(1,))), Span(" x"))


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("\x1b]52;c;aGk=\x07", "␛]52;c;aGk=␇"),
        ("\x9b31mred", "␛[31mred"),
        ("\x1b[2J", "␛[2J"),
        ("\x1b[" + "1" * 65 + "m", "␛[" + "1" * 65 + "m"),
        ("a\x08b\u202ec\x7f", "a␈b\ufffdc␡"),
    ],
)
def test_what_a_terminal_would_obey_is_seen(sent: str, seen: str) -> None:
    """PT-06 TU-04"""
    assert texts(f"{sent}\n") == [seen]
    assert texts(*f"{sent}\n") == [seen]


def test_letters_cannot_be_hidden() -> None:
    """PT-06: whoever copies a line copies what is seen."""
    [line] = read("\x1b[8mrm -rf ~\n")
    assert line.spans == (Span("rm -rf ~"),)


def test_an_escape_that_never_ends_is_seen_at_the_end() -> None:
    """PT-06"""
    assert texts("a\x1b[31") == ["a␛[31"]


@given(PIECES, CUTS)
def test_how_a_text_is_cut_changes_no_line(pieces: list[str], cuts: list[int]) -> None:
    """PT-06 PT-03"""
    text = "".join(pieces)
    assert read(*parts_of(text, cuts), longest=20) == read(text, longest=20)


@given(PIECES)
def test_lines_are_harmless_and_read_again_as_themselves(pieces: list[str]) -> None:
    """PT-06: nothing but SGR, and none of it left at a line's end."""
    lines = read("".join(pieces))
    for line in lines:
        assert not UNSAFE.search(SGR.sub("", line.painted))
        assert Terminal(line.painted).style == PLAIN
    whole = [line._replace(ended=True) for line in lines]
    assert read("".join(f"{line.painted}\n" for line in whole)) == whole


@pytest.mark.parametrize("pieces", some_fast([200, 1000], 1))
def test_a_line_without_an_end_is_held_in_bounded_memory(pieces: int) -> None:
    """PT-06: 64 MB of it, in pieces and with colours."""
    reader = LineReader()
    piece = "\x1b[31m" + "x" * 65_000 + "\r"
    tracemalloc.start()
    try:
        parts = sum(len(reader.feed(piece)) for _ in range(pieces))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert parts > 10 * pieces
    assert peak < 8_000_000


# -- a terminal


@given(PIECES, CUTS)
def test_a_terminal_is_sent_nothing_but_letters_colours_and_returns(
    pieces: list[str], cuts: list[int]
) -> None:
    """PT-06 TU-04"""
    sent = said(*parts_of("".join(pieces), cuts))
    assert not UNSAFE.search(SGR.sub("", sent).replace("\r", ""))


@given(PIECES, CUTS)
def test_a_terminal_shows_the_lines_however_they_came(pieces: list[str], cuts: list[int]) -> None:  # fmt: skip
    """PT-06"""
    text = "".join(pieces)
    shown = Terminal(said(*parts_of(text, cuts)))
    final = Terminal("".join(line.painted + "\n" * line.ended for line in read(text)))
    assert shown.lines() == final.lines()[: len(shown.lines())]
    assert shown.style == PLAIN


@given(PIECES, CUTS)
@example(["\x1b[31mred"], [])
def test_after_each_piece_the_terminal_has_its_own_colours(pieces: list[str], cuts: list[int]) -> None:  # fmt: skip
    """PT-06: whoever else writes to it then, or whatever ends us."""
    shown = TerminalText(lambda: 80, colour=True, redraw=True)
    for part in parts_of("".join(pieces), cuts):
        assert Terminal(shown.feed(part)).style == PLAIN


def test_a_line_that_is_written_over_is_redrawn_on_the_terminal() -> None:
    """PT-06: live, and a shorter one leaves nothing of the longer."""
    shown = TerminalText(lambda: 80, colour=True, redraw=True)
    assert shown.feed("10 %") == "10 %"
    assert shown.feed("\r20 %\r30 %") == "\r30 %"
    assert shown.feed("\r\x1b[Kok") == "\r    \rok"
    assert shown.feed("!\nnext") == "!\nnext"


def test_a_line_that_is_written_over_stays_in_its_row() -> None:
    """PT-06: else the next return would go to its last row; whole it is shown whole."""
    shown = TerminalText(lambda: 11, colour=True, redraw=True)
    assert shown.feed("1" * 30) == "1" * 30
    assert shown.feed("\r" + "2" * 30).endswith("\r" + "2" * 10)
    assert shown.feed("\n") == "2" * 20 + "\n"


def test_without_colours_and_without_redrawing_lines_are_said_once() -> None:
    """PT-06: NO_COLOR, and a terminal that can nothing (TERM=dumb)."""
    text = "\x1b[31ma\x1b[0mb\n10 %\r20 %\rdone\n"
    assert said(text, colour=False) == "ab\ndone\n"
    assert said(*text, colour=False, redraw=False) == "ab\n10 %\ndone\n"
