"""What a program's output finally shows: lines with their colours, for whoever shows them.

A program moves the cursor back to write its line anew (a progress bar), and says in colour what
matters. Both are taken in here, and nothing else of what a terminal would obey: it is made visible,
as `neutralise` does. Pure, in pieces of any size, and in bounded memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple
from unicodedata import combining, east_asian_width

from penstock.words.sgr import PLAIN, TextStyle, painted
from penstock.words.text import UNSAFE, neutralise

#: Characters of a line that can still be written over, and so are held; a longer one goes out in parts.
LONGEST_HELD = 4096
#: Characters of SGR's parameters. Longer ones mean nothing to anybody.
_LONGEST_SGR = 64

#: A line's end; the cursor to its beginning; SGR; the line erased, whole or from the cursor on; back
#: to the usual letters, as `tput sgr0` says; what is written.
_TOKEN = re.compile(
    rf"(?P<end>\n)|(?P<back>\r)|\x1b\[(?P<sgr>[0-9;:]{{0,{_LONGEST_SGR}}})m"
    r"|\x1b\[(?P<erased>[02]?)K|(?P<usual>\x1b\(B)|(?P<text>[^\n\r\x1b]+|\x1b+(?![\[(])|\x1b)"
)
#: What may become one of them with the next piece.
_BEGUN = re.compile(rf"\x1b(?:\[[0-9;:]{{0,{_LONGEST_SGR}}}|\()?")
_LONGEST_BEGUN = _LONGEST_SGR + 2


class Span(NamedTuple):
    """A harmless text in one style."""

    text: str
    style: TextStyle = PLAIN


class ShownLine(NamedTuple):
    """A line as it stands: of spans that differ in style from their neighbours.

    `ended` is False for a part of a line that goes on in the next one.
    """

    spans: tuple[Span, ...]
    ended: bool = True

    @property
    def text(self) -> str:
        """The line without its colours."""
        return "".join(span.text for span in self.spans)

    @property
    def painted(self) -> str:
        """The line for a terminal, without its end; nothing of its colours stays behind."""
        return "".join(painted(*span) for span in self.spans)


class LineReader:
    """Text in pieces to what its lines finally show. Joined otherwise, the pieces give the same lines."""

    def __init__(self, longest: int = LONGEST_HELD) -> None:
        """`longest`: characters held of a line, at least one."""
        self._line = _Line(longest)
        self._style = PLAIN
        #: The beginning of an escape sequence.
        self._begun = ""

    def feed(self, text: str) -> list[ShownLine]:
        """The lines that ended with this piece."""
        text = self._begun + text
        self._begun = ""
        if self._style == PLAIN and not UNSAFE.search(text):
            return list(self._plain_lines(text))
        last = text.rfind("\x1b", max(0, len(text) - _LONGEST_BEGUN))
        if last >= 0 and _BEGUN.fullmatch(text, last):
            text, self._begun = text[:last], text[last:]
        return list(self._lines(text))

    @property
    def unfinished(self) -> ShownLine:
        """The last line, while it has no end."""
        return ShownLine(self._line.spans(), ended=False)

    def finish(self) -> list[ShownLine]:
        """The last line, which has no end, if there is anything of it; what is fed later begins anew."""
        begun, self._begun = neutralise(self._begun), ""
        parts = list(self._write(begun, self._style))
        self._style = PLAIN
        left = self._line.take()
        return [*parts, ShownLine(left, ended=False)] if left else parts

    def _plain_lines(self, text: str) -> Iterator[ShownLine]:
        """As `_lines`, for what most programs print."""
        first, *others = text.split("\n")
        yield from self._write(first, PLAIN)
        for line in others:
            yield ShownLine(self._line.take())
            yield from self._write(line, PLAIN)

    def _write(self, text: str, style: TextStyle) -> Iterator[ShownLine]:
        for part in self._line.write(text, style):
            yield ShownLine(part, ended=False)

    def _lines(self, text: str) -> Iterator[ShownLine]:
        line = self._line
        for token in _TOKEN.finditer(text):
            match token.lastgroup:
                case "text":
                    yield from self._write(neutralise(token[0]), self._style)
                case "end":
                    yield ShownLine(line.take())
                case "back":
                    line.go_back()
                case "sgr":
                    self._style = self._style.apply(token["sgr"])
                case "erased":
                    line.erase(whole=token["erased"] == "2")


def plain_text(text: str) -> str:
    """What the lines of a whole text finally show, without colours: for a model, or one line of ours."""
    if not UNSAFE.search(text):
        return text
    reader = LineReader()
    lines = [*reader.feed(text), *reader.finish()]
    return "".join(line.text + "\n" * line.ended for line in lines)


class _Line:
    """One line: what was written, and where the cursor stands in it."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        #: While nothing was written over, which is most of the time.
        self._spans: list[Span] = []
        self._size = 0
        #: Else a letter and a style for each place.
        self._letters: list[str] = []
        self._styles: list[TextStyle] = []
        self._cursor = 0

    @property
    def empty(self) -> bool:
        return self._size == 0

    def write(self, text: str, style: TextStyle) -> list[tuple[Span, ...]]:
        """Write at the cursor; the parts that have become too long to be held."""
        parts, begin = [], 0
        while begin < len(text):
            if self._cursor == self._longest:
                parts.append(self.take())
            end = begin + self._longest - self._cursor
            self._write(text[begin:end], style)
            begin = end
        return parts

    def _write(self, text: str, style: TextStyle) -> None:
        end = self._cursor + len(text)
        if self._cursor == 0 and end >= self._size:
            self.erase(whole=True)
        if self._cursor < self._size:
            self._lay_out()
        if self._letters:
            self._letters[self._cursor : end] = text
            self._styles[self._cursor : end] = [style] * len(text)
        elif self._spans and self._spans[-1].style == style:
            self._spans[-1] = Span(self._spans[-1].text + text, style)
        else:
            self._spans.append(Span(text, style))
        self._cursor = end
        self._size = max(self._size, end)

    def go_back(self) -> None:
        """The cursor to the beginning."""
        self._cursor = 0

    def erase(self, *, whole: bool) -> None:
        """Erase from the cursor on, or the `whole` line; what is written then begins it anew."""
        if whole or self._cursor == 0:
            self._spans, self._letters, self._styles = [], [], []
            self._size = self._cursor = 0
        elif self._cursor < self._size:
            self._lay_out()
            del self._letters[self._cursor :], self._styles[self._cursor :]
            self._size = self._cursor

    def spans(self) -> tuple[Span, ...]:
        """What it shows."""
        if not self._letters:
            return tuple(self._spans)
        places = zip(self._letters, self._styles, strict=True)
        return tuple(
            Span("".join(letter for letter, _ in group), style)
            for style, group in groupby(places, key=lambda place: place[1])
        )

    def take(self) -> tuple[Span, ...]:
        """What it shows; a new line begins."""
        spans = self.spans()
        self.erase(whole=True)
        return spans

    def _lay_out(self) -> None:
        """One place for each letter, to be written over."""
        if not self._letters:
            self._letters = [letter for span in self._spans for letter in span.text]
            self._styles = [span.style for span in self._spans for _ in span.text]
            self._spans = []


