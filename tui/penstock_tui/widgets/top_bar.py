"""The first line of every screen: how the daemon is reached, and how far we are behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text

from penstock.words.sentences import number
from penstock_tui.theme import Tones
from penstock_tui.widgets.gauges import backpressure
from penstock_tui.widgets.panel import Panel
from penstock_tui.wording import CROSS, plain

#: Columns below which every word counts.
SLIM = 60


@dataclass(frozen=True, slots=True)
class Load:
    """What the daemon has to do, for the first line of every screen."""

    running: int
    slots: int
    queued: int
    #: Runs that may queue; 0: not known.
    capacity: int = 0
    asks: int = 0
    #: Failures that nobody has looked at.
    failed: int = 0
    #: Submitters that wait for room.
    blocked: int = 0
    paused: str = ""


@dataclass(frozen=True, slots=True)
class TopLine:
    """The connection in one line."""

    phase: str
    where: str
    problem: str = ""
    paused: int | None = None
    read_only: bool = False
    #: What is to be said of a daemon of another version.
    difference: str = ""
    #: What is told only because it is bad.
    ails: tuple[str, ...] = ()
    #: What there is to do; None: it is not known.
    load: Load | None = None
    clock: str = ""


class TopBar(Panel):
    """Connection, load, what ails them, clock."""

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
        text = self._told(top, tones, slim=self.size.width < SLIM)
        if text.cell_len > self.size.width:
            text = self._told(top, tones, slim=True)
        where = f"  {top.where}"
        if text.cell_len + len(where) + len(top.clock) + 2 <= self.size.width:
            text.append(where, style=tones.colour("dim"))
        room = self.size.width - text.cell_len - len(top.clock) - 1
        if room > 0:
            text.append(" " * room + top.clock, style=tones.colour("dim"))
        return text

    def _told(self, top: TopLine, tones: Tones, *, slim: bool) -> Text:
        """All but what is left out first; `slim`: in as few letters as there are."""
        glyph, tone = self._WORDS[top.phase]
        text = Text().append(" " if slim else " penstock ", style="bold")
        well = slim and top.phase == "live"
        text.append(glyph if well else f"{glyph} {top.phase}", style=tones.colour(tone))
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
        if top.load is not None:
            text.append(" " if slim else "  ").append(_load(top.load, tones, slim=slim))
        for said in top.ails:
            text.append(f"  {said}", style=tones.colour("warning"))
        return text


def _load(load: Load, tones: Tones, *, slim: bool) -> Text:
    """What there is to do; the line to the daemon turns yellow, and red where it is full."""
    slots = f"/{load.slots}" if load.slots else ""
    text = Text(f"{load.running}{slots} running")
    share = load.queued / load.capacity if load.capacity else 0.0
    word, tone = backpressure(share)
    text.append(" · ").append(f"{load.queued:,} queued", style=tones.colour(tone))
    if load.queued and load.capacity and not slim:
        said = f" ({share:.0%}{f' {word}' if word else ''})"
        text.append(said, style=tones.colour(tone))
    for count, said, colour in (
        (load.blocked, "wait to submit", "error"),
        (load.failed, "failed", "error"),
        (load.asks, "asks" if load.asks == 1 else "ask", "warning"),
    ):
        if count:
            text.append(" · ").append(f"{count:,} {said}", style=tones.colour(colour))
    if load.paused:
        text.append(f"  ‖ {plain(load.paused)}", style=tones.colour("warning"))
    return text
