"""A line of a tail: its text, where it came from, and how each stretch of it looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rich.cells import chop_cells
from rich.style import Style

from penstock.words.display import Span
from penstock.words.sgr import PLAIN
from penstock_tui.theme import printed_style

#: Columns that there must be for words, beside what a row is moved in by.
LEAST_WORDS = 12


class Line(NamedTuple):
    """A harmless line of text and the name of its colour.

    `spans`: the same text in the colours that a program printed it in, if it did. `stream` printed
    it, and it was whole `at` this time of day. `goes_on`: it is a row of a line that the next one is of too.
    `hang`: it is wrapped between words, and its further rows are moved in by so many columns; None: it is
    wrapped anywhere. `moved`: how many blanks stand before a row for that, which are no part of the line.
    """

    text: str
    tone: str = ""
    spans: tuple[Span, ...] = ()
    stream: str = ""
    at: str = ""
    goes_on: bool = False
    hang: int | None = None
    moved: int = 0

    def stamped(self) -> Line:
        """With its time before it."""
        if not self.at:
            return self
        stamp = f"{self.at}  "
        spans = (Span(stamp, PLAIN), *self.spans) if self.spans else ()
        return self._replace(text=stamp + self.text, spans=spans)

    def chopped(self, width: int) -> list[Line]:
        """The line in rows of at most so many columns."""
        if self.hang is not None and width - self.hang >= LEAST_WORDS:
            return list(self._worded(width, self.hang))
        rows, begin = [], 0
        for text in chop_cells(self.text, width):
            end = begin + len(text)
            spans = tuple(_part(self.spans, begin, end))
            rows.append(Line(text, self.tone, spans, goes_on=end < len(self.text)))
            begin = end
        return rows

    def _worded(self, width: int, hang: int) -> Iterator[Line]:
        """The same, with no word cut that has room in a row."""
        begin, text = 0, self.text
        while True:
            moved = hang if begin else 0
            end = begin + _fitting(text[begin : begin + width], width - moved)
            if end < len(text) and text[end] != " ":
                # At the last blank, unless only blanks stand before it.
                blank = text.rfind(" ", begin, end) + 1
                if text[begin:blank].strip():
                    end = blank
            elif end < len(text):
                end += 1  # the blank itself needs no room
            blanks = " " * moved
            spans = tuple(_part(self.spans, begin, end))
            yield Line(
                blanks + text[begin:end],
                self.tone,
                (Span(blanks, PLAIN), *spans) if spans and moved else spans,
                goes_on=end < len(text),
                moved=moved,
            )
            begin = end
            if begin >= len(text):
                return

    @property
    def said(self) -> str:
        """What of the line this row has, to be copied."""
        return self.text[self.moved :]


class Fold(NamedTuple):
    """Lines under a heading that show or hide them. `unfolded`: what they do until somebody says otherwise.

    One without a `body` is only there to be read. `apart`: an empty line stands before it.
    """

    key: str
    head: tuple[Line, ...]
    body: tuple[Line, ...] = ()
    unfolded: bool = False
    apart: bool = False


def _fitting(text: str, width: int) -> int:
    """How many of its characters have room in so many columns; one at least."""
    if text.isascii():
        return max(1, min(len(text), width))
    return max(1, len(next(iter(chop_cells(text, max(2, width))), "")))


def _part(spans: Iterable[Span], begin: int, end: int) -> Iterator[Span]:
    """What of the spans stands at these places of their text."""
    at = 0
    for text, style in spans:
        if part := text[max(0, begin - at) : max(0, end - at)]:
            yield Span(part, style)
        at += len(text)


def stretches(line: Line, text: str, style: Style) -> Iterator[tuple[int, Style]]:
    """Where each stretch of the drawn text ends, and its style."""
    end = 0
    for span in line.spans:
        end = min(end + len(span.text), len(text))
        yield end, style + printed_style(span.style)
    yield len(text), style
