"""The first screen: queue, throughput, daemon, runs, alerts and the newest events."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from penstock.log.filters import parse_filter
from penstock.words.errors import Refused
from penstock.words.priority import Priority
from penstock_tui.figures import daemon_lines, queue_state
from penstock_tui.keys import RUN_KEYS, SCREEN_KEYS
from penstock_tui.lines import alert_line, event_line
from penstock_tui.monitor import Monitor
from penstock_tui.rows import COLUMNS, SORTS, Listing
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

NO_RUNS = "no runs yet: n makes one"


class Overview(Screen[None]):
    """Shows the app's model. `redraw` is called by the app's timer, and only then is work done."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *SCREEN_KEYS,
        *RUN_KEYS,
        Binding("slash", "filter", "Filter", key_display="/", id="runs.filter"),
        Binding("escape", "clear", "Clear", show=False, id="runs.clear"),
        Binding("p", "app.pause", "Pause", id="view.pause"),
        Binding("z", "zoom", "Zoom", id="view.zoom"),
        Binding("s", "sort", "Sort", show=False, id="runs.sort"),
        Binding("1", "panel('runs')", "Runs", show=False, id="panel.runs"),
        Binding("2", "panel('alerts')", "Alerts", show=False, id="panel.alerts"),
        Binding("3", "panel('events')", "Events", show=False, id="panel.events"),
    ]

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(id="overview")
        self.monitor = monitor
        self.top = TopBar()
        self.gauge = QueueGauge(id="queue", classes="box")
        self.rate = RatePanel(id="rate", classes="box")
        self.daemon = DaemonPanel(id="daemon", classes="box")
        self.table = RunList(COLUMNS, name="runs")
        self.alerts = Tail(most=MOST_ALERTS, name="alerts")
        self.events = Tail(most=MOST_TAIL, name="events")
        self.entry = Input(
            placeholder="state:failed prio:high word !word", classes="entry"
        )
        self.scrubber = Scrubber(id="scrubber")
        self.listing = Listing()
        self.ready = False
        self._zoomed: str | None = None
        self._alerts_seen = self._events_seen = 0
        self._epoch = ""
        #: What is wrong with the filter that is being written; "" while nothing is.
        self._mistake = ""

    def compose(self) -> ComposeResult:
        for panel, title in (
            (self.gauge, "Queue"),
            (self.rate, "Throughput"),
            (self.daemon, "Daemon"),
            (self.table, "Runs"),
            (self.alerts, "Alerts"),
            (self.events, "Events"),
        ):
            panel.add_class("box")
            panel.border_title = title
        self.table.empty = NO_RUNS
        self.alerts.empty = "nothing needs you"
        yield self.top
        yield Horizontal(self.gauge, self.rate, self.daemon, id="mid")
        yield self.entry
        yield self.table
        yield Horizontal(self.alerts, self.events, id="bottom")
        yield self.scrubber
        yield KeyLine()

    def on_mount(self) -> None:
        self.ready = True
        self.table.focus()
        self.redraw(self.monitor.model)

    def on_unmount(self) -> None:
        self.ready = False

    @property
    def run_id(self) -> str | None:
        """The run that cancel, retry and answer are about."""
        return self.table.selected

    # -- drawing

    def redraw(self, model: DashboardState, *, whole: bool = False) -> None:
        """Bring the screen up to date; `whole` draws every row anew (a second has passed)."""
        if not self.ready:
            return  # a timer may fire while widgets are still coming, or already going
        self.top.show(self.monitor.top_line())
        self.scrubber.show(self.monitor.replay_state())
        if self.monitor.paused is not None:
            return
        if model.epoch != self._epoch:
            self._start_over(model)
        changed, reordered = self.listing.take(model, self.monitor.now(), whole=whole)
        if reordered:
            self._show_counts(model)
        if changed:
            self.table.set_rows(self.listing.rows())
        self._take_tails(model)
        self.rate.show(Rate(tuple(model.history), model.missed))
        self.daemon.show(
            daemon_lines(model.queue, model.clients, model.health, self.listing.running)
        )

    def _start_over(self, model: DashboardState) -> None:
        self._epoch = model.epoch
        self.listing.forget(model)
        self.table.set_rows([])
        self._alerts_seen = model.alert_count - len(model.alerts)
        self._events_seen = model.tail_count - len(model.tail)
        self.alerts.replace([])
        self.events.replace([])

    def _show_counts(self, model: DashboardState) -> None:
        self.table.border_title = self.listing.title(model, self.entry.value)
        self.table.border_subtitle = self._mistake or self.listing.subtitle()
        queued = tuple(self.listing.queued[priority] for priority in Priority)
        self.gauge.show(queue_state(model.queue, queued))

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
        self.listing.reorder(self.monitor.model, self.monitor.now())
        self._show_counts(self.monitor.model)
        self.table.set_rows(self.listing.rows())

    # -- keys

    def action_filter(self) -> None:
        self.entry.add_class("-on")
        self.entry.focus()

    def action_clear(self) -> None:
        """Escape: leave the zoom, then the filter."""
        if self._zoomed:
            self.action_zoom()
        elif self.entry.has_class("-on") or self.entry.value:
            self.entry.value = ""
            self._leave_entry()

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
            self.table.empty = str(error)
            self._mistake = str(error).replace("[", "\\[")
            self.table.border_subtitle = self._mistake
            return
        self._mistake = ""
        self.table.empty = (
            "no run fits the filter: esc clears it" if listing.wanted else NO_RUNS
        )
        self.refresh_order()

    @on(Input.Submitted)
    def _filter_done(self) -> None:
        self._leave_entry()

    def action_sort(self) -> None:
        at = SORTS.index(self.listing.sort) + 1
        self.listing.sort = SORTS[at % len(SORTS)]
        self.refresh_order()

    def action_zoom(self) -> None:
        """The focused panel alone, and back."""
        focused = self.focused
        self._zoom(None if self._zoomed else (focused.id if focused else None))

    def action_panel(self, name: str) -> None:
        """Go to a panel; one that has no room here is zoomed."""
        panel: Widget = {
            "runs": self.table,
            "alerts": self.alerts,
            "events": self.events,
        }[name]
        if self._zoomed or not panel.is_on_screen:
            self._zoom(None if name == "runs" else name)
        self.call_after_refresh(panel.focus)

    def _zoom(self, name: str | None) -> None:
        if name not in (None, "runs", "alerts", "events"):
            return
        for panel in ("runs", "alerts", "events"):
            self.set_class(panel == name, f"-zoom-{panel}")
        self.set_class(name is not None, "-zoom")
        self._zoomed = name
        self._events_seen = min(self._events_seen, self.monitor.model.tail_count)
