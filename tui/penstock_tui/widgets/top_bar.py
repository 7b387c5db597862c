"""The first line of every screen: how the daemon is reached, and how far we are behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text

from penstock.words.sentences import number
from penstock_tui.theme import Tones
from penstock_tui.widgets.panel import Panel
from penstock_tui.wording import CROSS, duration


@dataclass(frozen=True, slots=True)
class TopLine:
    """The connection in one line."""

    phase: str
    where: str
    problem: str = ""
    lag: float = 0.0
    position: int = 0
    behind: int = 0
    missed: int = 0
    uptime: float | None = None
    paused: int | None = None
    read_only: bool = False
    #: What is to be said of a daemon of another version.
    difference: str = ""
    clock: str = ""


class TopBar(Panel):
    """Connection, lag, position, gaps, uptime, clock."""

    _WORDS: ClassVar[dict[str, tuple[str, str]]] = {
        "live": ("●", "success"),
        "catching up": ("◐", "warning"),
        "connecting": ("○", "dim"),
        "lost": (CROSS, "error"),
        "refused": (CROSS, "error"),
        "replay": ("▶", "accent"),
    }

    def draw(self, tones: Tones) -> Text:
        top = self.value
        assert isinstance(top, TopLine)
        glyph, tone = self._WORDS[top.phase]
        text = Text(" penstock ", style="bold")
        text.append(f"{glyph} {top.phase}", style=tones.colour(tone))
        if top.read_only:
            text.append("  read-only", style=tones.colour("warning"))
        if top.paused is not None:
            text.append(
                f"  PAUSED +{number(top.paused)} events", style=tones.colour("warning")
            )
        if top.problem:
            text.append(f"  {top.problem}", style=tones.colour(tone))
        if top.difference:
            text.append(f"  {top.difference}", style=tones.colour("warning"))
        text.append(f"  {top.where}", style=tones.colour("dim"))
        text.append(self._figures(top))
        room = self.size.width - text.cell_len - len(top.clock) - 1
        if room > 0:
            text.append(" " * room + top.clock, style=tones.colour("dim"))
        return text

    def _figures(self, top: TopLine) -> str:
        parts = [f"  pos {top.position:,}"]
        if top.behind:
            parts.append(f"{number(top.behind)} behind")
        elif top.phase == "live":
            parts.append(f"lag {_lag(top.lag)}")
        parts.append(f"gaps {number(top.missed)}")
        if top.uptime is not None:
            parts.append(f"up {duration(top.uptime)}")
        return "  ".join(parts)


def _lag(seconds: float) -> str:
    return f"{max(0.0, seconds) * 1000:.0f} ms" if seconds < 10 else duration(seconds)
