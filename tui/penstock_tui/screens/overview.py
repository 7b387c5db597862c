"""The first screen: the runs, and a preview of the one under the cursor. Alerts, events and figures are keys away."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.screen import Screen
from textual.widgets import Input

from penstock.log.filters import parse_filter
from penstock.words.errors import PenstockError, Refused
from penstock.words.priority import Priority
from penstock_tui.figures import daemon_lines, load_of, queue_state
from penstock_tui.heading import is_known, nothing_listed, nothing_needed
from penstock_tui.keys import LIST_KEYS, RUN_KEYS, SCREEN_KEYS
from penstock_tui.lines import alert_line, event_line
from penstock_tui.monitor import Monitor
from penstock_tui.rows import COLUMNS
from penstock_tui.run_listing import Listing
from penstock_tui.screens.preview import Preview
from penstock_tui.standing import SORTS
from penstock_tui.state import MOST_ALERTS, MOST_TAIL, DashboardState
from penstock_tui.widgets.gauges import (
    DaemonPanel,
    QueueGauge,
    Rate,
    RatePanel,
)
from penstock_tui.widgets.key_line import KeyLine
from penstock_tui.widgets.run_table import RunList
from penstock_tui.widgets.scrubber import Scrubber
from penstock_tui.widgets.tail import Tail
from penstock_tui.widgets.top_bar import TopBar
from penstock_tui.wording import plain

#: Seconds without a key after which the daemon is asked for what fits a filter.
TYPING_SECONDS = 0.3


class Overview(Screen[None]):
    """Shows the app's model. `redraw` is called by the app's timer, and only then is work done."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *SCREEN_KEYS,
        *RUN_KEYS,
        *LIST_KEYS,
        Binding("slash", "filter", "Filter", key_display="/", id="runs.filter"),
        Binding("escape", "clear", "Clear", show=False, id="runs.clear"),
        Binding("p", "app.pause", "Pause", id="view.pause"),
        Binding("z", "zoom", "List alone", show=False, id="view.zoom"),
        Binding("s", "sort", "Sort", show=False, id="runs.sort"),
        Binding("1", "panel('runs')", "Runs", show=False, id="panel.runs"),
        Binding("2", "panel('alerts')", "Alerts", show=False, id="panel.alerts"),
        Binding("3", "panel('events')", "Events", show=False, id="panel.events"),
        Binding("4", "panel('figures')", "Daemon", show=False, id="panel.figures"),
    ]

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(id="overview")
        self.monitor = monitor
        self.top = TopBar()
        self.gauge = QueueGauge(id="queue", classes="box")
        self.rate = RatePanel(id="rate", classes="box")
        self.daemon = DaemonPanel(id="daemon", classes="box")
        self.table = RunList(COLUMNS, name="runs")
        self.preview = Preview(monitor)
        self.alerts = Tail(most=MOST_ALERTS, name="alerts")
        self.events = Tail(most=MOST_TAIL, name="events")
        self.entry = Input(
            placeholder="state:failed prio:high word !word", classes="entry"
        )
        self.scrubber = Scrubber(id="scrubber")
        self.listing = Listing()
        self.ready = False
        self._alerts_seen = self._events_seen = 0
        self._epoch = ""
        #: What is wrong with the filter that is being written; "" while nothing is.
        self._mistake = ""
        #: Whether the daemon looks for what fits the filter.
        self._asking = False

    def compose(self) -> ComposeResult:
        for panel, title in (
            (self.gauge, "Queue"),
            (self.rate, "Throughput"),
            (self.daemon, "Daemon"),
            (self.alerts, "Alerts"),
            (self.events, "Events"),
        ):
            panel.add_class("box")
            panel.border_title = title
        self.events.empty = "nothing was recorded since this began"
        yield self.top
        yield self.entry
        yield Container(self.table, self.preview, id="body")
        yield self.alerts
        yield self.events
        yield Vertical(self.gauge, self.daemon, self.rate, id="figures")
        yield self.scrubber
        yield KeyLine()

    def on_mount(self) -> None:
        self.ready = True
        self.action_panel("runs")
        self.redraw(self.monitor.model)

    def on_unmount(self) -> None:
        self.ready = False

    @property
    def run_id(self) -> str | None:
        """The run that cancel, retry and answer are about."""
        return self.table.selected

    @property
    def run_ids(self) -> list[str]:
        """The marked runs, or else the one under the cursor."""
        marked = [key for key in self.monitor.model.runs if key in self.listing.marked]
        return marked or ([self.run_id] if self.run_id else [])

    # -- drawing

    def redraw(self, model: DashboardState, *, whole: bool = False) -> None:
        """Bring the screen up to date; `whole`: a second has passed."""
        if not self.ready:
            return  # a timer may fire while widgets are still coming, or already going
        if self.monitor.paused is None:
            self._take(model, whole=whole)
        self.top.show(self.monitor.top_line())
        self.scrubber.show(self.monitor.replay_state())

    def _take(self, model: DashboardState, *, whole: bool) -> None:
        if model.epoch != self._epoch:
            self._start_over(model)
        now = self.monitor.now()
        self.listing.height = self.table.size.height
        changed, reordered = self.listing.take(model, now, whole=whole)
        if changed:
            self.table.set_rows(self.listing.rows(model, now))
        if changed or reordered:
            self._show_counts(model)
        self.table.empty = self._nothing_listed(model)
        self.alerts.empty = nothing_needed(model)
        self.preview.show_run(self.run_id)
        self.preview.redraw(model, whole=whole)
        self._take_tails(model)
        self.rate.show(Rate(tuple(model.history), model.missed))
        self.daemon.show(daemon_lines(model, self.listing.running))

    def _nothing_listed(self, model: DashboardState) -> str:
        if self._mistake:
            return self._mistake
        if self.listing.wanted is not None and model.runs:
            return (
                "asking the daemon …"
                if self._asking
                else "no run fits the filter: esc clears it"
            )
        return nothing_listed(model, self.monitor.where())

    def _start_over(self, model: DashboardState) -> None:
        self._epoch = model.epoch
        self.listing.forget(model)
        self.table.set_rows([])
        self.preview.show_run(self.run_id, again=True)
        self._alerts_seen = model.alert_count - len(model.alerts)
        self._events_seen = model.tail_count - len(model.tail)
        self.alerts.replace([])
        self.events.replace([])

    def _show_counts(self, model: DashboardState) -> None:
        title = self.listing.title(model, self.entry.value)
        if self._mistake:
            title = f"{title}  {self._mistake}"
        self.table.set_title(
            title if is_known(model) else "Runs", self.listing.hidden()
        )
        queued = tuple(self.listing.queued[priority] for priority in Priority)
        self.gauge.show(queue_state(model.queue, queued) if model.queue else None)
        self.monitor.load = load_of(model, self.listing.counts, self.listing.running)

    def _take_tails(self, model: DashboardState) -> None:
        if new := min(model.alert_count - self._alerts_seen, len(model.alerts)):
            self._alerts_seen = model.alert_count
            self.alerts.extend(alert_line(alert) for alert in list(model.alerts)[-new:])
        if not self.events.display or not self.events.size.height:
            return
        if new := min(model.tail_count - self._events_seen, len(model.tail)):
            self._events_seen = model.tail_count
            # More than one screenful at once would only be scrolled over.
            new = min(new, max(self.events.size.height, 50))
            self.events.extend(
                event_line(fact, model.inputs_of(fact.run_id))
                for fact in list(model.tail)[-new:]
            )

    def refresh_order(self) -> None:
        """Order and filter the runs now, whatever the pause says."""
        model, now = self.monitor.model, self.monitor.now()
        self.listing.resort(model, now)
        self.show_rows()

    def show_rows(self) -> None:
        """Draw the rows anew: what is marked or folded changed."""
        model = self.monitor.model
        self.table.set_rows(self.listing.rows(model, self.monitor.now()))
        self._show_counts(model)
        self.preview.show_run(self.run_id)
        self.preview.redraw(model, whole=False)

    # -- keys

    @on(RunList.Moved)
    def _cursor_moved(self) -> None:
        self.preview.show_run(self.run_id)
        self.preview.redraw(self.monitor.model, whole=False)

    def action_filter(self) -> None:
        self.action_panel("runs")
        self.entry.add_class("-on")
        self.call_after_refresh(self.entry.focus)

    def action_clear(self) -> None:
        """Escape: back to the list, then leave the filter, then the marks."""
        if not self.has_class("-runs"):
            self.action_panel("runs")
        elif self.entry.has_class("-on") or self.entry.value:
            self.entry.value = ""
            self._leave_entry()
        elif self.listing.marked:
            self.listing.marked.clear()
            self.show_rows()

    def _leave_entry(self) -> None:
        self.entry.remove_class("-on")
        self.table.focus()

    @on(Input.Changed)
    def _filter_changed(self, event: Input.Changed) -> None:
        listing = self.listing
        try:
            listing.wanted = parse_filter(event.value) if event.value.strip() else None
        except Refused as error:
            listing.wanted = None
            self._mistake = plain(str(error))
            self._show_counts(self.monitor.model)
            return
        self._mistake = ""
        self.refresh_order()
        if listing.wanted is not None and self.monitor.session is not None:
            self._asking = True
            self.run_worker(self._search(event.value), group="search", exclusive=True)

    async def _search(self, words: str) -> None:
        """What fits among all that the daemon has, once nothing more is typed."""
        assert self.monitor.session is not None
        await asyncio.sleep(TYPING_SECONDS)
        # Without an answer what is loaded is shown.
        with suppress(PenstockError):
            await self.monitor.session.search(words)
        self._asking = False
        self.refresh_order()

    @on(Input.Submitted)
    def _filter_done(self) -> None:
        self._leave_entry()

    def action_sort(self) -> None:
        at = SORTS.index(self.listing.sort) + 1
        self.listing.sort = SORTS[at % len(SORTS)]
        self.refresh_order()

    def action_mark(self) -> None:
        """Mark the run under the cursor, or take the mark away, and go on to the next."""
        if (key := self.run_id) is not None:
            self.listing.marked ^= {key}
            self.table.action_cursor(1)
            self.show_rows()

    def action_fold(self) -> None:
        """Show what is folded under this run, or fold it again."""
        if (key := self.run_id) is not None:
            self.listing.fold(key)
            self.show_rows()

    def action_zoom(self) -> None:
        """The list alone, and back."""
        self.toggle_class("-alone")
        self.monitor.show_ask("", "")
        self.call_after_refresh(self.preview.show_run, self.run_id, again=True)

    def action_panel(self, name: str) -> None:
        """Show the list, the alerts, the events or the daemon's figures, in the whole place."""
        for panel in ("runs", "alerts", "events", "figures"):
            self.set_class(panel == name, f"-{panel}")
        self._events_seen = min(self._events_seen, self.monitor.model.tail_count)
        shown = {"alerts": self.alerts, "events": self.events}.get(name, self.table)
        self.call_after_refresh(shown.focus)
