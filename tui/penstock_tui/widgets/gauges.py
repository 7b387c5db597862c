"""The small panels of the overview. Each is given a value and drawn again only if it differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from penstock.words.priority import Priority
from penstock.words.sentences import number
from penstock_tui.theme import Tones
from penstock_tui.widgets.panel import Panel
from penstock_tui.wording import (
    PRIORITY_TONES,
    plain,
    priority_word,
)

#: Lines of the daemon's panel where no box has one, and those of a panel's frame.
DAEMON_LINES = 5
BORDERS = 2

_LEVELS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class QueueState:
    """Who stands in line, by priority, most important first."""

    queued: tuple[int, ...] = (0, 0, 0, 0, 0)
    capacity: int = 0
    #: Submitters that wait for room.
    blocked: int = 0
    paused: str = ""


@dataclass(frozen=True, slots=True)
class Rate:
    """Facts in each of the last seconds."""

    history: tuple[int, ...] = ()
    missed: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class DaemonState:
    """Slots, clients, store and models; one line each, with its tone."""

    lines: tuple[tuple[str, str, str], ...] = ()


class QueueGauge(Panel):
    """The queue as one bar by priority, with marks at 80 % and 100 % of its capacity."""

    def draw(self, tones: Tones) -> Text:
        queue = self.value
        assert isinstance(queue, QueueState)
        width = max(12, self.size.width)
        lines = [self._depth(queue, tones), self._bar(queue, width, tones)]
        if self.size.height > 3:
            lines.append(lines[-1])
        if self.size.height > 2:
            lines.append(self._parts(queue, width, tones))
        return Text("\n").join(lines)

    def _depth(self, queue: QueueState, tones: Tones) -> Text:
        depth, capacity = sum(queue.queued), queue.capacity
        share = depth / capacity if capacity else 0.0
        word, tone = backpressure(share)
        text = Text(f"{depth}/{capacity or '?'} queued ", style="bold")
        text.append(
            f"{share:.0%} {word or 'ok'}" if capacity else "", style=tones.colour(tone)
        )
        if queue.paused:
            text.append(f"  ‖ {plain(queue.paused)}", style=tones.colour("warning"))
        blocked = tones.colour("error" if queue.blocked else "dim")
        return text.append(f"  {queue.blocked} submitters wait", style=blocked)

    def _bar(self, queue: QueueState, width: int, tones: Tones) -> Text:
        room, capacity = width - 2, queue.capacity or max(1, sum(queue.queued))
        cells: list[str] = []
        passed = 0
        for priority, count in zip(Priority, queue.queued, strict=True):
            begin, passed = round(passed / capacity * room), passed + count
            end = max(round(passed / capacity * room), begin + (1 if count else 0))
            cells += [PRIORITY_TONES[priority]] * (end - begin)
        text, mark = Text("▕"), round(0.8 * room)
        for index in range(room):
            if index < len(cells):
                text.append("█", style=tones.colour(cells[index]))
            else:
                at_mark = index == mark
                text.append(
                    "┊" if at_mark else "·",
                    tones.colour("warning" if at_mark else "dim"),
                )
        return text.append("▏")

    def _parts(self, queue: QueueState, width: int, tones: Tones) -> Text:
        text = Text()
        for priority, count in zip(Priority, queue.queued, strict=True):
            text.append("■ ", style=tones.colour(PRIORITY_TONES[priority]))
            text.append(
                f"{priority_word(priority)} {count}  ",
                style="" if count else tones.colour("dim"),
            )
        legend = "┊ 80 %  ▏ 100 %"
        if text.cell_len + len(legend) <= width:
            text.append(legend, style=tones.colour("dim"))
        return text


class RatePanel(Panel):
    """Facts per second as bars."""

    def draw(self, tones: Tones) -> Text:
        rate = self.value
        assert isinstance(rate, Rate)
        width, rows = max(1, self.size.width), max(1, self.size.height - 1)
        lines = spark(rate.history[-width:], rows)
        text = Text("\n").join(
            Text(line.rjust(width), style=tones.colour("accent")) for line in lines
        )
        newest = rate.history[-1] if rate.history else 0
        text.append(f"\n{number(newest)}/s", style="bold")
        text.append(
            f"  peak {number(max(rate.history, default=0))}", style=tones.colour("dim")
        )
        if rate.dropped:
            text.append(
                f"  dropped {number(rate.dropped)}", style=tones.colour("error")
            )
        return text


class DaemonPanel(Panel):
    """What the daemon has in hand; it grows with its lines."""

    def show(self, value: object) -> None:
        before = self.value
        super().show(value)
        if isinstance(value, DaemonState) and value != before:
            self.styles.height = max(DAEMON_LINES, len(value.lines)) + BORDERS

    def draw(self, tones: Tones) -> Text:
        state = self.value
        assert isinstance(state, DaemonState)
        lines = []
        for name, said, tone in state.lines[: max(1, self.size.height)]:
            line = Text(f"{name:<8}", style=tones.colour("dim"))
            line.append(plain(said), style=tones.colour(tone))
            line.truncate(max(8, self.size.width), overflow="ellipsis")
            lines.append(line)
        return Text("\n").join(lines)


def backpressure(share: float) -> tuple[str, str]:
    """A word for how full the queue is, and its tone; none of either while there is room."""
    if share >= 1:
        return "FULL", "error"
    return ("high", "warning") if share >= 0.8 else ("", "")


def spark(values: Sequence[int], rows: int) -> list[str]:
    """Bars of the values, `rows` lines high, top line first."""
    most = max(values, default=0) or 1
    heights = [round(value / most * rows * 8) for value in values]
    return [
        "".join(_LEVELS[min(8, max(0, height - 8 * row))] for height in heights)
        for row in reversed(range(rows))
    ]
