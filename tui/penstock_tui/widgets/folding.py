"""A tail of lines that fold: a row under the cursor, and a key that shows or hides what belongs to it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.strip import Strip

from penstock.words.display import Span
from penstock.words.sgr import PLAIN
from penstock_tui.widgets.tail import Tail
from penstock_tui.widgets.tail_line import Fold, Line


class Folding(Tail):
    """Shows folds as `show_folds` gives them. What somebody unfolded stays so while its key is there."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "fold", "Unfold", key_display="⏎", id="folds.fold"),
        Binding("O", "fold_all", "Unfold all", show=False, id="folds.all"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="folds.page_up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="folds.page_down"),
    ]

    def __init__(self, *, most: int = 20_000, name: str | None = None) -> None:
        super().__init__(most=most, name=name)
        self.wrap = True
        #: The row that keys are about.
        self.cursor = 0
        self._folds: list[Fold] = []
        #: The row at which each of them begins.
        self._starts: list[int] = []
        #: Those that are not as they come.
        self._turned: set[str] = set()
        #: Whether all are shown, or hidden; None: each as it comes.
        self._all: bool | None = None

    def show_folds(self, folds: Sequence[Fold], changed: int = 0) -> None:
        """Show these, of which those before `changed` are as they were."""
        changed = min(changed, len(self._folds), len(folds))
        self._folds = list(folds)
        self._rebuild(changed)

    def is_open(self, fold: Fold) -> bool:
        """Whether its body is shown: as somebody has chosen, or because what is looked for stands there."""
        if self.search and any(
            self.search in line.text.casefold() for line in fold.body
        ):
            return True
        shown = fold.unfolded if self._all is None else self._all
        return shown != (fold.key in self._turned)

    def fold_at(self, row: int) -> Fold | None:
        """What the row belongs to."""
        place = bisect_right(self._starts, row) - 1
        return self._folds[place] if 0 <= place < len(self._folds) else None

    def replace(self, lines: Iterable[Line]) -> None:
        """Only nothing is shown instead: it is told anew."""
        self.lines.clear()
        self._growing = []
        self.show_folds([Fold(str(at), (line,)) for at, line in enumerate(lines)])

    def extend(self, lines: Iterable[Line], growing: Iterable[Line] = ()) -> None:
        """Lines of nobody's, as that it cannot be read."""
        new = [Fold(f"+{len(self._folds)}", (line,)) for line in (*lines, *growing)]
        if new:
            self.show_folds([*self._folds, *new], len(self._folds))

    # -- rows

    def _show(self) -> None:
        self.marked = None
        self._rebuild(0)

    def _rebuild(self, first: int) -> None:
        held = self._held()
        row = self._starts[first] if first < len(self._starts) else len(self.shown)
        if first == 0:
            row = 0
        del self.shown[row:]
        del self._starts[first:]
        for fold in self._folds[first:]:
            self._starts.append(len(self.shown))
            self.shown.extend(self._visible(self._drawn(fold)))
        self.lines.clear()
        for fold in self._folds:
            self.lines.extend((*fold.head, *fold.body))
        self._hold(held)
        self._grown()

    def _drawn(self, fold: Fold) -> list[Line]:
        """Its lines as they are, with a mark where there is something to unfold."""
        lines = [Line("")] if fold.apart and not self.only else []
        if not fold.body:
            return [*lines, *fold.head]
        shown = self.is_open(fold)
        mark = "▾ " if shown else "▸ "
        first, *rest = fold.head
        spans = (Span(mark, PLAIN), *first.spans) if first.spans else ()
        lines += [first._replace(text=mark + first.text, spans=spans), *rest]
        return [*lines, *fold.body] if shown else lines

    def _held(self) -> tuple[str, int, int] | None:
        """The fold the cursor is on, how far below its beginning, and where on the screen."""
        fold = self.fold_at(self.cursor)
        if self.follow or fold is None:
            return None
        start = self._starts[bisect_right(self._starts, self.cursor) - 1]
        return fold.key, self.cursor - start, self.cursor - int(self.scroll_y)

    def _hold(self, held: tuple[str, int, int] | None) -> None:
        """The cursor where it was, whatever came or went above it."""
        last = max(0, len(self.shown) - 1)
        if held is None:
            self.cursor = last if self.follow else min(self.cursor, last)
            return
        key, below, from_top = held
        place = next((at for at, f in enumerate(self._folds) if f.key == key), None)
        if place is None:
            self.cursor = min(self.cursor, last)
            return
        start = self._starts[place]
        after = self._starts[place + 1] if place + 1 < len(self._starts) else last + 1
        before = self.cursor
        self.cursor = max(start, min(start + below, after - 1))
        if self.cursor != before and int(self.scroll_y) != self.cursor - from_top:
            self.scroll_to(y=max(0, self.cursor - from_top), animate=False)

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        row = y + int(self.scroll_offset.y)
        if row != self.cursor or not self.has_focus or row >= len(self.shown):
            return strip
        assert self._tones is not None
        under = Style(bgcolor=self._tones.cursor_blurred.bgcolor)
        segments = [
            Segment(part.text, (part.style or Style.null()) + under) for part in strip
        ]
        return Strip(segments, strip.cell_length)

    # -- moving

    def _move(self, row: int) -> None:
        last = max(0, len(self.shown) - 1)
        self.cursor = max(0, min(row, last))
        top, height = int(self.scroll_y), self.size.height
        if not top <= self.cursor < top + height:
            at = self.cursor if self.cursor < top else self.cursor - height + 1
            self.scroll_to(y=at, animate=False)
        self.follow = self.cursor == last
        self.refresh()

    def action_scroll_up(self) -> None:
        if not self._mark_on(-1):
            self._move(self.cursor - 1)

    def action_scroll_down(self) -> None:
        if not self._mark_on(1):
            self._move(self.cursor + 1)

    def action_page(self, by: int) -> None:
        """A screenful up or down."""
        self._move(self.cursor + by * max(1, self.size.height - 1))

    def action_top(self) -> None:
        self._move(0)

    def action_follow(self) -> None:
        super().action_follow()
        self.cursor = max(0, len(self.shown) - 1)
        self.refresh()

    def action_found(self, by: int) -> None:
        super().action_found(by)
        self.cursor = min(int(self.scroll_y), max(0, len(self.shown) - 1))

    # -- folding

    def action_fold(self) -> None:
        """Show or hide what belongs to the row under the cursor."""
        fold = self.fold_at(self.cursor)
        if fold is None or not fold.body:
            return
        self.follow = False
        self._turned ^= {fold.key}
        place = bisect_right(self._starts, self.cursor) - 1
        # A row of the body is gone when it is hidden: the cursor goes to the heading.
        self.cursor = self._starts[place] + fold.apart
        self._rebuild(place)
        self._move(self.cursor)

    def action_fold_all(self) -> None:
        """Show everything, or hide it again."""
        self._all = not self._all
        self._turned.clear()
        self._rebuild(0)
        self._move(self.cursor)

    def on_click(self, event: Click) -> None:
        """A click on a heading does what the key does."""
        row = int(event.y) + int(self.scroll_offset.y)
        if row >= len(self.shown):
            return
        self._move(row)
        fold = self.fold_at(row)
        place = bisect_right(self._starts, row) - 1
        if fold is not None and row < self._starts[place] + fold.apart + len(fold.head):
            self.action_fold()
