"""The keys, by screen, as they are bound now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.text import Text
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from penstock_tui.screens.dialog import Dialog, label

#: Columns of the screen from which the keys stand in two.
TWO_COLUMNS_FROM = 80
FILTER_HELP = (
    "Filter: state:failed prio:high kind:command label:k=v group:g parent:ID word !word "
    '"two words". The same key twice means either; different keys must all hold.'
)


class HelpDialog(Dialog):
    """A list that scrolls; any screen brings its own keys."""

    heading = "Help"

    def __init__(self, keys: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._keys = keys

    def contents(self) -> Iterable[Widget]:
        rows = [f"{key:>12}  {what}" for key, what in self._keys]
        columns = 2 if self.app.size.width >= TWO_COLUMNS_FROM else 1
        height = -(-len(rows) // columns)
        padded = [f"{row:<34}" for row in rows] + [""] * (height * columns - len(rows))
        lines = ["".join(padded[y::height]).rstrip() for y in range(height)]
        text = Text("\n".join(lines))
        yield VerticalScroll(
            Static(text),
            label(""),
            label(FILTER_HELP, hint=True),
            label(
                "Quitting leaves the daemon and its runs alone. Keys: tui.toml, [keys].",
                hint=True,
            ),
        )

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()