class TerminalText:
    """A stream of output for a terminal, live: each piece shows what has changed on the screen.

    Between two calls the terminal has its own colours, whoever writes to it meanwhile, and whatever
    ends this program.
    """

    def __init__(
        self, columns: Callable[[], int], *, colour: bool, redraw: bool
    ) -> None:
        """`columns` of the terminal now; without `redraw` a line is never written over."""
        self._reader = LineReader()
        self._columns = columns
        self._colour = colour
        self._redraw = redraw
        #: What stands on the terminal of the line that has no end yet.
        self._shown: tuple[Span, ...] = ()
        #: Whether it was written over, and so is kept to one row.
        self._written_over = False

    def feed(self, text: str) -> str:
        """What to send to the terminal."""
        said = [self._show(line) for line in self._reader.feed(text)]
        return "".join([*said, self._change(self._reader.unfinished)])

    def finish(self, *, line_end: bool = False) -> str:
        """The same at the end of the stream; with `line_end` a line that has none gets one."""
        lines = self._reader.finish()
        said = [self._show(line) for line in lines[:-1]]
        said += [self._change(line, whole=True) for line in lines[-1:]]
        if line_end and self._shown:
            said.append("\n")
        self._shown, self._written_over = (), False
        return "".join(said)

    def _show(self, line: ShownLine) -> str:
        """A line, or a part of one, that nothing changes any more."""
        said = self._change(line, whole=True)
        self._shown, self._written_over = (), False
        return said + "\n" if line.ended else said

    def _change(self, line: ShownLine, *, whole: bool = False) -> str:
        """What makes the line that is shown into this one."""
        spans = line.spans
        if not self._colour and spans:
            spans = (Span(line.text),)
        if self._written_over and not whole:
            # A line that wraps could not be written over once more.
            spans = tuple(_clipped(spans, self._columns() - 1))
        before = self._shown
        if (added := _added(before, spans)) is not None:
            self._shown = spans
            return _paint(added)
        if not self._redraw:
            # It stands there as it was, and is said anew when it is whole.
            return "\n" + _paint(spans) if whole else ""
        if not self._written_over:
            self._written_over = True
            return self._change(line, whole=whole)
        self._shown = spans
        too_long = _width(before) > _width(spans)
        blank = "\r" + " " * _width(before) if too_long else ""
        return f"{blank}\r{_paint(spans)}"


def _paint(spans: Iterable[Span]) -> str:
    return "".join(painted(*span) for span in spans)


def _added(before: tuple[Span, ...], now: tuple[Span, ...]) -> tuple[Span, ...] | None:
    """What stands behind `before` in `now`; None if that does not begin so."""
    if not before:
        return now
    *same, last = before
    kept = len(same)
    if tuple(same) != now[:kept] or len(now) <= kept:
        return None
    grown = now[kept]
    if grown.style != last.style or not grown.text.startswith(last.text):
        return None
    rest = Span(grown.text[len(last.text) :], grown.style)
    return (rest, *now[kept + 1 :])


def _clipped(spans: Iterable[Span], columns: int) -> Iterator[Span]:
    """As much as fits."""
    for text, style in spans:
        fits, left = 0, columns
        for letter in text:
            left -= _cells(letter)
            if left < 0:
                break
            fits += 1
        columns = left
        if fits:
            yield Span(text[:fits], style)
        if left < 0:
            return


def _width(spans: Iterable[Span]) -> int:
    return sum(_cells(letter) for text, _ in spans for letter in text)


def columns_of(text: str) -> int:
    """Columns that a line takes on a terminal."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def cut(text: str, columns: int) -> str:
    """As much of a line as fits, with `…` where something is missing."""
    if columns_of(text) <= columns:
        return text
    kept, left = "", columns - 1
    for letter in text:
        left -= _cells(letter)
        if left < 0:
            break
        kept += letter
    return kept + "…"


def _cells(letter: str) -> int:
    """Columns that a letter takes; a tab at its widest."""
    if letter.isascii():
        return 8 if letter == "\t" else 1
    return 0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1
