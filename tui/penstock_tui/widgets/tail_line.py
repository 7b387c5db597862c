"""A line of a tail: its text, where it came from, and how each stretch of it looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rich.cells import chop_cells
from rich.style import Style

from penstock.words.display import Span
from penstock.words.sgr import PLAIN
from penstock_tui.theme import printed_style


class Line(NamedTuple):
    """A harmless line of text and the name of its colour.

    `spans`: the same text in the colours that a program printed it in, if it did. `stream` printed
    it, and it was whole `at` this time of day. `goes_on`: it is a row of a line that the next one is of too.
    """

    text: str
    tone: str = ""
    spans: tuple[Span, ...] = ()
    stream: str = ""
    at: str = ""
    goes_on: bool = False

    def stamped(self) -> Line:
        """With its time before it."""
        if not self.at:
            return self
        stamp = f"{self.at}  "
        spans = (Span(stamp, PLAIN), *self.spans) if self.spans else ()
        return self._replace(text=stamp + self.text, spans=spans)

    def chopped(self, width: int) -> list[Line]:
        """The line in rows of at most so many columns."""
        rows, begin = [], 0
        for text in chop_cells(self.text, width):
            end = begin + len(text)
            spans = tuple(_part(self.spans, begin, end))
            rows.append(Line(text, self.tone, spans, goes_on=end < len(self.text)))
            begin = end
        return rows


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
