"""What is shown when the terminal is too small to show anything."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Static

LEAST_WIDTH = 60
LEAST_HEIGHT = 16


class TooSmall(ModalScreen[None]):
    """One sentence, and `q` still quits."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+q", "app.quit", "Quit", id="small.quit")
    ]

    def compose(self) -> ComposeResult:
        yield Static(markup=False)

    def show_size(self, width: int, height: int) -> None:
        """Say what there is and what is needed."""
        wanted = f"need {LEAST_WIDTH}x{LEAST_HEIGHT}"
        self.query_one(Static).update(
            f"too small\nhave {width}x{height}, {wanted}\nq quits"
        )


def too_small(width: int, height: int) -> bool:
    """Whether the dashboard cannot be shown in this many cells."""
    return width < LEAST_WIDTH or height < LEAST_HEIGHT
