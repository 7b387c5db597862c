"""One run: its timeline, its texts as they stream, its log, its causes and its children."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Input, Static, TabbedContent, TabPane, Tabs

from penstock.words.errors import PenstockError
from penstock.words.lifecycle import PARKED_STATES, QUEUED_STATES
from penstock.words.recorded import Recorded
from penstock_tui.keys import RUN_KEYS, SCREEN_KEYS
from penstock_tui.monitor import Monitor
from penstock_tui.rows import row_of
from penstock_tui.state import DashboardState
from penstock_tui.story import RunStory, facts_of, tree_lines
from penstock_tui.theme import tones_of
from penstock_tui.widgets.key_line import KeyLine
from penstock_tui.widgets.scrubber import Scrubber
from penstock_tui.widgets.tail import Line, Tail
from penstock_tui.widgets.top_bar import TopBar
from penstock_tui.wording import plain, priority_word, title_of

#: Lines one can scroll back through in a log or a text.
MOST_LINES = 20_000
#: Texts that get a tab of their own.
MOST_TEXTS = 6

#: Facts of the run that are fetched when its screen opens; the newest ones.
MOST_FACTS = 20_000

#: Seconds between two questions why a run does not execute: the line before it moves.
WHY_SECONDS = 2.0

#: States of a run that stands in line, or waits for something.
STANDING = (*QUEUED_STATES, *PARKED_STATES)


class RunTabs(TabbedContent):
    """A tail in each tab. Composed as `with tabs: yield from tabs.panes()`."""

    def __init__(self) -> None:
        super().__init__(id="tabs")
        self.timeline = Tail(most=MOST_LINES, name="timeline")
        self.log_tail = Tail(most=MOST_LINES, name="log")
        self.causality = Tail(most=MOST_LINES, name="causality")
        self.family = Tail(most=200, name="tree-lines")
        self.log_tail.empty = "nothing was printed yet"
        self.family.empty = "no children"
        self._texts: dict[str, Tail] = {}

    def panes(self) -> Iterator[TabPane]:
        """The tabs every run has."""
        yield TabPane("Timeline", self.timeline, id="timeline-pane")
        yield TabPane("Log", self.log_tail, id="log-pane")
        yield TabPane("Causality", self.causality, id="causality-pane")
        yield TabPane("Tree", self.family, id="tree-pane")

    def tail(self) -> Tail:
        """What the open tab shows."""
        pane = self.active_pane
        if pane is None or not pane.query(Tail):
            return self.timeline
        return pane.query_one(Tail)

    async def show(self, story: RunStory) -> None:
        """Take everything out of the story and show it."""
        for tail, lines in (
            (self.timeline, story.timeline),
            (self.log_tail, story.log),
            (self.causality, story.causality),
        ):
            tail.extend(lines, story.unfinished if tail is self.log_tail else ())
            lines.clear()
        texts, story.texts = story.texts, {}
        for artifact_id, pieces in texts.items():
            tail = await self._text_tail(artifact_id)
            begin = len(pieces) - pieces[::-1].index(None) if None in pieces else 0
            if begin:
                tail.replace([])
            tail.write("".join(piece for piece in pieces[begin:] if piece))

    async def _text_tail(self, artifact_id: str) -> Tail:
        """The tab of a text, made when its first piece comes; later ones share the last tab."""
        known = self._texts.get(artifact_id)
        if known is not None:
            return known
        if len(self._texts) >= MOST_TEXTS:
            tail = self._texts[artifact_id] = next(reversed(self._texts.values()))
            return tail
        tail = self._texts[artifact_id] = Tail(most=MOST_LINES)
        tail.wrap = True
        title = plain(artifact_id)[-24:].replace("[", "\\[")
        pane = TabPane(title, tail, id=f"text-{len(self._texts)}")
        await self.add_pane(pane, before="log-pane")
        return tail


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
        self._loaded = False
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
        self.monitor.model.watch(self.run_id)
        self.ready = True
        self.tabs.timeline.focus()
        self.redraw(self.monitor.model)
        self.run_worker(self._load(), exclusive=True)
        self.run_worker(self._ask_why(), group="why")

    def on_unmount(self) -> None:
        self.ready = False
        self.monitor.model.unwatch(self.run_id)

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
        try:
            async for facts in self.monitor.history(self.run_id, after):
                self.story.take(facts)
                await self._show_story()
        except PenstockError as error:
            self.tabs.timeline.extend(
                [Line(f"the history cannot be read: {error}", "error")]
            )
        self._loaded = True

    async def _ask_why(self) -> None:
        """Keep asking the daemon why the run stands where it does, while it stands."""
        while self.monitor.session is not None:
            run = self.monitor.model.runs.get(self.run_id)
            if run is not None and run.view.state in STANDING:
                with suppress(PenstockError):  # the top line tells of a lost daemon
                    self._why = await self.monitor.why(self.run_id)
            await asyncio.sleep(WHY_SECONDS)

    # -- drawing

    def redraw(self, model: DashboardState, *, whole: bool = False) -> None:
        """Bring the screen up to date; called by the app's timer."""
        if not self.ready:
            return  # a timer may fire while widgets are still coming, or already going
        self.top.show(self.monitor.top_line())
        self.scrubber.show(self.monitor.replay_state())
        if self.monitor.paused is not None:
            return
        run = model.runs.get(self.run_id)
        if run is not None:
            run.seen = True
            self._show_head(model)
            if whole:
                self.tabs.family.replace(tree_lines(self.run_id, model.runs))
        new = model.watched.get(self.run_id)
        if new and self._loaded:
            facts: list[Recorded] = list(new)
            new.clear()
            self.story.take(facts)
            self.call_later(self._show_story)
        self._show_status()

    def _show_head(self, model: DashboardState) -> None:
        run = model.runs[self.run_id]
        view = run.view
        row = row_of(run, self.monitor.now())
        tones = tones_of(self.crumb)
        text = Text(" ◀ ", style=tones.colour("dim"))
        text.append(plain(self.run_id), style="bold")
        text.append(f"  {plain(view.kind)}  {priority_word(view.priority)}  ")
        text.append(f"{row.cells[0]} {row.cells[4]}", style=tones.colour(row.tone))
        said = f"  {row.cells[5]}  {row.cells[6].strip()}  {row.cells[7]}  {row.cells[9]}  "
        text.append(" ".join(said.split(" ")).rstrip() + "  ")
        text.append(title_of(view), style=tones.colour("dim"))
        text.truncate(max(10, self.size.width - 1), overflow="ellipsis")
        self.crumb.update(text)
        why = self._why if view.state in STANDING else ""
        said = facts_of(view, why, self.story.left)
        self.facts.update(said)
        self.facts.display = bool(said)

    async def _show_story(self) -> None:
        if self.ready:  # else it was left while the history was on its way
            await self.tabs.show(self.story)
            self._show_status()

    def _show_status(self) -> None:
        if not self.ready:
            return
        tail = self.tabs.tail()
        follow = "following" if tail.follow else "paused here: f follows"
        text = f"{len(tail.lines)} lines  {follow}"
        if tail.search:
            only = "only these: v shows all" if tail.only else "v shows only these"
            text += (
                f"  /{tail.search}: {tail.matching()} lines  n N next previous  {only}"
            )
        text += "  wrapped" if tail.wrap else "  w wraps"
        self.status.update(text)

    # -- keys

    @on(TabbedContent.TabActivated)
    def _tab_changed(self) -> None:
        if not isinstance(self.focused, Input):
            self.tabs.tail().focus()
        self._show_status()

    @on(Tail.Changed)
    def _tail_changed(self) -> None:
        self._show_status()

    def action_back(self) -> None:
        """Escape: leave the search, then the screen."""
        if self.entry.has_class("-on") or self.tabs.tail().search:
            self.entry.value = ""
            self.tabs.tail().look_for("")
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
        self.tabs.tail().action_follow()

    def action_search(self) -> None:
        self.entry.add_class("-on")
        self.entry.focus()

    def _leave_entry(self) -> None:
        self.entry.remove_class("-on")
        self.tabs.tail().focus()
        self._show_status()

    @on(Input.Changed)
    def _search_changed(self, event: Input.Changed) -> None:
        self.tabs.tail().look_for(event.value)
        self._show_status()

    @on(Input.Submitted)
    def _search_done(self) -> None:
        self._leave_entry()
