"""The runs table: what stands in a row, and which row stands first. Values in, values out.

`Listing` makes rows and their order anew only where a run changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from penstock.log.filters import matches
from penstock.log.projections import RunView
from penstock.log.writes import RunFilter
from penstock.words.lifecycle import (
    CANCELLED,
    FAILED,
    FIRST_STATE,
    QUEUED_STATES,
    ROLES,
    SLOT_STATES,
    Role,
)
from penstock_tui import wording
from penstock_tui.state import DashboardState, ShownRun
from penstock_tui.widgets.run_table import Column, Row
from penstock_tui.wording import CROSS

#: A running run that said nothing for this long is probably stuck.
STUCK_AFTER = timedelta(seconds=60)
#: A failure nobody looked at stays on top for this long.
NEWS_FOR = timedelta(minutes=15)

#: Widths of the table from which a column is shown: 60, 80 and 120 characters have been looked at.
COLUMNS = (
    Column("", 1, toned=True),
    Column("run", 14),
    Column("kind", 9, wanted_from=104),
    Column("prio", 4, wanted_from=64),
    Column("state", 10, toned=True),
    Column("step", 11, wanted_from=90),
    Column("progress", 15, toned=True, wanted_from=72),
    Column("elapsed", 8, right=True),
    Column("tokens", 6, right=True, wanted_from=112),
    Column("ver", 4, right=True, wanted_from=112),
    Column("title", 0),
)
SORTS = ("attention", "newest", "priority", "elapsed")

#: Whose turn to be looked at comes first.
RANKS: Mapping[Role, int] = {"slot": 3, "parked": 4, "in line": 5, "ended": 7}

#: Pictures between two orderings of the runs: a table that jumps cannot be read.
PICTURES_PER_ORDER = 3


def is_stuck(view: RunView, now: datetime) -> bool:
    """Whether it runs and has said nothing for too long."""
    return (
        view.state in SLOT_STATES
        and view.last_at is not None
        and now - view.last_at > STUCK_AFTER
    )


def attention(run: ShownRun, now: datetime) -> tuple[int, int, int]:
    """The key to sort by: needs an answer, failing, stuck, running, waiting, queued, ended."""
    view = run.view
    if run.asks:
        return (0, view.priority, view.position)
    if (
        view.state == FAILED
        and not run.seen
        and view.ended_at
        and now - view.ended_at < NEWS_FOR
    ):
        return (1, 0, -view.position)
    if view.ended:
        return (RANKS["ended"], 0, -_place(view))
    if run.failing:
        return (1, 1, _place(view))
    if is_stuck(view, now):
        return (2, view.priority, _place(view))
    rank = RANKS[ROLES[view.state or FIRST_STATE]]
    return (rank, view.priority, _place(view))


def sort_key(run: ShownRun, order: str, now: datetime) -> tuple[float, ...]:
    """The key for one of `SORTS`; smaller stands higher."""
    view = run.view
    if order == "newest":
        return (-_place(view),)
    if order == "priority":
        return (view.ended, view.priority, _place(view))
    if order == "elapsed":
        return (-_elapsed(view, now),)
    return attention(run, now)


def row_of(run: ShownRun, now: datetime) -> Row:
    """The run as a row of the table."""
    view = run.view
    glyph, word, tone = _state(run, now)
    return Row(
        view.run_id,
        (
            glyph,
            wording.plain(view.run_id),
            wording.plain(view.kind),
            wording.priority_word(view.priority),
            word,
            "" if view.ended else wording.plain(view.step or ""),
            wording.bar(_progress(view), 9),
            wording.duration(_elapsed(view, now)) if view.created_at else "",
            wording.tokens_of(view),
            f"v{view.code_version}" if view.code_version else "",
            _title(run),
        ),
        tone,
    )


def ordered(
    runs: list[ShownRun],
    rows: dict[str, Row],
    order: str,
    wanted: RunFilter | None,
    now: datetime,
) -> list[Row]:
    """The rows to show, in order."""
    if wanted is not None:
        runs = [run for run in runs if shown(wanted, run, rows)]
    runs = sorted(runs, key=lambda run: sort_key(run, order, now))
    return [rows[run.view.run_id] for run in runs if run.view.run_id in rows]


def shown(wanted: RunFilter, run: ShownRun, rows: dict[str, Row]) -> bool:
    """Whether the filter wants the run."""
    return run.view.state is not None and matches(wanted, run.view)  # type: ignore[arg-type]


def _state(run: ShownRun, now: datetime) -> tuple[str, str, str]:
    view = run.view
    state = view.state or FIRST_STATE
    look = wording.LOOKS[state]
    if run.asks:
        return "?", "asks", "warning"
    if view.cancel_requested and not view.ended:
        return wording.LOOKS[CANCELLED].glyph, "cancelling", "warning"
    if is_stuck(view, now):
        return "!", "stuck?", "warning"
    if run.failing and not view.ended:
        return "!", "failing", "error"
    return look.glyph, state, look.tone


def _title(run: ShownRun) -> str:
    view = run.view
    open_ask = next((ask for ask in view.asks.values() if ask.open), None)
    if run.asks and open_ask is not None:
        return wording.plain(f"asks: {open_ask.question}  (a)")
    if view.state == FAILED and view.error:
        return wording.plain(f"{wording.title_of(view)}  {CROSS} {view.error}")
    return wording.title_of(view)


def _progress(view: RunView) -> float | None:
    look = wording.LOOKS[view.state or FIRST_STATE]
    return view.progress if look.progress else None


def _elapsed(view: RunView, now: datetime) -> float:
    """Seconds of the run's life: executing if it has begun, else waiting."""
    begin = view.started_at or view.created_at
    return ((view.ended_at or now) - begin).total_seconds() if begin else 0.0


def _place(view: RunView) -> int:
    """Older runs have smaller places; the time stands in for a position that lists may lack."""
    return int(view.created_at.timestamp() * 1000) if view.created_at else view.position


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
