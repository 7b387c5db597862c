"""Saying something to a run."""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget
from textual.widgets import Input

from penstock_tui.screens.dialog import Dialog, label
from penstock_tui.wording import plain


class SayDialog(Dialog):
    """Dismissed with what was said, or with None."""

    heading = "Say something"

    def __init__(self, run_id: str, about: str) -> None:
        super().__init__()
        self._run_id, self._about = run_id, about

    def contents(self) -> Iterable[Widget]:
        yield label(f"To {plain(self._run_id)}:\n{self._about}")
        yield Input(placeholder="what it should know or do", id="text")
        yield label("enter sends it; the run reads it at its next step", hint=True)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if text := event.value.strip():
            self.dismiss(text)
