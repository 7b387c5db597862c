"""What a terminal of 256 colours shows for the colours of a theme: the nearest it has."""

from __future__ import annotations

from functools import lru_cache

from rich.color import Color, ColorType
from rich.segment import Segment
from rich.style import Style
from textual.color import Color as ThemeColour
from textual.filter import LineFilter

#: The steps of the cube of 6x6x6 colours that begins at number 16, and of the greys at 232.
_STEPS = (0, 95, 135, 175, 215, 255)
_CUBE = 16
_GREYS = range(24)
_FIRST_GREY = 232


@lru_cache(maxsize=4096)
def nearest(red: int, green: int, blue: int) -> int:
    """The number of the nearest colour. The first sixteen are whatever the terminal has them be."""
    wanted = (red, green, blue)
    places = [
        min(range(6), key=lambda i, part=part: abs(_STEPS[i] - part))  # type: ignore[misc]
        for part in wanted
    ]
    cube = tuple(_STEPS[place] for place in places)
    grey = min(_GREYS, key=lambda i: abs(8 + 10 * i - sum(wanted) / 3))
    level = 8 + 10 * grey
    if _far(wanted, (level, level, level)) < _far(wanted, cube):
        return _FIRST_GREY + grey
    return _CUBE + 36 * places[0] + 6 * places[1] + places[2]


def _far(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


@lru_cache(maxsize=4096)
def in_256(style: Style) -> Style:
    """The style in colours that have numbers. Rich, left alone, makes navy of every dark grey."""
    ink, ground = _numbered(style.color), _numbered(style.bgcolor)
    if ink is style.color and ground is style.bgcolor:
        return style
    return style + Style(color=ink, bgcolor=ground)


def _numbered(colour: Color | None) -> Color | None:
    if colour is None or colour.type is not ColorType.TRUECOLOR or not colour.triplet:
        return colour
    return Color.from_ansi(nearest(*colour.triplet))


class Palette256(LineFilter):
    """Gives every segment colours of the palette."""

    def apply(self, segments: list[Segment], background: ThemeColour) -> list[Segment]:
        return [
            segment
            if segment.style is None
            else segment._replace(style=in_256(segment.style))
            for segment in segments
        ]


#: One object, since lines are kept by the filter they have passed.
PALETTE_256 = Palette256()
