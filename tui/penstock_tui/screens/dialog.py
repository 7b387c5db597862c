"""What every dialog has: a frame, escape to leave it, and `q`, which always quits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static


class Dialog(ModalScreen[object]):
    """A frame in the middle. A modal screen hides the app's bindings, so `q` is bound again."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", id="dialog.leave"),
        Binding("q", "app.quit", "Quit", show=False, id="dialog.quit"),
    ]
    heading = ""

    def compose(self) -> ComposeResult:
        frame = Vertical(*self.contents(), id="frame")
        frame.border_title = self.heading
        frame.border_subtitle = "esc back"
        yield frame

    def contents(self) -> Iterable[Widget]:
        """What stands inside the frame."""
        raise NotImplementedError

    def action_leave(self) -> None:
        self.dismiss(None)


def label(text: str, *, name: str | None = None, hint: bool = False) -> Static:
    """A text that is never read as markup."""
    return Static(text, markup=False, id=name, classes="hint" if hint else "label")
