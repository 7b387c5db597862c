"""What every dialog has, a frame, escape to leave it, and `q`, which always quits; and the plain ones.

The keys as they are bound now, a text to be typed, a yes or no, and a word to who has no room for any.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from penstock_tui.wording import plain

#: A phone that stands upright has 46 columns.
LEAST_WIDTH = 40

LEAST_HEIGHT = 12

#: Columns of the screen from which the keys stand in two.
TWO_COLUMNS_FROM = 80

FILTER_HELP = (
    "Filter: state:failed prio:high kind:command label:k=v group:g box:NAME parent:ID word !word "
    '"two words". The same key twice means either; different keys must all hold.'
)


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


class ConfirmDialog(Dialog):
    """Asks once before something that everybody would notice. Dismissed with True, or with None."""

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


class SayDialog(Dialog):
    """Says something to a run. Dismissed with what was said, or with None."""

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
