"""The last thing before the terminal: no line commands it, whoever wrote it and whatever drew it.

Widgets show text by `wording.plain`, which also keeps it on one line. This is for the one that
forgets to.
"""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from penstock.words.text import neutralise


class Harmless(LineFilter):
    """Shows control characters, and what turns the direction of text around, in place of them."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment
            if segment.control or segment.text.isprintable()
            else segment._replace(text=neutralise(segment.text))
            for segment in segments
        ]


#: One object, since lines are kept by the filter they have passed.
HARMLESS = Harmless()
