"""One run: its output and its texts as they stream, its particulars, its steps, its relations, its causes."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Input, Static, TabbedContent, Tabs

from penstock.words.errors import PenstockError
from penstock.words.lifecycle import PARKED_STATES, QUEUED_STATES
from penstock.words.recorded import Recorded
from penstock_tui.details import heading_of, particulars, relation_rows
from penstock_tui.keys import RUN_KEYS, SCREEN_KEYS
from penstock_tui.monitor import Monitor
from penstock_tui.screens.run_tabs import RunTabs
from penstock_tui.state import DashboardState
from penstock_tui.story import RunStory, facts_of
from penstock_tui.theme import tones_of
from penstock_tui.whereabouts import doubt_about
from penstock_tui.widgets.folding import Folding
from penstock_tui.widgets.key_line import KeyLine
from penstock_tui.widgets.scrubber import Scrubber
from penstock_tui.widgets.tail import Tail
from penstock_tui.widgets.tail_line import Line
from penstock_tui.widgets.top_bar import TopBar
from penstock_tui.wording import counted, plain

#: Facts of the run that are fetched when its screen opens; the newest ones.
MOST_FACTS = 20_000

#: Seconds between two questions why a run does not execute: the line before it moves.
WHY_SECONDS = 2.0

#: States of a run that stands in line, or waits for something.
STANDING = (*QUEUED_STATES, *PARKED_STATES)


class RunScreen(Screen[None]):
    """Fetches the run's history once, then follows the model."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="run.back"),
        *SCREEN_KEYS,
        *RUN_KEYS,
        Binding("f", "follow", "Follow", id="log.follow"),
        Binding("slash", "search", "Search", key_display="/", id="log.search"),
        Binding(
            "left_square_bracket",
            "tab(-1)",
            "Tab",
            key_display="[ ]",
            id="tab.previous",
        ),
        Binding("right_square_bracket", "tab(1)", "Tab", show=False, id="tab.next"),
        Binding("p", "app.pause", "Pause", show=False, id="view.pause"),
        Binding("J", "app.next_run(1)", "Next run", show=False, id="run.next"),
        Binding("K", "app.next_run(-1)", "Previous run", show=False, id="run.previous"),
        Binding(
            "vertical_line",
            "pager",
            "To the pager",
            show=False,
            key_display="|",
            id="log.pager",
        ),
    ]

    def __init__(self, run_id: str, monitor: Monitor) -> None:
        super().__init__()
        self.monitor = monitor
        self.run_id = run_id
        self.top = TopBar()
        self.story = RunStory()
        self.tabs = RunTabs()
        self.entry = Input(placeholder="text to look for", classes="entry")
        self.scrubber = Scrubber(id="scrubber")
        self.crumb = Static(id="crumb", markup=False)
        self.facts = Static(id="facts", markup=False)
        self.status = Static(id="status", markup=False)
        self.ready = False
        self._new: deque[Recorded] = deque()
        self._epoch = monitor.model.epoch
        self._loaded = False
        #: Whether the history could not be read: it is, when the daemon is there again.
        self._failed = False
        #: Whether it had printed nothing when its history was read, and its steps are to be shown.
        self._silent = False
        # The first tab is opened by a message: what is opened before that comes is closed by it.
        self._tabs_there = False
        self._why = ""

    def compose(self) -> ComposeResult:
        yield self.top
        yield self.crumb
        yield self.facts
        with self.tabs:
            yield from self.tabs.panes()
        yield self.entry
        yield self.status
        yield self.scrubber
        yield KeyLine()

    async def on_mount(self) -> None:
        self._new = self.monitor.model.watch(self.run_id)
        self.ready = True
        self.tabs.focus_open()
        self.redraw(self.monitor.model, whole=True)
        self._begin()
        self.run_worker(self._ask_why(), group="why")

    def on_unmount(self) -> None:
        self.ready = False
        self.monitor.model.unwatch(self.run_id, self._new)

    def _begin(self) -> None:
        """Tell the run from its beginning."""
        self._loaded = self._failed = False
        self.story = RunStory()
        self.tabs.empty()
        # As a function: one that is put aside before it begins is no coroutine that nobody awaits.
        self.run_worker(self._load, exclusive=True, group="history")  # type: ignore[arg-type]

    async def _load(self) -> None:
        """The run's history. What arrives meanwhile waits in the model."""
        run = self.monitor.model.runs.get(self.run_id)
        view = run.view if run else None
        after = (
            max(0, view.position - MOST_FACTS)
            if view and view.sequence > MOST_FACTS
            else 0
        )
        if after:
            self.tabs.timeline.extend([Line("… earlier facts: penstock events", "dim")])
        story = self.story
        try:
            async for facts in self.monitor.history(self.run_id, after):
                story.take(facts)
                await self._show_story()
        except PenstockError as error:
            said = plain(f"the history cannot be read: {error}")
            for tail in (self.tabs.log_tail, self.tabs.timeline):
                tail.extend([Line(said, "error")])
            self._failed = True
            return
        self._loaded = True
        self._silent = not (
            self.tabs.log_tail.lines or story.unfinished or story.transcript.spoken
        )
        self.monitor.model.version += 1

    async def _ask_why(self) -> None:
        """Keep asking the daemon why the run stands where it does, while it stands."""
        while self.monitor.session is not None:
            run = self.monitor.model.runs.get(self.run_id)
            if run is not None and run.view.state in STANDING:
                with suppress(PenstockError):  # the top line tells of a lost daemon
                    self._why = await self.monitor.why(self.run_id)
            await asyncio.sleep(WHY_SECONDS)

    @property
    def told(self) -> bool:
        """Whether its history was read, and the tab is open that suits it."""
        return self._loaded and self._tabs_there and not self._silent

    # -- drawing

    def redraw(self, model: DashboardState, *, whole: bool = False) -> None:
        """Bring the screen up to date; called by the app's timer."""
        if not self.ready:
            return  # a timer may fire while widgets are still coming, or already going
        self.top.show(self.monitor.top_line())
        self.scrubber.show(self.monitor.replay_state())
        if self.monitor.paused is not None:
            return
        if model.epoch and model.epoch != self._epoch:
            self._epoch = model.epoch
            self._begin()
        elif self._failed and model.phase in ("live", "catching up"):
            self._begin()
        if self._silent and self._tabs_there:
            self._silent = False
            self.tabs.leave_output()
        run = model.runs.get(self.run_id)
        if run is not None:
            # Who looks on elsewhere has not seen how it ended: only who dismisses it says so to all.
            model.dismiss([self.run_id])
            self._show_head(model)
            if whole:
                now = self.monitor.now()
                self.tabs.details.replace(particulars(run.view))
                self.tabs.graph.set_rows(relation_rows(self.run_id, model.runs, now))
        if self._new and self._loaded:
            self.story.take(list(self._new))
            self._new.clear()
            self.call_later(self._show_story)
        self._show_status()

    def _show_head(self, model: DashboardState) -> None:
        run = model.runs[self.run_id]
        view = run.view
        tones = tones_of(self.crumb)
        text = Text().append(" ◀ ", style=tones.colour("dim"))
        self.crumb.update(text.append(heading_of(run, self.monitor.now(), tones)))
        why = self._why if view.state in STANDING else doubt_about(view, model.boxes)
        said = facts_of(view, why, self.story.left)
        self.facts.update(said)
        self.facts.display = bool(said)
        if self.is_active:
            ask = run.open_ask
            # What it is about stands in the transcript alone.
            there = ask is not None and (not ask.details or self.tabs.tells_talk)
            self.monitor.show_ask(self.run_id, ask.name if ask and there else "")

    async def _show_story(self) -> None:
        if self.ready:  # else it was left while the history was on its way
            await self.tabs.show(self.story)
            self._show_status()

    def _show_status(self) -> None:
        if not self.ready:
            return
        tail = self.tabs.tail()
        if tail is None:
            self.status.update("enter opens the run under the cursor")
            return
        if isinstance(tail, Folding) and tail.marked is None and not tail.search:
            self.status.update(_folding_status(tail))
            return
        follow = "following" if tail.follow else "paused here: f follows"
        text = f"{counted(len(tail.lines), 'line')}  {follow}"
        if tail.search:
            only = "only these: v shows all" if tail.only else "v shows only these"
            found = counted(tail.matching(), "line")
            text += f"  /{tail.search}: {found}  n N next previous  {only}"
        text += "  wrapped" if tail.wrap else "  w wraps"
        if tail.stream:
            text += f"  {tail.stream} only: o shows all"
        if tail.marked is not None:
            text = "lines are marked: j k go on, y copies, esc leaves"
        self.status.update(text)

    # -- keys

    @on(TabbedContent.TabActivated)
    def _tab_changed(self) -> None:
        self._tabs_there = True
        if not isinstance(self.focused, Input):
            self.tabs.focus_open()
        self._show_status()

    @on(Tail.Changed)
    def _tail_changed(self) -> None:
        self._show_status()

    def action_back(self) -> None:
        """Escape: leave the search, then the screen."""
        tail = self.tabs.tail()
        if self.entry.has_class("-on") or (tail and tail.search):
            self.entry.value = ""
            if tail:
                tail.look_for("")
            self._leave_entry()
        else:
            self.app.pop_screen()

    def action_tab(self, by: int) -> None:
        tabs = self.tabs.query_one(Tabs)
        if by > 0:
            tabs.action_next_tab()
        else:
            tabs.action_previous_tab()

    def action_follow(self) -> None:
        if tail := self.tabs.tail():
            tail.action_follow()

    def action_pager(self) -> None:
        """All lines of the open tab, in the pager of the terminal that this was started in."""
        if (tail := self.tabs.tail()) is not None:
            self.app.page([line.text for line in tail.lines])  # type: ignore[attr-defined]

    def action_search(self) -> None:
        self.entry.add_class("-on")
        self.entry.focus()

    def _leave_entry(self) -> None:
        self.entry.remove_class("-on")
        self.tabs.focus_open()
        self._show_status()

    @on(Input.Changed)
    def _search_changed(self, event: Input.Changed) -> None:
        if tail := self.tabs.tail():
            tail.look_for(event.value)
        self._show_status()

    @on(Input.Submitted)
    def _search_done(self) -> None:
        self._leave_entry()


def _folding_status(tail: Folding) -> str:
    follow = "following" if tail.follow else "f follows"
    return f"{counted(len(tail.lines), 'line')}  enter unfolds, O all  {follow}"
