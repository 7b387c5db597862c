"""The colours of the theme as styles for hand-drawn lines."""

from __future__ import annotations

from dataclasses import dataclass

from rich.color import Color as TerminalColour
from rich.style import Style
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme
from textual.widget import Widget

from penstock.words import sgr
from penstock.words.sgr import TextStyle

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

#: The names that may be asked for, ours first.
THEMES = (DARK.name, LIGHT.name, *sorted(BUILTIN_THEMES))

#: SGR's emphasis, as Rich calls it.
_EMPHASIS = {
    sgr.BOLD: "bold", sgr.DIM: "dim", sgr.ITALIC: "italic", sgr.UNDERLINE: "underline",
    sgr.BLINK: "blink", sgr.REVERSE: "reverse", sgr.STRUCK: "strike", sgr.OVERLINE: "overline",
}  # fmt: skip
_NAMES = ("primary", "secondary", "accent", "warning", "error", "success", "foreground")


@dataclass(frozen=True, slots=True)
class Tones:
    """Styles of one theme. `tones["error"]` stands on the ground; `colour` has no ground."""

    ground: Style
    header: Style
    header_quiet: Style
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
        header_quiet=_style(colours["dim"], back) + Style(bold=True),
        cursor=_style(fore, back.blend(colours["primary"], 0.38, alpha=1.0))
        + Style(bold=True),
        cursor_blurred=_style(fore, back.blend(colours["primary"], 0.16, alpha=1.0)),
        found=_style(back, colours["warning"]) + Style(bold=True),
        colours={
            name: Style(color=colour.rich_color) for name, colour in colours.items()
        },
    )


def printed_style(shown: TextStyle) -> Style:
    """How a program printed something; what it left alone stays as the theme has it."""
    on = [name for code, name in _EMPHASIS.items() if code in shown.emphasis]
    colours = Style(
        color=_printed_colour(shown.ink), bgcolor=_printed_colour(shown.ground)
    )
    return colours + Style.parse(" ".join(on))


def _printed_colour(codes: tuple[int, ...]) -> TerminalColour | None:
    match codes:
        case ():
            return None
        case (code,):
            # 30 to 37 and 40 to 47 are the first eight, 90 to 97 and 100 to 107 the bright ones.
            return TerminalColour.from_ansi(code % 10 + (8 if code >= 90 else 0))
        case (_, 5, number):
            return TerminalColour.from_ansi(number)
        case (_, _, red, green, blue):
            return TerminalColour.from_rgb(red, green, blue)
        case _:
            return None


def _style(fore: Color, back: Color) -> Style:
    return Style(color=fore.rich_color, bgcolor=back.rich_color)
