"""Which rows the runs table shows, and in which order: made anew only where a run changed."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from penstock.log.writes import RunFilter
from penstock.words.lifecycle import FIRST_STATE, QUEUED_STATES, SLOT_STATES
from penstock_tui.rows import SORTS, ordered, row_of
from penstock_tui.state import DashboardState
from penstock_tui.widgets.run_table import Row

#: Pictures between two orderings of the runs: a table that jumps cannot be read.
PICTURES_PER_ORDER = 3


class Listing:
    """The rows of the model's runs. `sort` and `wanted` are what somebody chose."""

    def __init__(self) -> None:
        self.sort = SORTS[0]
        self.wanted: RunFilter | None = None
        #: How many runs stand in which state, and how many ask something.
        self.counts: Counter[str] = Counter()
        self.queued: Counter[int] = Counter()
        self._rows: dict[str, Row] = {}
        self._order: list[str] = []
        self._pictures = 0

    def forget(self, model: DashboardState) -> None:
        """It is another log: every row is made anew."""
        self._rows.clear()
        self._order.clear()
        model.dirty |= model.runs.keys()

    def take(
        self, model: DashboardState, now: datetime, *, whole: bool
    ) -> tuple[bool, bool]:
        """Take what changed; whether a row did, and whether they stand in a new order.

        `whole` makes the rows of all open runs anew: their elapsed times have moved.
        """
        dirty = model.dirty
        if whole:
            dirty |= {
                run_id for run_id, run in model.runs.items() if not run.view.ended
            }
        changed = bool(dirty) or len(self._rows) > len(model.runs)
        for run_id in dirty & model.runs.keys():
            self._rows[run_id] = row_of(model.runs[run_id], now)
        for run_id in self._rows.keys() - model.runs.keys():
            del self._rows[run_id]
        model.dirty = set()
        self._pictures += 1
        due = self._pictures % PICTURES_PER_ORDER == 0 or not self._order
        reorder = whole or (changed and due)
        if reorder:
            self.reorder(model, now)
        return changed, reorder

    def reorder(self, model: DashboardState, now: datetime) -> None:
        """Filter, sort and count the runs."""
        runs = list(model.runs.values())
        rows = ordered(runs, self._rows, self.sort, self.wanted, now)
        self._order = [row.key for row in rows]
        self.counts, self.queued = Counter(), Counter()
        for run in runs:
            self.counts[run.view.state or FIRST_STATE] += 1
            self.counts["asks"] += run.asks
            if run.view.state in QUEUED_STATES:
                self.queued[run.view.priority] += 1

    @property
    def running(self) -> int:
        """How many runs hold a slot."""
        return sum(self.counts[state] for state in SLOT_STATES)

    def rows(self) -> list[Row]:
        """The rows to show, in order."""
        return [self._rows[key] for key in self._order if key in self._rows]

    def title(self, model: DashboardState, words: str) -> str:
        """How many of how many are shown; `words` is the filter as it was typed."""
        text = f"Runs {len(self._order)}/{len(model.runs)}"
        if words and self.wanted is not None:
            text += f"  / {words}"
        if self.sort != SORTS[0]:
            text += f"  by {self.sort}"
        return text.replace("[", "\\[")

    def subtitle(self) -> str:
        """What the runs do."""
        return (
            f"{self.running} running · {self.queued.total()} queued"
            f" · {self.counts['asks']} asks"
        )
