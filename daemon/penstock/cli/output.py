"""How data looks on stdout, and everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from penstock.words.text import neutralise

_COLOURS = {
    "completed": "green",
    "failed": "red",
    "cancelled": "yellow",
    "running": "cyan",
    "waiting": "magenta",
}


def emit(data: Any) -> None:
    """One JSON value on a line of stdout, at once."""
    click.echo(json.dumps(data, ensure_ascii=False))


def say(text: str) -> None:
    """A word to the person, on stderr."""
    click.echo(f"penstock: {neutralise(text)}", err=True)


def colour_wanted() -> bool:
    """Only on a terminal, and never against NO_COLOR."""
    return (
        sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )


def local_time(moment: str | None) -> str:
    """An ISO time in the time zone of this box, to the second; "" for none."""
    if not moment:
        return ""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def state_word(state: str, width: int = 0) -> str:
    """A state in its colour, where colours are wanted."""
    word = state.ljust(width)
    return click.style(word, fg=_COLOURS.get(state)) if colour_wanted() else word


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns on stdout; a cell is one line, whatever it was."""
    cells = [[_cell(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    for number, row in enumerate([list(heads), *cells]):
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if number and "STATE" in heads:
            place = heads.index("STATE")
            padded[place] = state_word(row[place], widths[place])
        click.echo("  ".join(padded).rstrip())


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
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        )
        click.echo(f"{name.ljust(width)}  {neutralise(text)}")


def _cell(text: str) -> str:
    return " ".join(neutralise(text).split())
