"""The colours of the theme as styles for hand-drawn lines."""

from __future__ import annotations

from dataclasses import dataclass

from rich.style import Style
from textual.color import Color
from textual.theme import Theme
from textual.widget import Widget

DARK = Theme(
    name="penstock-dark",
    primary="#58a6d6",
    secondary="#4f7a94",
    accent="#7fd1c7",
    warning="#e0a84a",
    error="#e8686a",
    success="#6cc08b",
    foreground="#d8dee4",
    background="#10151a",
    surface="#161d24",
    panel="#1e2831",
    dark=True,
)
LIGHT = Theme(
    name="penstock-light",
    primary="#1c6a9c",
    secondary="#5b7f96",
    accent="#0f766e",
    warning="#8f5600",
    error="#b3261e",
    success="#1f7a3f",
    foreground="#1c2630",
    background="#f6f8f9",
    surface="#eef2f4",
    panel="#dfe7ec",
    dark=False,
)

_NAMES = ("primary", "secondary", "accent", "warning", "error", "success", "foreground")


@dataclass(frozen=True, slots=True)
class Tones:
    """Styles of one theme. `tones["error"]` stands on the ground; `colour` has no ground."""

    ground: Style
    header: Style
    cursor: Style
    cursor_blurred: Style
    found: Style
    colours: dict[str, Style]

    def colour(self, name: str) -> Style:
        """The colour alone; an unknown name changes nothing."""
        return self.colours.get(name, Style.null())

    def __getitem__(self, name: str) -> Style:
        return self.ground + self.colour(name)


def tones_of(widget: Widget) -> Tones:
    """The styles for a widget in the theme of its app."""
    variables = widget.app.theme_variables
    colours = {name: Color.parse(variables[name]) for name in _NAMES}
    back = widget.background_colors[1]
    fore = colours["foreground"]
    # Textual does not blend alpha for hand-drawn lines, so the dim tone is mixed here.
    colours["dim"] = back.blend(fore, 0.6, alpha=1.0)
    return Tones(
        ground=_style(fore, back),
        header=_style(colours["dim"], Color.parse(variables["panel"]))
        + Style(bold=True),
        cursor=_style(fore, back.blend(colours["primary"], 0.38, alpha=1.0))
        + Style(bold=True),
        cursor_blurred=_style(fore, back.blend(colours["primary"], 0.16, alpha=1.0)),
        found=_style(back, colours["warning"]) + Style(bold=True),
        colours={
            name: Style(color=colour.rich_color) for name, colour in colours.items()
        },
    )


def _style(fore: Color, back: Color) -> Style:
    return Style(color=fore.rich_color, bgcolor=back.rich_color)
