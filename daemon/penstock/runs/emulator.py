"""A terminal without a screen: what a program showed, so that whoever comes later sees it.

Pyte draws. Only what it knows, and what is bounded, is passed on to it, and what programs use and it
lacks is done here: the other screen, scrolling, repetition. Imported late, where a program has a terminal.
"""

from __future__ import annotations

import codecs
import re
import time
import unicodedata
from typing import Any

import pyte
from pyte.graphics import FG_BG_256

from penstock.processes.pseudoterminal import WindowSize
from penstock.words.terminal_modes import OTHER_SCREEN, TerminalModes

#: A larger terminal is kept up to here: a cell takes some 200 bytes, and erasing looks at each.
MOST_ROWS, MOST_COLS = 120, 320
#: Bytes after which the clock is looked at.
STEP_BYTES = 64
#: Marks on one letter; a terminal shows no more, and text without end would grow one cell.
MOST_MARKS = 8

_ESCAPE = re.compile(
    r"\x1b(?:\[([0-?]{0,64})([ -/]{0,4})([@-~])|([\]PX^_])|([ -/]{0,4})([0-OQ-WYZ\\`-~]))"
)
_BEGINNING = re.compile(r"\x1b(?:\[[0-?]{0,64}[ -/]{0,4}|[ -/]{0,4})?\Z")
_STRING_END = re.compile(r"[\x07\x18\x1a\x1b]")
_PLAIN = re.compile(r"[0-9;]*")
#: C1 controls, which UTF-8 terminals do not obey and pyte does, and characters that no cell shows.
_UNSHOWN = re.compile(r"[\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")  # fmt: skip
_KNOWN_FINALS = frozenset("@ABCDEFGHJKLMPX`adefgmr")
_KNOWN_ESCAPES = frozenset("78DEMH")
#: Of the private modes, those that change how pyte draws: origin and wrapping.
_DRAWN_MODES = frozenset({6, 7})

_COLOURS = ("black", "red", "green", "brown", "blue", "magenta", "cyan", "white")
_NUMBER_OF_256 = {colour: number for number, colour in reversed([*enumerate(FG_BG_256)])}  # fmt: skip
_STYLES = (
    ("bold", "1"), ("italics", "3"), ("underscore", "4"), ("blink", "5"), ("reverse", "7"),
    ("strikethrough", "9"),
)  # fmt: skip


