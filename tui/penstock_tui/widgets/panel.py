"""The base of what is drawn from one value."""

from __future__ import annotations

from rich.text import Text
from textual.widget import Widget

from penstock_tui.theme import Tones, tones_of


class Panel(Widget):
    """Draws `value`; `show` takes a new one."""

    # Said here, for what Rich's text says of wrapping is not heard.
    DEFAULT_CSS = "Panel { text-wrap: nowrap; text-overflow: ellipsis; }"

    value: object = None

    def show(self, value: object) -> None:
        """Draw this from now on."""
        if value != self.value:
            self.value = value
            self.refresh()

    def render(self) -> Text:
        return self.draw(tones_of(self)) if self.value is not None else Text()

    def draw(self, tones: Tones) -> Text:
        """The picture of `value`."""
        raise NotImplementedError
