"""How data looks on stdout, and everything else on stderr: the one way out of every verb.

What goes to a terminal was written by programs, models and strangers: here, and only here, it is
made harmless. A pipe or a file gets the text as it is. What a program printed keeps its colours on a
terminal, and nothing else that one would obey.
"""

from __future__ import annotations

import codecs
import errno
import fcntl
import json
import os
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from io import UnsupportedOperation
from typing import Any, BinaryIO, NamedTuple, TextIO, cast

import click

from penstock.unforeseen import CannotWrite
from penstock.words.display import TerminalText, columns_of, cut
from penstock.words.text import escape_json, neutralise

#: Columns of a terminal that does not say how many it has.
USUAL_COLUMNS = 80

#: Columns below which a cell would say nothing any more.
LEAST_COLUMNS = 12
#: Columns in which most command lines can be told apart: for these, others are left out.
READABLE_COLUMNS = 20

#: By state; None is the terminal's own.
COLOURS: Mapping[str, str | None] = {
    "queued": None,
    "running": "cyan",
    "paused": "yellow",
    "waiting": "magenta",
    "preempted": None,
    "completed": "green",
    "failed": "red",
    "cancelled": "yellow",
}


class Word(NamedTuple):
    """A piece of a line in a colour, where colours are wanted."""

    text: str
    colour: str | None

    def __str__(self) -> str:
        text = neutralise(self.text)
        if self.colour is None or not colour_wanted():
            return text
        return click.style(text, fg=self.colour)


def show_line(*pieces: str | Word, err: bool = False) -> None:
    """A line on stdout, or on stderr, at once."""
    on_terminal = _stream(err=err).isatty()
    shown = [
        neutralise(piece) if on_terminal and isinstance(piece, str) else str(piece)
        for piece in pieces
    ]
    # Colours are ours, and decided; click would take them out of a pipe, and out of data.
    click.echo("".join(shown), err=err, color=True)


def emit(data: Any, *, indent: int | None = None) -> None:
    """One JSON value on a line of stdout, at once."""
    line = json.dumps(data, ensure_ascii=False, indent=indent)
    click.echo(escape_json(line) if sys.stdout.isatty() else line)


def put(text: str, *, err: bool = False) -> None:
    """A part of what a program said, without a line's end; `flush` brings it out."""
    stream = _stream(err=err)
    stream.write(neutralise(text) if stream.isatty() else text)


def put_json(line: str) -> None:
    """A line that is JSON already; `flush` brings it out."""
    sys.stdout.write(escape_json(line) if sys.stdout.isatty() else line)


def require_stdout() -> None:
    """CannotWrite if stdout is closed: for who is about to start what only stdout would name."""
    with suppress(UnsupportedOperation):
        flags = fcntl.fcntl(sys.stdout.fileno(), fcntl.F_GETFL)
        if flags & os.O_ACCMODE == os.O_RDONLY:
            raise CannotWrite(errno.EBADF, os.strerror(errno.EBADF))


def flush() -> None:
    """Bring out what was put."""
    sys.stdout.flush()
    sys.stderr.flush()


def put_document(text: str) -> None:
    """A text whole, at once. A pipe gets its bytes: click, or a locale, would change what is text."""
    click.echo((neutralise(text) if sys.stdout.isatty() else text).encode(), nl=False)


def json_lines(out: BinaryIO) -> BinaryIO:
    """Where whole lines of JSON may be written that are meant for `out`, should it be a terminal."""
    # Whole lines are written, and nothing else is asked of it.
    return cast("BinaryIO", TerminalLines(out)) if out.isatty() else out


@dataclass(frozen=True, slots=True)
class TerminalLines:
    """Writes whole lines of JSON to a terminal, as `emit` does."""

    out: BinaryIO

    def write(self, line: bytes) -> int:
        return self.out.write(escape_json(line.decode()).encode())


def say(text: str) -> None:
    """A word to the person, on stderr."""
    click.echo(f"penstock: {neutralise(text)}", err=True)


def command_terminal(sequence: str) -> None:
    """Have the terminal of stderr do something: ring, notify, show a title. All text in it is harmless by now."""
    # Where it cannot be said there is nobody to hear it.
    with suppress(OSError, UnicodeEncodeError):
        sys.stderr.write(sequence)
        sys.stderr.flush()


def joined() -> bool:
    """Whether our stdout and stderr are one pipe or file, as `2>&1` makes them.

    On a terminal they are one too, but there nobody has asked for it.
    """
    try:
        out, err = (os.fstat(_stream(err=err).fileno()) for err in (False, True))
    except (OSError, ValueError):
        return False
    return os.path.samestat(out, err) and not stat.S_ISCHR(out.st_mode)


