"""A table of thousands of rows that draws only what changed and is on the screen.

DataTable renders every visible cell again when one of them changes; here a row is one cached strip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from penstock_tui.theme import Tones, tones_of
from penstock_tui.widgets.lazy_rows import HEADING, LazyRows, Row, TableColumn
from penstock_tui.wording import wrapped_line

#: Strips kept beyond the screen, so that scrolling back is cheap.
MOST_STRIPS = 1000


class RunList(ScrollView, can_focus=True):
    """Rows by key; the cursor stays with its key when rows move, and comes back to it when it does."""

    DEFAULT_CSS = "RunList { height: 1fr; overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor(-1)", "Up", show=False, id="table.up"),
        Binding("down,j", "cursor(1)", "Down", show=False, id="table.down"),
        Binding("g,home", "cursor_to(0)", "Top", show=False, id="table.top"),
        Binding("G,end", "cursor_to(-1)", "Bottom", show=False, id="table.bottom"),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False, id="table.page_up"),
        Binding(
            "pagedown,ctrl+f", "page(1)", "Page down", show=False, id="table.page_down"
        ),
        Binding("enter", "open", "Open", key_display="⏎", id="table.open"),
    ]
    cursor: reactive[int] = reactive(0, repaint=False, init=False)

    class Opened(Message):
        """A row was chosen by enter or a double click."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class Moved(Message):
        """Somebody moved the cursor."""

    def __init__(self, columns: Sequence[TableColumn], *, name: str) -> None:
        super().__init__(id=name)
        self.columns = columns
        self.rows = LazyRows((), _nothing)
        #: What stands in the first line, instead of the names of the columns.
        self.title = ""
        #: Titles of columns that are left out now.
        self.hidden: frozenset[str] = frozenset()
        self._empty = ""
        self._strips: dict[tuple[Row, int], Strip] = {}
        self._shown: list[tuple[int, int]] = []
        self._tones: Tones | None = None
        self._width = 0
        #: Where somebody put the cursor. Until then it stays at the top, on whatever needs attention.
        self._chosen: str | None = None

    @property
    def empty(self) -> str:
        """What is said while there is no row."""
        return self._empty

    @empty.setter
    def empty(self, text: str) -> None:
        if text != self._empty:
            self._empty = text
            if not self.rows:
                self.refresh()

    @property
    def selected(self) -> str | None:
        """The key under the cursor."""
        if self.cursor >= len(self.rows) or self.rows[self.cursor].heading:
            return None
        return self.rows.keys[self.cursor]

    def run_keys(self) -> list[str]:
        """The keys of all rows that are no headings, in order."""
        return [key for key in self.rows.keys if not key.startswith(HEADING)]

    def set_title(self, title: str, hidden: frozenset[str] = frozenset()) -> None:
        """Say this in the first line, and leave these columns out."""
        if hidden != self.hidden:
            self.hidden = hidden
            self._tones = None
            self.refresh()
        if title != self.title:
            self.title = title
            self.refresh(Region(0, 0, self.size.width, 1))

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show these rows; only lines that differ are drawn again."""
        before = self.rows
        self.rows = rows if isinstance(rows, LazyRows) else LazyRows.of(rows)
        rows = self.rows
        if len(rows) != len(before):
            self.virtual_size = Size(0, len(rows) + 1)
        if bool(before) != bool(rows):
            self.refresh()
        top = int(self.scroll_offset.y)
        for index in range(
            top, min(max(len(rows), len(before)), top + self.size.height)
        ):
            if (
                index >= len(rows)
                or index >= len(before)
                or rows[index] != before.as_drawn(index)
            ):
                self._refresh_row(index)
        self._keep_cursor()

    def _keep_cursor(self) -> None:
        """On its run wherever that stands now; while it is gone, near where it was."""
        if self._chosen is None:
            self.cursor = self._from_heading(0, 1)
        elif self.selected != self._chosen:
            try:
                self.cursor = self.rows.keys.index(self._chosen)
            except ValueError:
                self.cursor = self._from_heading(self.cursor, 1)

    def _from_heading(self, index: int, step: int) -> int:
        """The nearest line that is a run's, on this side or else on the other."""
        last = len(self.rows) - 1
        index = max(0, min(last, index))
        for way in (step, -step):
            at = index
            while 0 <= at <= last:
                if not self.rows[at].heading:
                    return at
                at += way
        return index

    def _move_to(self, index: int, step: int = 1) -> None:
        """Somebody puts the cursor there."""
        self.cursor = self._from_heading(index, step)
        self._chosen = self.selected
        self.post_message(self.Moved())

    def select(self, key: str) -> None:
        """Put the cursor on a key, if it is there."""
        if key in self.rows.keys:
            self._move_to(self.rows.keys.index(key))

    def _refresh_row(self, index: int) -> None:
        y = index + 1 - int(self.scroll_offset.y)
        if 1 <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    # -- drawing

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        tones = self._tones
        if tones is None or width != self._width:
            tones = self._restyle(width)
        if y == 0:
            shown = (self.columns[index].title for index, _ in self._shown)
            title = self.title or "  ".join(filter(None, shown))
            return _line(f" {title}", width, tones.header)
        index = y - 1 + int(self.scroll_offset.y)
        if index >= len(self.rows):
            said = (
                "" if self.rows else f"  {wrapped_line(self.empty, y - 2, width - 4)}"
            )
            return Strip([Segment(set_cell_size(said, width), tones["dim"])], width)
        row = self.rows[index]
        if row.heading:
            return _line(row.cells[0], width, tones.header_quiet)
        mark = 0 if index != self.cursor else 2 if self.has_focus else 1
        strip = self._strips.get((row, mark))
        if strip is None:
            if len(self._strips) > MOST_STRIPS:
                self._strips.clear()
            ground = (tones.ground, tones.cursor_blurred, tones.cursor)[mark]
            strip = self._strips[row, mark] = self._draw(row, ground, width, tones)
        return strip

    def _draw(self, row: Row, ground: Style, width: int, tones: Tones) -> Strip:
        toned = ground + tones.colour(row.tone) if row.tone else ground
        quiet = ground + tones.colour("dim") if row.tone == "dim" else ground
        segments: list[Segment] = []
        for place, (index, cell_width) in enumerate(self._shown):
            column = self.columns[index]
            text = _fit(row.cells[index], cell_width, right=column.right)
            style: Style = toned if column.toned else quiet
            segments.append(Segment(text if place == 0 else f" {text}", style))
        line = Strip(segments)
        # One segment a cell: in an SVG each then begins exactly in its column.
        return line.adjust_cell_length(width, ground)

    def _restyle(self, width: int) -> Tones:
        """Read the theme and share the width among the columns."""
        self._strips.clear()
        self._width = width
        wanted = [
            (i, c)
            for i, c in enumerate(self.columns)
            if width >= c.wanted_from and c.title not in self.hidden
        ]
        fixed = sum(column.width + 1 for _, column in wanted if column.width)
        open_columns = sum(1 for _, column in wanted if not column.width) or 1
        rest = max(4, (width - fixed) // open_columns)
        self._shown = [(i, column.width or rest) for i, column in wanted]
        self._tones = tones_of(self)
        return self._tones

    def on_resize(self) -> None:
        self._tones = None
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._tones = None

    def on_focus(self) -> None:
        self._refresh_row(self.cursor)

    def on_blur(self) -> None:
        self._refresh_row(self.cursor)

    # -- moving

    def watch_cursor(self, before: int, after: int) -> None:
        self._refresh_row(before)
        self._refresh_row(after)
        visible, top = self.size.height - 1, int(self.scroll_offset.y)
        if after < top:
            self.scroll_to(y=after, animate=False)
        elif visible > 0 and after >= top + visible:
            self.scroll_to(y=after - visible + 1, animate=False)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.refresh()

    def action_cursor(self, by: int) -> None:
        self._move_to(self.cursor + by, 1 if by > 0 else -1)

    def action_cursor_to(self, index: int) -> None:
        self._move_to(0 if index == 0 else len(self.rows) - 1, 1 if index == 0 else -1)

    def action_page(self, by: int) -> None:
        self.action_cursor(by * max(1, self.size.height - 2))

    def action_open(self) -> None:
        if (key := self.selected) is not None:
            self.post_message(self.Opened(key))

    def on_click(self, event: events.Click) -> None:
        index = event.y - 1 + int(self.scroll_offset.y)
        if event.y > 0 and index < len(self.rows):
            again = self.cursor == index
            self._move_to(index)
            if again and event.chain == 2:
                self.action_open()


def _line(text: str, width: int, style: Style) -> Strip:
    return Strip([Segment(_fit(text, width), style)], width)


def _nothing(key: str) -> Row:
    raise KeyError(key)


def _fit(text: str, width: int, *, right: bool = False) -> str:
    """The text in exactly `width` cells; a cut is told by an ellipsis."""
    if text.isascii():
        if len(text) > width:
            return text[: width - 1] + "…"
        return text.rjust(width) if right else text.ljust(width)
    room = width - cell_len(text)
    if room < 0:
        return set_cell_size(text, width - 1) + "…"
    return " " * room + text if right else text + " " * room
