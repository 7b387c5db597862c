"""A tail of lines: bounded, followed until someone scrolls up, searched and filtered."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from penstock_tui.theme import Tones, tones_of
from penstock_tui.widgets.tail_line import Line, stretches
from penstock_tui.wording import lines_of, wrapped_line

#: Strips kept beyond the screen.
MOST_STRIPS = 2000


class Tail(ScrollView, can_focus=True):
    """Lines that grow at the end. One refresh per `extend`, however many lines."""

    DEFAULT_CSS = (
        "Tail { height: 1fr; overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1;"
        # Rows are made for a width that stays when the bar comes.
        " scrollbar-gutter: stable; }"
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "follow", "Follow", show=False, id="tail.follow"),
        Binding("g,home", "top", "Top", show=False, id="tail.top"),
        Binding("G,end", "follow", "Bottom", show=False, id="tail.bottom"),
        Binding("k,up", "scroll_up", "Up", show=False, id="tail.up"),
        Binding("j,down", "scroll_down", "Down", show=False, id="tail.down"),
        Binding("w", "wrap", "Wrap", show=False, id="tail.wrap"),
        Binding("n", "found(1)", "Next match", show=False, id="tail.next"),
        Binding("N", "found(-1)", "Previous match", show=False, id="tail.previous"),
        Binding(
            "v",
            "only_matches",
            "Only matches, or begin to mark lines",
            show=False,
            id="tail.only",
        ),
        Binding("y", "copy", "Copy", show=False, id="tail.copy"),
        Binding("escape", "unmark", "Unmark", show=False, id="tail.unmark"),
        Binding("t", "stamps", "Times", show=False, id="tail.stamps"),
        Binding("o", "one_stream", "Only stderr", show=False, id="tail.stream"),
    ]
    follow: reactive[bool] = reactive(True, repaint=False)

    class Changed(Message):
        """Follow, wrap or search changed: whoever shows a status line should look."""

    class Copied(Message):
        """Lines that somebody wants in the clipboard."""

        def __init__(self, text: str, count: int) -> None:
            super().__init__()
            self.text, self.count = text, count

    def __init__(self, *, most: int = 2000, name: str | None = None) -> None:
        super().__init__(id=name)
        self.lines: deque[Line] = deque(maxlen=most)
        self.shown: list[Line] = []
        self.wrap = False
        self.search = ""
        self.only = False
        #: Whether the times of lines stand before them.
        self.stamps = False
        #: The only stream whose lines are shown; "" for all.
        self.stream = ""
        #: Rows that are marked to be copied: where that began, and where it is now.
        self.marked: tuple[int, int] | None = None
        #: What is said while there is no line.
        self.empty = ""
        self._strips: dict[Line, Strip] = {}
        self._tones: Tones | None = None
        self._own_scroll = False
        self._width = 0
        self._unfinished = False
        #: Lines that may still change, and how many rows they take below the others.
        self._growing: list[Line] = []
        self._growing_rows = 0

    # -- lines

    def extend(self, lines: Iterable[Line], growing: Iterable[Line] = ()) -> None:
        """Add lines at the end; the oldest fall off at the limit. `growing` ones stand below them."""
        new, growing = list(lines), list(growing)
        if not new and growing == self._growing:
            return
        del self.shown[len(self.shown) - self._growing_rows :]
        self._growing, self._growing_rows = growing, 0
        over = len(self.lines) + len(new) - (self.lines.maxlen or 0)
        self.lines.extend(new)
        if over > 0:
            before = len(self.shown)
            self._show()
            if not self.follow and before:
                self.scroll_to(y=max(0, self.scroll_y - over), animate=False)
            return
        self.shown.extend(self._visible(new))
        self._show_growing()

    def replace(self, lines: Iterable[Line]) -> None:
        """Show these lines instead; the place one has scrolled to is kept."""
        self.lines.clear()
        self._unfinished = False
        self._growing = []
        self.lines.extend(lines)
        self._show()

    def write(self, text: str) -> None:
        """Add the next piece of a text; a line goes on where the piece before left it."""
        if not text:
            return
        if self._unfinished and self.lines:
            text = self.lines.pop().text + text
        self._unfinished = not text.endswith("\n")
        self.lines.extend(Line(line) for line in lines_of(text.removesuffix("\n")))
        self._show()

    def look_for(self, text: str) -> None:
        """Highlight a text, without case; "" ends it."""
        self.search = text.casefold()
        self._strips.clear()
        self._show()
        if text and not self.only:
            self.action_found(-1)

    def matching(self) -> int:
        """How many lines have the text that is looked for."""
        return (
            sum(self.search in line.text.casefold() for line in self.lines)
            if self.search
            else 0
        )

    def _visible(self, lines: Iterable[Line]) -> list[Line]:
        if self.only and self.search:
            lines = [line for line in lines if self.search in line.text.casefold()]
        if self.stream:
            lines = [line for line in lines if line.stream == self.stream]
        if self.stamps:
            lines = [line.stamped() for line in lines]
        width = self.scrollable_content_region.width
        if not self.wrap or width < 2:
            return list(lines)
        return [
            row
            for line in lines
            for row in (line.chopped(width) if cell_len(line.text) > width else [line])
        ]

    def _show(self) -> None:
        self.marked = None
        self.shown = self._visible(self.lines)
        self._show_growing()

    def _show_growing(self) -> None:
        rows = self._visible(self._growing)
        self._growing_rows = len(rows)
        self.shown.extend(rows)
        self._grown()

    def _grown(self) -> None:
        self.virtual_size = Size(0, len(self.shown))
        if self.follow:
            self._to_end()
        self.refresh()

    def _to_end(self) -> None:
        end = max(0, len(self.shown) - self.size.height)
        if end != int(self.scroll_y):
            self._own_scroll = True
            self.scroll_to(y=end, animate=False, force=True)

    # -- drawing

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if width != self._width:
            self._width = width
            self._strips.clear()
        tones = self._tones = self._tones or tones_of(self)
        index = y + int(self.scroll_offset.y)
        if index >= len(self.shown):
            said = "" if self.shown else f" {wrapped_line(self.empty, y, width - 2)}"
            return Strip([Segment(set_cell_size(said, width), tones["dim"])], width)
        line = self.shown[index]
        strip = self._strips.get(line)
        if strip is None:
            if len(self._strips) > MOST_STRIPS:
                self._strips.clear()
            strip = self._strips[line] = self._draw(line, width, tones)
        if index in self._marked_rows():
            return strip.apply_style(Style(reverse=True))
        return strip

    def _draw(self, line: Line, width: int, tones: Tones) -> Strip:
        style = tones[line.tone] if line.tone else tones.ground
        # The blank at which a line was wrapped needs no room.
        text = line.text.rstrip(" ") if line.goes_on else line.text
        if len(text) > width or not text.isascii():
            text = (
                set_cell_size(text, width - 1) + "…" if cell_len(text) > width else text
            )
        text = set_cell_size(text, width)
        marks = self._found(text) if self.search else []
        if not marks and not line.spans:
            return Strip([Segment(text, style)], width)
        looks = list(stretches(line, text, style))
        edges = {end for end, _ in looks}.union(*marks)
        segments, begin = [], 0
        for end in sorted(edges - {0}):
            printed = next(styled for until, styled in looks if until > begin)
            found = any(at <= begin < until for at, until in marks)
            segments.append(Segment(text[begin:end], tones.found if found else printed))
            begin = end
        return Strip(segments, width)

    def _found(self, text: str) -> list[tuple[int, int]]:
        """Where the text that is looked for begins and ends."""
        places, folded, begin = [], text.casefold(), 0
        # Casefolding may lengthen a text; then its places mean nothing and nothing is marked.
        while len(folded) == len(text) and (at := folded.find(self.search, begin)) >= 0:
            begin = at + len(self.search)
            places.append((at, begin))
        return places

    def on_resize(self) -> None:
        self._strips.clear()
        self._show()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()
        self._tones = None

    # -- moving

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing are left to the screen, and not told."""
        if action == "unmark":
            return self.marked is not None
        if action == "stamps":
            return any(line.at for line in self.lines)
        if action == "one_stream":
            return any(line.stream for line in self.lines)
        return super().check_action(action, parameters)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if self._own_scroll:
            self._own_scroll = False
        else:
            self.follow = new_value >= len(self.shown) - self.size.height - 0.5
        self.refresh()

    def watch_follow(self) -> None:
        self.post_message(self.Changed())

    def action_follow(self) -> None:
        self.follow = True
        self._to_end()

    def action_top(self) -> None:
        self.follow = False
        self.scroll_to(y=0, animate=False)

    def action_wrap(self) -> None:
        self.wrap = not self.wrap
        self._show()
        self.post_message(self.Changed())

    def action_only_matches(self) -> None:
        """Only the lines that were looked for; where nothing is, mark lines from the last one seen."""
        if self.search or self.only:
            self.only = not self.only
            self._show()
        elif self.marked is not None:
            self.action_unmark()
        elif self.shown:
            self.follow = False
            last = min(len(self.shown), int(self.scroll_y) + self.size.height) - 1
            self.marked = (last, last)
            self.refresh()
        self.post_message(self.Changed())

    def action_scroll_up(self) -> None:
        if not self._mark_on(-1):
            super().action_scroll_up()

    def action_scroll_down(self) -> None:
        if not self._mark_on(1):
            super().action_scroll_down()

    def _mark_on(self, by: int) -> bool:
        """Take the mark on by a row; whether there is one."""
        if self.marked is None:
            return False
        begin, end = self.marked
        end = max(0, min(len(self.shown) - 1, end + by))
        self.marked = (begin, end)
        top, height = int(self.scroll_y), self.size.height
        if not top <= end < top + height:
            self.scroll_to(y=end if end < top else end - height + 1, animate=False)
        self.refresh()
        self.post_message(self.Changed())
        return True

    def _marked_rows(self) -> range:
        """Of those that are there still: a line that grows may be emptied again."""
        if self.marked is None or not self.shown:
            return range(0)
        last = len(self.shown) - 1
        begin, end = sorted(min(row, last) for row in self.marked)
        return range(begin, end + 1)

    def action_unmark(self) -> None:
        """Nothing is to be copied."""
        self.marked = None
        self.refresh()
        self.post_message(self.Changed())

    def action_copy(self) -> None:
        """What is marked to the clipboard; where nothing is, what the screen copies by this key."""
        rows = [self.shown[row] for row in self._marked_rows()]
        if not rows:
            raise SkipAction
        text = "".join(row.said if row.goes_on else f"{row.said}\n" for row in rows)
        text = text.removesuffix("\n")
        self.post_message(self.Copied(text, text.count("\n") + 1))
        self.action_unmark()

    def action_stamps(self) -> None:
        """The times of lines before them, or not."""
        self.stamps = not self.stamps
        self._strips.clear()
        self._show()
        self.post_message(self.Changed())

    def action_one_stream(self) -> None:
        """Only what was printed as complaints, or all."""
        self.stream = "" if self.stream else "stderr"
        self._show()
        self.post_message(self.Changed())

    def action_found(self, by: int) -> None:
        """Scroll to the next or previous line with the text that is looked for."""
        if not self.search:
            return
        here = int(self.scroll_y)
        places = range(here + 1, len(self.shown)) if by > 0 else range(here - 1, -1, -1)
        if by < 0 and self.follow:
            places = range(len(self.shown) - 1, -1, -1)
        for index in places:
            if self.search in self.shown[index].text.casefold():
                self.follow = False
                self.scroll_to(y=index, animate=False)
                return
