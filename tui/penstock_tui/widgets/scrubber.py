"""Where a replay stands in its log."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text

from penstock_tui.theme import Tones
from penstock_tui.widgets.panel import Panel


@dataclass(frozen=True, slots=True)
class ReplayState:
    """The position shown, and the bounds of the log."""

    position: int
    first: int
    last: int
    at: str


class Scrubber(Panel):
    """A line with a mark; hidden while the daemon itself is followed."""

    def show(self, value: object) -> None:
        self.set_class(value is not None, "-on")
        super().show(value)

    def draw(self, tones: Tones) -> Text:
        state = self.value
        assert isinstance(state, ReplayState)
        text = Text(" ▶ ", style=tones.colour("accent"))
        said = f" {state.position:,} of {state.last:,}   {state.at}   ← → 1   H L 100 "
        room = max(4, self.size.width - text.cell_len - len(said))
        share = (state.position - state.first) / max(1, state.last - state.first)
        mark = min(room - 1, max(0, round(share * (room - 1))))
        text.append("━" * mark, style=tones.colour("primary"))
        text.append("●", style=tones.colour("accent"))
        text.append("─" * (room - mark - 1), style=tones.colour("dim"))
        return text.append(said)
