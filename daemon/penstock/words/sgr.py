"""Colours and emphasis as terminals are told them: SGR, read and written. Values in, values out.

Only what changes how letters look is understood. What hides them is not: a text that a person looks
at must be there to be seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

#: Back to the terminal's own look.
RESET = "\x1b[0m"

BOLD, DIM, ITALIC, UNDERLINE, BLINK, REVERSE, STRUCK, OVERLINE = 1, 2, 3, 4, 5, 7, 9, 53
#: By code: what it adds. 6 is a faster blink, 21 a second line below.
_ADDS = {
    code: code
    for code in (BOLD, DIM, ITALIC, UNDERLINE, BLINK, REVERSE, STRUCK, OVERLINE)
} | {6: BLINK, 21: UNDERLINE}
#: By code: what it takes away.
_DROPS = {
    22: {BOLD, DIM}, 23: {ITALIC}, 24: {UNDERLINE}, 25: {BLINK}, 27: {REVERSE}, 29: {STRUCK}, 55: {OVERLINE},
}  # fmt: skip
_INKS = frozenset([*range(30, 38), *range(90, 98)])
_GROUNDS = frozenset([*range(40, 48), *range(100, 108)])
#: Colours that take numbers of their own: of letters, of what is behind them, of a line below.
_INK, _GROUND, _LINE = 38, 48, 58
#: How many numbers follow, by the form of the colour: a place in a table, or red, green and blue.
_FORMS = {5: 1, 2: 3}
#: No code, and no part of a colour.
_NONE = 999


@dataclass(frozen=True, slots=True)
class TextStyle:
    """How letters look. `ink` and `ground` are SGR's own numbers, (31,) or (38, 2, r, g, b)."""

    emphasis: tuple[int, ...] = ()
    ink: tuple[int, ...] = ()
    ground: tuple[int, ...] = ()

    @property
    def codes(self) -> str:
        """The parameters that set it on a terminal without any; "" for the terminal's own look."""
        return ";".join(map(str, (*self.emphasis, *self.ink, *self.ground)))

    def apply(self, parameters: str) -> TextStyle:
        """The style after `ESC [ parameters m`; what is not understood changes nothing."""
        style, words = self, iter(parameters.split(";"))
        for word in words:
            code, *parts = _numbers(word.split(":"))
            if code in (_INK, _GROUND, _LINE):
                if parts[:1] == [2] and len(parts) > 4:
                    del parts[1]  # which space of colours it is
                colour = _read_colour(iter(parts) if parts else _numbers(words))
                if code == _INK and colour:
                    style = replace(style, ink=(code, *colour))
                elif code == _GROUND and colour:
                    style = replace(style, ground=(code, *colour))
            else:
                style = style._with(code, parts)
        return style

    def _with(self, code: int, parts: list[int]) -> TextStyle:
        if code == 0:
            return PLAIN
        if code in _INKS or code == 39:
            return replace(self, ink=(code,) if code in _INKS else ())
        if code in _GROUNDS or code == 49:
            return replace(self, ground=(code,) if code in _GROUNDS else ())
        now = set(self.emphasis)
        if code in _ADDS and parts[:1] != [0]:
            now.add(_ADDS[code])
        elif code in _ADDS:
            now.discard(_ADDS[code])
        now -= _DROPS.get(code, set())
        return replace(self, emphasis=tuple(sorted(now)))


#: The terminal's own look.
PLAIN = TextStyle()


def painted(text: str, style: TextStyle) -> str:
    """The text in this style, for a terminal without any; it has none afterwards."""
    return f"\x1b[{style.codes}m{text}{RESET}" if text and style != PLAIN else text


def _numbers(words: Iterable[str]) -> Iterator[int]:
    """As SGR counts: nothing is 0, and what no terminal has is a number that means nothing."""
    for word in words:
        known = word.isdecimal() and len(word) < 4
        yield int(word) if known else _NONE if word else 0


def _read_colour(numbers: Iterator[int]) -> tuple[int, ...]:
    """The colour that these begin with, which are taken; () if it is none."""
    form = next(numbers, 0)
    given = [next(numbers, _NONE) for _ in range(_FORMS.get(form, 0))]
    return (form, *given) if given and max(given) <= 255 else ()
