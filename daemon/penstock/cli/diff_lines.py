"""A diff as people see it on a terminal: line by line, with its colours."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.cli.output import Word, show_line
from penstock.words.unified_diff import LineKind, lines_of_diff

#: By what a line is; None is the terminal's own.
_COLOURS: Mapping[LineKind, str | None] = {
    "file": "yellow",
    "hunk": "cyan",
    "added": "green",
    "removed": "red",
    "same": None,
    "note": None,
}


def show_diff(
    diff: str, *, most: int | None = None, margin: str = "", err: bool = False
) -> int:
    """Show it line by line with its colours, at most so many lines: how many are left out."""
    left = 0
    for number, line in enumerate(lines_of_diff(diff)):
        if most is None or number < most:
            show_line(margin, Word(line.text, _COLOURS[line.kind]), err=err)
        else:
            left += 1
    return left
