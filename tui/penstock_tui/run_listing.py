"""The overview's list: which rows there are, in which order. What did not change costs nothing.

A run is looked at again when a fact changed it; those whose place moves with the clock, and they are
few, each second. Rows are made only where they are drawn, so ten thousand runs in line are ten
thousand keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from functools import partial
from heapq import nsmallest

from penstock.log.filters import RunFilter, matches
from penstock.words.lifecycle import QUEUED_STATES, SLOT_STATES
from penstock_tui import standing
from penstock_tui.rows import ALONE, COLUMNS, Around, heading_row, row_of, tally
from penstock_tui.standing import SORTS, Standing, hindrance, standing_of
from penstock_tui.state import DashboardState, ShownRun
from penstock_tui.widgets.lazy_rows import HEADING, LazyRows, Row

#: Pictures between two orderings of the runs: a table that jumps cannot be read.
PICTURES_PER_ORDER = 3
#: Runs in line that are told which place they have; further back it is no news.
MOST_PLACES = 99
#: Of the list's height, what failures take at most: one part of so many.
FAILURES_SHARE = 3
#: And of one that is longer than the list, the line; `state:queued` finds all of it.
QUEUE_SHARE = 2
#: A tree of runs is bounded by the daemon at 8 levels; this ends a loop in broken data.
DEEPEST = 10

_TITLES = {
    standing.NEEDS_YOU: "NEEDS YOU",
    standing.RUNNING: "RUNNING",
    standing.QUEUED: "QUEUED",
    standing.TODAY: "ENDED TODAY",
    standing.EARLIER: "EARLIER",
}


class Listing:
    """The rows of the model's runs. `sort`, `wanted` and `unfolded` are what somebody chose."""

    def __init__(self) -> None:
        self.sort = SORTS[0]
        self.wanted: RunFilter | None = None
        #: Parents whose children are shown.
        self.unfolded: set[str] = set()
        #: Whether all that stand in line are shown, however many.
        self.long_queue = False
        #: Runs that the next verb is about.
        self.marked: set[str] = set()
        #: Lines that the list has.
        self.height = 20
        #: How many runs stand in which state, and how many ask something.
        self.counts: Counter[str] = Counter()
        self.queued: Counter[int] = Counter()
        #: Columns that some run has something for.
        self.columns: Counter[str] = Counter()
        #: How many runs are of which box.
        self.boxes: Counter[str] = Counter()
        self._standings: dict[str, Standing] = {}
        self._fitting: set[str] = set()
        self._children: dict[str, set[str]] = {}
        self._order: list[str] = []
        self._depths: dict[str, int] = {}
        self._places: dict[str, int] = {}
        self._headings: dict[str, str] = {}
        self._pictures = 0
        self._today: date | None = None
        self._late = False

    def forget(self, model: DashboardState) -> None:
        """It is another log: every run is looked at anew."""
        self._standings.clear()
        self._fitting.clear()
        self._children.clear()
        self._order.clear()
        self.marked.clear()
        for counted in (self.counts, self.queued, self.columns, self.boxes):
            counted.clear()
        model.dirty |= model.runs.keys()

    def take(
        self, model: DashboardState, now: datetime, *, whole: bool
    ) -> tuple[bool, bool]:
        """Take what changed; whether a row may have, and whether they stand in a new order.

        `whole`: a second has passed, and with it the place of some runs.
        """
        dirty, model.dirty = model.dirty, set()
        if whole:
            dirty |= self._moved_by_time(now)
        if whole or len(self._standings) > len(model.runs):
            for run_id in [key for key in self._standings if key not in model.runs]:
                self._put(run_id, None)
        for run_id in dirty & model.runs.keys():
            self._look_at(model.runs[run_id], now)
        self._pictures += 1
        due = self._pictures % PICTURES_PER_ORDER == 0 or not self._order
        reorder = self._late and (due or whole)
        if reorder:
            self.reorder()
        return bool(dirty) or reorder or whole, reorder

    def _moved_by_time(self, now: datetime) -> set[str]:
        """Runs that may stand elsewhere without a fact that says so."""
        today = now.astimezone().date()
        if self.sort == "elapsed" or today != self._today:
            self._today = today
            return set(self._standings)
        return {
            key
            for key, placed in self._standings.items()
            if placed.news or placed.aside
        }

    def _look_at(self, run: ShownRun, now: datetime) -> None:
        run_id = run.view.run_id
        self._put(run_id, standing_of(run, self.sort, now))
        if self.wanted is None:
            return
        fits = run.view.state is not None and matches(self.wanted, run.view)  # type: ignore[arg-type]
        if fits != (run_id in self._fitting):
            (self._fitting.add if fits else self._fitting.discard)(run_id)
            self._late = True

    def _put(self, run_id: str, placed: Standing | None) -> None:
        """This is where the run stands from now on; None: it is gone."""
        before = self._standings.get(run_id)
        if before == placed:
            return
        if before is not None:
            self._count(before, -1)
        if placed is None:
            del self._standings[run_id]
            self.marked.discard(run_id)
        else:
            self._standings[run_id] = placed
            self._count(placed, 1)
            if placed.parent is not None:
                self._children.setdefault(placed.parent, set()).add(run_id)
        self._late = True

    def _count(self, placed: Standing, by: int) -> None:
        self.counts[placed.state] += by
        self.counts["asks"] += by * placed.asks
        self.counts["news"] += by * placed.news
        if placed.state in QUEUED_STATES:
            self.queued[placed.priority] += by
        for column in placed.columns:
            self.columns[column] += by
        if placed.box:
            self.boxes[placed.box] += by

    def resort(self, model: DashboardState, now: datetime) -> None:
        """Somebody chose another order or filter."""
        self._fitting.clear()
        for run in model.runs.values():
            self._look_at(run, now)
        self.reorder()

    def reorder(self) -> None:
        """Filter, fold and sort the runs."""
        self._late = False
        self._depths.clear()
        self._headings.clear()
        sections = self._sections()
        queued = sections.get(standing.QUEUED, ())
        in_line = self._first(
            [key for key in queued if not self._standings[key].aside], MOST_PLACES
        )
        self._places = {key: n for n, key in enumerate(in_line, 1)}
        self._order = []
        for section, keys in sorted(sections.items()):
            if self.sort == SORTS[0]:
                self._add_heading(section, keys)
            most = self._most_of(section, sum(map(len, sections.values())))
            for key in self._first(keys, most):
                self._order.append(key)
                self._unfold(key, 1)
            if (more := len(keys) - most) > 0:
                self._say(
                    f"{section} more", f"  … {more:,} more in line  (o shows them)"
                )

    def _first(self, keys: Sequence[str], most: int) -> list[str]:
        """The first of them, in order; of many, only so many are put in order."""
        if len(keys) <= most:
            return sorted(keys, key=self._key)
        return nsmallest(most, keys, key=self._key)

    def _most_of(self, section: int, rows: int) -> int:
        """How many of a section are shown of so many in all: a long line must not hide what has ended."""
        short = rows <= self.height or self.long_queue or self.wanted is not None
        if section != standing.QUEUED or self.sort != SORTS[0] or short:
            return len(self._standings)
        return max(3, self.height // QUEUE_SHARE)

    def _sections(self) -> dict[int, list[str]]:
        news = sorted(
            (key for key, placed in self._standings.items() if placed.news),
            key=self._key,
        )
        loud = set(news[: max(1, self.height // FAILURES_SHARE)])
        sections: dict[int, list[str]] = {}
        for key, placed in self._standings.items():
            if self.wanted is not None:
                if key not in self._fitting:
                    continue
            elif self._is_folded(key, placed):
                continue
            section = standing.NEEDS_YOU if key in loud else placed.section
            flat = self.sort != SORTS[0]
            sections.setdefault(0 if flat else section, []).append(key)
        return sections

    def _is_folded(self, key: str, placed: Standing) -> bool:
        """Whether it is told by its parent's row. What asks stands for itself."""
        return (
            self.sort == SORTS[0]
            and not placed.asks
            and placed.parent is not None
            and placed.parent in self._standings
            and placed.parent != key
        )

    def _unfold(self, parent: str, depth: int) -> None:
        if self.wanted is not None or parent not in self.unfolded or depth > DEEPEST:
            return
        for key in sorted(self._folded(parent), key=self._key):
            self._depths[key] = depth
            self._order.append(key)
            self._unfold(key, depth + 1)

    def _folded(self, parent: str) -> Iterator[str]:
        for key in self._children.get(parent, ()):
            placed = self._standings.get(key)
            if placed is not None and self._is_folded(key, placed):
                yield key

    def _key(self, run_id: str) -> tuple[float, ...]:
        return self._standings[run_id].key

    def _add_heading(self, section: int, keys: Iterable[str]) -> None:
        text = _TITLES[section]
        if section >= standing.TODAY:
            text += f"  {tally(Counter(self._standings[key].state for key in keys))}"
        self._say(str(section), text)

    def _say(self, name: str, text: str) -> None:
        self._headings[f"{HEADING}{name}"] = text
        self._order.append(f"{HEADING}{name}")

    @property
    def running(self) -> int:
        """How many runs hold a slot."""
        return sum(self.counts[state] for state in SLOT_STATES)

    @property
    def shown(self) -> int:
        """How many runs stand in the list, with those that are folded under others."""
        if self.wanted is None:
            return len(self._standings)
        return len(self._order) - len(self._headings)

    def fold(self, key: str) -> None:
        """Show what is folded under a run, or fold it; of a run in line, the rest of the line."""
        if self._children.get(key):
            self.unfolded ^= {key}
        elif (placed := self._standings.get(key)) and placed.section == standing.QUEUED:
            self.long_queue = not self.long_queue
        self.reorder()

    def rows(self, model: DashboardState, now: datetime) -> LazyRows:
        """The rows to show, in order; each is made when it is looked at."""
        return LazyRows(tuple(self._order), partial(self._row, model, now))

    def hidden(self) -> frozenset[str]:
        """The columns that nobody has anything for."""
        shown = {"mark"} if self.marked else set()
        if sum(count > 0 for count in self.boxes.values()) > 1:
            shown.add("box")
        return frozenset(
            column.title
            for column in COLUMNS
            if column.only_if_any
            and column.title not in shown
            and not self.columns[column.title]
        )

    def _row(self, model: DashboardState, now: datetime, key: str) -> Row:
        if key in self._headings:
            return heading_row(key, self._headings[key])
        run = model.runs.get(key)
        if run is None:
            return Row(key, ("",) * len(COLUMNS))
        return row_of(run, now, self._around(model, now, key))

    def _around(self, model: DashboardState, now: datetime, key: str) -> Around:
        placed = self._standings.get(key)
        if placed is None:
            return ALONE
        queued = placed.section == standing.QUEUED
        folded = 0
        if key in self._children and self.wanted is None and self.sort == SORTS[0]:
            folded = sum(1 for _ in self._folded(key))
        return Around(
            place=self._places.get(key, 0) if queued else 0,
            hindrance=hindrance(
                model.runs[key].view, model.queue, model.runs, now, model.boxes
            )
            if queued
            else "",
            children=folded,
            unfolded=key in self.unfolded,
            depth=self._depths.get(key, 0),
            marked=key in self.marked,
        )

    def title(self, model: DashboardState, words: str) -> str:
        """How many of how many are shown; `words` is the filter as it was typed."""
        text = f"Runs {self.shown}/{len(model.runs)}"
        if words and self.wanted is not None:
            text += f"  / {words}"
        if self.sort != SORTS[0]:
            text += f"  by {self.sort}"
        if self.marked:
            text += f"  {len(self.marked)} marked"
        return text