class Emulator:
    """One terminal of bounded size; nothing that is fed to it raises."""

    def __init__(self, size: WindowSize) -> None:
        self._size = _bounded(size)
        self._reset()

    def _reset(self) -> None:
        rows, cols = self._size
        self._screens = [pyte.Screen(cols, rows) for _ in range(2)]
        self._modes = TerminalModes()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending, self._in_string, self._last, self._marks = "", False, " ", 0
        self._use(0)

    def _use(self, number: int) -> None:
        self._screen = self._screens[number]
        self._stream = pyte.Stream(self._screen)
        # Else it would not draw the lines of the old line-drawing set.
        self._stream.use_utf8 = False

    def feed_for(self, data: bytes, seconds: float) -> int:
        """Take as much of it as can be drawn in this time, a little at least: how many bytes."""
        give_up, taken = time.monotonic() + seconds, 0
        while taken < len(data):
            self.feed(data[taken : taken + STEP_BYTES])
            taken += STEP_BYTES
            if time.monotonic() >= give_up:
                break
        return min(taken, len(data))

    def feed(self, data: bytes) -> None:
        """Take what the program wrote; what the library fails at makes the screen begin anew."""
        try:
            self._feed(data)
        except Exception:  # noqa: BLE001
            # The boundary of the emulator: whatever a program writes, its run must not notice.
            self._reset()

    def resize(self, size: WindowSize) -> None:
        """Have another size."""
        self._size = _bounded(size)
        try:
            for screen in self._screens:
                screen.resize(*self._size)
                screen.set_margins()
                screen.ensure_hbounds()
                screen.ensure_vbounds()
        except Exception:  # noqa: BLE001
            # As above.
            self._reset()

    def render(self) -> str:
        """What brings a terminal to show the same: text, SGR, the cursor and the modes."""
        screen = self._screen
        # The other screen is never left for nothing: that moves the cursor.
        start = "\x1b[?1049h" if self._modes.on_other_screen else ""
        rows = [
            f"\x1b[{row + 1};1H{drawn}"
            for row in range(screen.lines)
            if (drawn := _draw(screen.buffer[row], screen.columns))
        ]
        cursor = f"\x1b[{screen.cursor.y + 1};{min(screen.cursor.x, screen.columns - 1) + 1}H"  # fmt: skip
        margins = screen.margins
        region = f"\x1b[{margins.top + 1};{margins.bottom + 1}r" if margins else "\x1b[r"  # fmt: skip
        return "".join(
            (start, "\x1b[0m\x1b[?7l\x1b[r\x1b[H\x1b[2J", *rows, region, "\x1b[?7h", cursor,
             _style(screen.cursor.attrs), self._modes.redo())
        )  # fmt: skip

    # -- what is passed on

    def _feed(self, data: bytes) -> None:
        text = self._pending + self._decoder.decode(data)
        self._pending, place = "", 0
        while place < len(text):
            if self._in_string:
                end = _STRING_END.search(text, place)
                if end is None:
                    return
                # An escape ends it too, and is read as one: ESC \ is none that is obeyed.
                place = end.start() if end[0] == "\x1b" else end.end()
                self._in_string = False
                continue
            at = text.find("\x1b", place)
            self._text(text[place : len(text) if at < 0 else at])
            if at < 0:
                return
            if found := _ESCAPE.match(text, at):
                place = found.end()
                self._obey(found)
            elif _BEGINNING.match(text, at):
                self._pending = text[at:]
                return
            else:
                place = at + 1

    def _text(self, text: str) -> None:
        if not text.isascii() or "\x7f" in text:
            text = "".join(filter(self._shown, _UNSHOWN.sub("", text)))
        else:
            self._marks = 0
        if text:
            self._last = text[-1]
            self._stream.feed(text)

    def _shown(self, character: str) -> bool:
        """Whether a cell has room for it."""
        self._marks = self._marks + 1 if unicodedata.combining(character) else 0
        return self._marks <= MOST_MARKS and (
            self._marks > 0 or unicodedata.category(character) not in ("Mn", "Me", "Cf")
        )

    def _obey(self, escape: re.Match[str]) -> None:
        params, between, final, string, charset, single = escape.groups()
        if string:
            self._in_string = True
        elif final is None:
            self._obey_short(charset, single)
        elif between:
            return
        elif params.startswith("?") and _PLAIN.fullmatch(params, 1):
            self._obey_private(params[1:], final)
        elif _PLAIN.fullmatch(params):
            self._obey_plain(params, final)

    def _obey_short(self, charset: str, single: str) -> None:
        if charset in ("(", ")") and single in "0B":
            self._screen.define_charset(single, charset)
        elif charset == "" and single == "c":
            self._reset()
        elif charset == "" and single in "=>":
            self._modes.feed(f"\x1b{single}".encode())
        elif charset == "" and single in _KNOWN_ESCAPES:
            self._stream.feed(f"\x1b{single}")
            # A terminal keeps one place; a list that grows with each is the library's own idea.
            del self._screen.savepoints[:-1]

    def _obey_private(self, params: str, final: str) -> None:
        if final not in "hl":
            return
        numbers = frozenset(int(n) for n in params.split(";") if 0 < len(n) < 5)
        was_other = self._modes.on_other_screen
        self._modes.switch(numbers, on=final == "h")
        for number in sorted(numbers & _DRAWN_MODES):
            self._stream.feed(f"\x1b[?{number}{final}")
        if numbers & OTHER_SCREEN and was_other != self._modes.on_other_screen:
            self._use(0 if was_other else 1)
            if not was_other:
                self._screen.reset()

    def _obey_plain(self, params: str, final: str) -> None:
        count = _count(params)
        if final in _KNOWN_FINALS or (final in "hl" and params in ("4", "20")):
            self._stream.feed(f"\x1b[{params}{final}")
        elif final == "b" and self._last.isprintable():
            # Programs repeat within a row; whole screens from seven bytes would take minutes.
            self._stream.feed(self._last * min(count, self._screen.columns))
        elif final in "ST" and (params == "" or params.isdecimal()):
            self._scroll(count, up=final == "S")
        elif final in "su" and params == "":
            self._obey_short("", "7" if final == "s" else "8")

    def _scroll(self, count: int, *, up: bool) -> None:
        screen = self._screen
        y, x = screen.cursor.y, screen.cursor.x
        screen.cursor.y = screen.margins.top if screen.margins else 0
        (screen.delete_lines if up else screen.insert_lines)(min(count, screen.lines))
        screen.cursor.y, screen.cursor.x = y, x


def _bounded(size: WindowSize) -> WindowSize:
    rows, cols = size.usable()
    return WindowSize(min(rows, MOST_ROWS), min(cols, MOST_COLS))


def _count(params: str) -> int:
    first = params.partition(";")[0][:4]
    return max(int(first), 1) if first else 1


def _draw(line: Any, columns: int) -> str:
    """A row with its colours, without the blanks at its end."""
    cells = [line[column] for column in range(columns)]
    while cells and cells[-1].data == " " and cells[-1].bg == "default" and not cells[-1].reverse:  # fmt: skip
        cells.pop()
    drawn, style = [], "\x1b[0m"
    for cell in cells:
        if (wanted := _style(cell)) != style:
            drawn.append(wanted)
            style = wanted
        drawn.append(cell.data)
    return "".join(drawn) + ("" if style == "\x1b[0m" else "\x1b[0m")


def _style(cell: Any) -> str:
    codes = ["0", *(code for name, code in _STYLES if getattr(cell, name))]
    codes += _colour(cell.fg, 30) + _colour(cell.bg, 40)
    return f"\x1b[{';'.join(codes)}m"


def _colour(name: str, first: int) -> list[str]:
    """The codes of a colour, as pyte calls it."""
    if name in _COLOURS:
        return [str(first + _COLOURS.index(name))]
    # One of its names is misspelt.
    bright = name.replace("bfight", "bright").removeprefix("bright")
    if bright in _COLOURS:
        return [str(first + 60 + _COLOURS.index(bright))]
    if name in _NUMBER_OF_256:
        return [str(first + 8), "5", str(_NUMBER_OF_256[name])]
    if re.fullmatch(r"[0-9a-f]{6}", name):
        parts = [str(int(name[place : place + 2], 16)) for place in (0, 2, 4)]
        return [str(first + 8), "2", *parts]
    return []