class Outlet:
    """Stdout or stderr, for what a program wrote, in pieces; `flush` brings it out.

    A pipe or a file gets the bytes. A terminal gets what they look like on one; `raw`: the bytes.
    """

    def __init__(self, *, err: bool = False, raw: bool = False) -> None:
        self._stream = _stream(err=err)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._shown: TerminalText | None = None
        if self._stream.isatty() and not raw:
            self._shown = TerminalText(
                lambda: _columns(self._stream),
                colour=colour_wanted(err=err),
                redraw=os.environ.get("TERM") != "dumb",
            )

    @property
    def takes_data(self) -> bool:
        """Whether it leads to a program or a file, and not to a terminal or nowhere."""
        try:
            return not stat.S_ISCHR(os.fstat(self._stream.fileno()).st_mode)
        except (OSError, ValueError):
            return True

    @property
    def on_terminal(self) -> bool:
        """Whether it shows what it gets on a terminal, where the other one may write too."""
        return self._shown is not None

    def write(self, data: bytes) -> None:
        """Write the next piece."""
        if self._shown is None:
            self._stream.buffer.write(data)
        else:
            self._stream.write(self._shown.feed(self._decoder.decode(data)))

    def finish(self, *, line_end: bool = False) -> None:
        """Write what was held back; with `line_end` a word of ours follows, on a line of its own."""
        if self._shown is not None:
            rest = self._shown.feed(self._decoder.decode(b"", final=True))
            self._stream.write(rest + self._shown.finish(line_end=line_end))


def colour_wanted(*, err: bool = False) -> bool:
    """On a terminal that has colours, or with FORCE_COLOR, and never against NO_COLOR."""
    if os.environ.get("NO_COLOR"):
        return False
    if forced := os.environ.get("FORCE_COLOR"):
        return forced != "0"
    return _stream(err=err).isatty() and os.environ.get("TERM") != "dumb"


def local_time(moment: str | None) -> str:
    """An ISO time in the time zone of this box, to the second; "" for none."""
    if not moment:
        return ""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


@dataclass(slots=True)
class Column:
    """A column of a table. One that has nothing to show is left out; `shrinks` makes room for the others.

    `spare`: it is left out of a terminal that is too narrow, the one with the largest first.
    """

    head: str
    cells: Sequence[str]
    shrinks: bool = False
    spare: int = 0
    #: The states that give each cell its colour, and which that is.
    states: Sequence[str] = ()
    colours: Mapping[str, str | None] = field(default_factory=lambda: COLOURS)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns on stdout; a cell is one line, whatever it was."""
    columns = list(zip(*rows, strict=True)) or [()] * len(heads)
    show_table([
        Column(head, cells, states=cells if head == "STATE" else ())
        for head, cells in zip(heads, columns, strict=True)
    ])  # fmt: skip


def show_table(columns: Sequence[Column]) -> None:
    """The same by columns, as wide as they look; on a terminal no line is wider than that."""
    shown = [column for column in columns if any(column.cells) or not column.cells]
    if sys.stdout.isatty():
        shown = with_room(shown, _columns(sys.stdout))
    texts = [_texts(column) for column in shown]
    widths = [max(map(columns_of, column)) for column in texts]
    if sys.stdout.isatty():
        _shrink(shown, widths)
    for number in range(len(texts[0]) if texts else 0):
        line = []
        for column, width, cells in zip(shown, widths, texts, strict=True):
            text = cut(cells[number], width)
            padded = text + " " * (width - columns_of(text))
            if number and column.states:
                colour = column.colours.get(column.states[number - 1])
                padded = str(Word(padded, colour))
            line.append(padded)
        # Each cell is harmless by now, and colours are ours.
        click.echo("  ".join(line).rstrip(), color=True)


def _texts(column: Column) -> list[str]:
    return [column.head, *map(_cell, column.cells)]


def with_room(columns: list[Column], most: int) -> list[Column]:
    """Those for which so many columns of a terminal are enough, where those that shrink can still be read."""
    needed = {
        id(column): min(width, READABLE_COLUMNS) if column.shrinks else width
        for column in columns
        for width in [max(map(columns_of, _texts(column)))]
    }
    kept = list(columns)
    while sum(needed[id(c)] + 2 for c in kept) - 2 > most:
        spare = max(kept, key=lambda column: column.spare, default=None)
        if spare is None or not spare.spare:
            break
        kept.remove(spare)
    return kept


def _shrink(columns: Sequence[Column], widths: list[int]) -> None:
    """Take what is too much for the terminal from the column that may shrink."""
    over = sum(widths) + 2 * (len(widths) - 1) - _columns(sys.stdout)
    for place, column in enumerate(columns):
        if column.shrinks and over > 0:
            widths[place] = max(LEAST_COLUMNS, widths[place] - over)


def fields(pairs: Mapping[str, Any]) -> None:
    """Name and value per line; what is empty is left out."""
    shown = {
        name: value
        for name, value in pairs.items()
        if value not in (None, "", [], {}, ())
    }
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        text = (
            str(value) if isinstance(value, Word)
            else neutralise(value) if isinstance(value, str)
            else neutralise(json.dumps(value, ensure_ascii=False))
        )  # fmt: skip
        click.echo(f"{name.ljust(width)}  {text}", color=True)


def _stream(*, err: bool) -> TextIO:
    return sys.stderr if err else sys.stdout


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or USUAL_COLUMNS
    except (OSError, ValueError):
        return USUAL_COLUMNS


def _cell(text: str) -> str:
    return " ".join(neutralise(text).split())
