"""Asking once before something that everybody would notice."""

from __future__ import annotations

from collections.abc import Iterable

from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Button

from penstock_tui.screens.dialog import Dialog, label


class ConfirmDialog(Dialog):
    """Dismissed with True, or with None."""

    def __init__(self, heading: str, question: str, yes: str) -> None:
        super().__init__()
        self.heading, self._question, self._yes = heading, question, yes

    def contents(self) -> Iterable[Widget]:
        yield label(self._question)
        yield Horizontal(
            Button(self._yes, variant="warning", id="yes"),
            Button("Leave it", id="no"),
            id="buttons",
        )

    def on_mount(self) -> None:
        self.query_one("#yes", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(True if event.button.id == "yes" else None)
