"""What a model writes, as lines: the Markdown that models use, read a line at a time. Text in, lines out.

A line that is whole stays as it is, so a message costs what is new of it however long it becomes, and
each line takes linear time. Addresses are told beside their words and never made links: who wrote them is
a stranger. A text that is no Markdown loses nothing but marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from penstock.words import sgr
from penstock.words.display import Span, columns_of
from penstock.words.sgr import PLAIN, TextStyle
from penstock.words.text import neutralise
from penstock_tui.widgets.tail_line import Line
from penstock_tui.wording import LONGEST_LINE

#: Rows of a table that are put in columns together.
MOST_ROWS = 200
#: Levels of emphasis within emphasis.
DEEPEST = 3
#: Columns that further rows of a line are moved in by, at most.
DEEPEST_INDENT = 24
#: Columns of a rule.
RULE = 24

_BOLD, _ITALIC = TextStyle((sgr.BOLD,)), TextStyle((sgr.ITALIC,))
_STRUCK, _DIM = TextStyle((sgr.STRUCK,)), TextStyle((sgr.DIM,))
_CODE = TextStyle(ink=(36,))

#: What every mark has one of; most lines have none.
_ANY_MARK = re.compile(r"[`~#>*_|\[\\+-]|\d[.)]")
#: What marks within a line have one of.
_INLINE = re.compile(r"[`~*_\[\\]")
_FENCE = re.compile(r" {0,12}(`{3,}|~{3,})[^`]*")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+")
_ITEM = re.compile(r"( {0,24})([-*+]|\d{1,9}[.)])[ \t]+")
_TASK = re.compile(r"\[([ xX])\] ")
_QUOTE = re.compile(r" {0,3}((?:> ?){1,8})")
_TABLE = re.compile(r" {0,3}\|")
_BETWEEN = re.compile(r"[ |:-]+")
#: No alternative looks past the next mark of its own, so a line is passed once.
_MARK = re.compile(
    r"\\(?P<escaped>[!-/:-@\[-`{-~])"
    r"|(?<!`)`(?P<code>[^`]+)`(?!`)"
    r"|``(?P<codes>[^`]+(?:`[^`]+){0,4})``"
    r"|\*\*(?P<bold>(?=\S)[^*]+)\*\*|(?<!\w)__(?P<heavy>(?=\S)[^_]+)__(?!\w)"
    r"|(?<![\w*])\*(?P<italic>(?=\S)[^*]+)\*(?!\w)|(?<![\w_])_(?P<slanted>(?=\S)[^_]+)_(?!\w)"
    r"|~~(?P<struck>(?=\S)[^~]+)~~"
    r"|!?\[(?P<words>[^\[\]]*)\]\((?P<address>[^()\s]*)\)"
)
_STYLES = {
    "bold": _BOLD, "heavy": _BOLD, "italic": _ITALIC, "slanted": _ITALIC, "struck": _STRUCK,
}  # fmt: skip


@dataclass(slots=True)
class Prose:
    """A message as it grows: `feed` it, and read `lines`."""

    tone: str = ""
    _whole: list[Line] = field(default_factory=list)
    _rest: str = ""
    #: What ends the code that it is in.
    _fence: str = ""
    _table: list[str] = field(default_factory=list)

    def feed(self, text: str) -> None:
        """Take the next piece."""
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            self._take(line)

    @property
    def lines(self) -> list[Line]:
        """All of it; the last line may still grow."""
        lines = [*self._whole, *self._columns()]
        if self._rest:
            fence, table = self._fence, list(self._table)
            count = len(self._whole)
            self._take(self._rest)
            lines = [*self._whole, *self._columns()]
            del self._whole[count:]
            self._fence, self._table = fence, table
        return lines

    def _take(self, line: str) -> None:
        line = line.removesuffix("\r")
        if not line and not self._table:
            self._whole.append(Line("", self.tone))
            return
        is_row = not self._fence and _TABLE.match(line) is not None
        if self._table and (not is_row or len(self._table) == MOST_ROWS):
            self._whole += self._columns()
            self._table = []
        if is_row:
            self._table.append(line)
            return
        # One that no screen has room for is told in parts, not cut.
        for begin in range(0, max(1, len(line)), LONGEST_LINE):
            part = neutralise(line[begin : begin + LONGEST_LINE])
            self._whole.append(self._line(part.expandtabs(4)))

    def _line(self, line: str) -> Line:
        if not self._fence and not _ANY_MARK.search(line):
            bare = line.lstrip(" ")
            hang = min(len(line) - len(bare), DEEPEST_INDENT)
            return Line(line, self.tone, hang=hang)
        if self._fence:
            if line.strip().startswith(self._fence) and not line.strip(" `~"):
                self._fence = ""
                return Line("", self.tone)
            return Line(f"  {line}", "accent")
        bare = line.lstrip(" ")
        first = bare[0] if bare else ""
        if first in "`~" and (found := _FENCE.fullmatch(line)):
            self._fence = found[1]
            return Line("", self.tone)
        if first == "#" and (found := _HEADING.match(line)):
            return self._said(line[found.end() :].rstrip(" #"), "", _BOLD)
        if first == ">" and (found := _QUOTE.match(line)):
            before = "│ " * found[1].count(">")
            return self._said(line[found.end() :], before, PLAIN, "dim")
        if first in "-*_" and _is_ruled(bare):
            return Line("─" * RULE, "dim")
        if found := _ITEM.match(line):
            return self._item(found, line[found.end() :])
        indent = line[: min(len(line) - len(bare), DEEPEST_INDENT)]
        return self._said(line[len(indent) :], indent, PLAIN)

    def _item(self, found: re.Match[str], text: str) -> Line:
        mark = found[2] if found[2][0].isdecimal() else "•"
        if task := _TASK.match(text):
            mark, text = ("☐" if task[1] == " " else "☑"), text[task.end() :]
        return self._said(text, f"{found[1]}{mark} ", PLAIN)

    def _said(
        self, text: str, before: str, style: TextStyle, tone: str | None = None
    ) -> Line:
        """Words in their emphasis, behind what their further rows hang under."""
        if style == PLAIN and not _INLINE.search(text):
            tone = self.tone if tone is None else tone
            return Line(before + text, tone, hang=columns_of(before))
        spans = [Span(before, PLAIN)] if before else []
        spans += spans_of(text, style)
        whole = "".join(span.text for span in spans)
        coloured = any(span.style != PLAIN for span in spans)
        return Line(
            whole,
            self.tone if tone is None else tone,
            tuple(spans) if coloured else (),
            hang=columns_of(before),
        )

    def _columns(self) -> list[Line]:
        """The table that is being read, each column as wide as its widest cell."""
        rows = [None if _is_rule(row) else _cells(row) for row in self._table]
        count = max((len(row) for row in rows if row), default=0)
        widths = [
            max(columns_of(row[at]) for row in rows if row and at < len(row))
            for at in range(count)
        ]
        ruled = "─┼─".join("─" * width for width in widths)
        return [
            Line(ruled[:LONGEST_LINE], "dim")
            if row is None
            else Line(_joined(row, widths)[:LONGEST_LINE], self.tone)
            for row in rows
        ]


def spans_of(text: str, style: TextStyle = PLAIN, depth: int = 0) -> list[Span]:
    """The text without the marks of its emphasis, in that emphasis."""
    spans: list[Span] = []
    for said, look in _marked(text, style, depth):
        if spans and spans[-1].style == look:
            spans[-1] = Span(spans[-1].text + said, look)
        elif said:
            spans.append(Span(said, look))
    return spans


def _marked(text: str, style: TextStyle, depth: int) -> Iterator[tuple[str, TextStyle]]:
    at = 0
    for found in _MARK.finditer(text):
        yield text[at : found.start()], style
        at = found.end()
        name = found.lastgroup or ""
        if name == "escaped":
            yield found[name], style
        elif name in ("code", "codes"):
            yield found[name], _both(style, _CODE)
        elif name == "address":
            yield found["words"], _both(style, TextStyle((sgr.UNDERLINE,)))
            if found["address"] and found["address"] != found["words"]:
                yield f" ({found['address']})", _both(style, _DIM)
        elif depth < DEEPEST:
            yield from _marked(found[name], _both(style, _STYLES[name]), depth + 1)
        else:
            yield found[name], style
    yield text[at:], style


def _both(one: TextStyle, other: TextStyle) -> TextStyle:
    emphasis = tuple(sorted({*one.emphasis, *other.emphasis}))
    return TextStyle(emphasis, other.ink or one.ink, other.ground or one.ground)


def _is_ruled(bare: str) -> bool:
    """Whether it is a line from one side to the other: three and more of the same mark."""
    marks = bare.replace(" ", "")
    return len(marks) >= 3 and marks in {mark * len(marks) for mark in "-*_"}


def _is_rule(row: str) -> bool:
    """Whether it only says where the head of a table ends."""
    return _BETWEEN.fullmatch(row.strip()) is not None and "-" in row


def _joined(row: list[str], widths: list[int]) -> str:
    padded = (
        cell + " " * (width - columns_of(cell))
        for cell, width in zip(row, widths, strict=False)
    )
    return " │ ".join(padded).rstrip()


def _cells(row: str) -> list[str]:
    """The cells of a row of a table, without their marks."""
    said = neutralise(row[:LONGEST_LINE]).strip().removeprefix("|")
    cells = said.replace("\\|", "\u00a6").removesuffix("|").split("|")
    return ["".join(s.text for s in spans_of(cell.strip())) for cell in cells]
