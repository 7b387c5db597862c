"""One run: its timeline, its texts as they stream, its log, its causes and its children."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Footer, Input, Static, TabbedContent, TabPane, Tabs

from penstock.errors import PenstockError
from penstock.events import Recorded
from penstock_tui.keys import RUN_KEYS, SCREEN_KEYS
from penstock_tui.model import Model
from penstock_tui.rows import row_of
from penstock_tui.story import Story, facts_of, tree_lines
from penstock_tui.tones import tones_of
from penstock_tui.widgets.scrubber import Scrubber
from penstock_tui.widgets.tail import Line, Tail
from penstock_tui.widgets.top_bar import TopBar
from penstock_tui.wording import plain, priority_word, title_of

if TYPE_CHECKING:
    from penstock_tui.app import Dashboard

#: Facts of the run that are fetched when its screen opens; the newest ones.
MOST_FACTS = 20_000
#: Lines one can scroll back through in a log or a text.
MOST_LINES = 20_000
#: Texts that get a tab of their own.
MOST_TEXTS = 6


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
    app: Dashboard

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self.run_id = run_id
        self.top = TopBar()
        self.story = Story()
        self.timeline = Tail(most=MOST_LINES, name="timeline")
        self.log_tail = Tail(most=MOST_LINES, name="log")
        self.causality = Tail(most=MOST_LINES, name="causality")
        self.family = Tail(most=200, name="tree-lines")
        self.texts: dict[str, Tail] = {}
        self.tabs = TabbedContent(id="tabs")
        self.entry = Input(placeholder="text to look for", classes="entry")
        self.scrubber = Scrubber(id="scrubber")
        self.crumb = Static(id="crumb", markup=False)
        self.facts = Static(id="facts", markup=False)
        self.status = Static(id="status", markup=False)
        self.ready = False
        self._loaded = False

    def compose(self) -> ComposeResult:
        self.log_tail.empty = "nothing was printed yet"
        self.family.empty = "no children"
        yield self.top
        yield self.crumb
        yield self.facts
        with self.tabs:
            for name, title, tail in (
                ("timeline-pane", "Timeline", self.timeline),
                ("log-pane", "Log", self.log_tail),
                ("causality-pane", "Causality", self.causality),
                ("tree-pane", "Tree", self.family),
            ):
                with TabPane(title, id=name):
                    yield tail
        yield self.entry
        yield self.status
        yield self.scrubber
        yield Footer(show_command_palette=False, compact=True)

    async def on_mount(self) -> None:
        self.app.model.watch(self.run_id)
        self.ready = True
        self.timeline.focus()
        self.redraw(self.app.model)
        self.run_worker(self._load(), exclusive=True)

    def on_unmount(self) -> None:
        self.ready = False
        self.app.model.unwatch(self.run_id)

    async def _load(self) -> None:
        """The run's history. What arrives meanwhile waits in the model."""
        run = self.app.model.runs.get(self.run_id)
        view = run.view if run else None
        after = (
            max(0, view.position - MOST_FACTS)
            if view and view.sequence > MOST_FACTS
            else 0
        )
        if after:
            self.timeline.extend([Line("… earlier facts: penstock events", "dim")])
        try:
            async for facts in self.app.history(self.run_id, after):
                self.story.take(facts)
                await self._show_story()
        except PenstockError as error:
            self.timeline.extend(
                [Line(f"the history cannot be read: {error}", "error")]
            )
        self._loaded = True

    # -- drawing

    def redraw(self, model: Model, *, whole: bool = False) -> None:
        """Bring the screen up to date; called by the app's timer."""
        if not self.ready:
            return  # a timer may fire while widgets are still coming, or already going
        self.top.show(self.app.top_line())
        self.scrubber.show(self.app.replay_state())
        if self.app.paused is not None:
            return
        run = model.runs.get(self.run_id)
        if run is not None:
            run.seen = True
            self._show_head(model)
            if whole:
                self.family.replace(tree_lines(self.run_id, model.runs))
        new = model.watched.get(self.run_id)
        if new and self._loaded:
            facts: list[Recorded] = list(new)
            new.clear()
            self.story.take(facts)
            self.call_later(self._show_story)
        self._show_status()

    def _show_head(self, model: Model) -> None:
        run = model.runs[self.run_id]
        view = run.view
        row = row_of(run, self.app.now())
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
        self.facts.update(facts_of(view))
        self.facts.display = bool(facts_of(view))

    async def _show_story(self) -> None:
        if not self.ready:
            return  # it was left while the history was on its way
        story = self.story
        for tail, lines in (
            (self.timeline, story.timeline),
            (self.log_tail, story.log),
            (self.causality, story.causality),
        ):
            tail.extend(lines)
            lines.clear()
        texts, story.texts = story.texts, {}
        for artifact_id, pieces in texts.items():
            tail = await self._text_tail(artifact_id)
            begin = len(pieces) - pieces[::-1].index(None) if None in pieces else 0
            if begin:
                tail.replace([])
            tail.write("".join(piece for piece in pieces[begin:] if piece))
        self._show_status()

    async def _text_tail(self, artifact_id: str) -> Tail:
        """The tab of a text, made when its first piece comes; later ones share the last tab."""
        known = self.texts.get(artifact_id)
        if known is not None:
            return known
        if len(self.texts) >= MOST_TEXTS:
            tail = self.texts[artifact_id] = next(reversed(self.texts.values()))
            return tail
        tail = self.texts[artifact_id] = Tail(most=MOST_LINES)
        tail.wrap = True
        title = plain(artifact_id)[-24:].replace("[", "\\[")
        pane = TabPane(title, tail, id=f"text-{len(self.texts)}")
        await self.tabs.add_pane(pane, before="log-pane")
        return tail

    def _show_status(self) -> None:
        if not self.ready:
            return
        tail = self._tail()
        follow = "following" if tail.follow else "paused here: f follows"
        text = f"{len(tail.lines)} lines  {follow}"
        if tail.search:
            only = "only these: v shows all" if tail.only else "v shows only these"
            text += (
                f"  /{tail.search}: {tail.matching()} lines  n N next previous  {only}"
            )
        text += "  wrapped" if tail.wrap else "  w wraps"
        self.status.update(text)

    def _tail(self) -> Tail:
        pane = self.tabs.active_pane
        return (
            pane.query_one(Tail)
            if pane is not None and pane.query(Tail)
            else self.timeline
        )

    # -- keys

    @on(TabbedContent.TabActivated)
    def _tab_changed(self) -> None:
        if not isinstance(self.focused, Input):
            self._tail().focus()
        self._show_status()

    @on(Tail.Changed)
    def _tail_changed(self) -> None:
        self._show_status()

    def action_back(self) -> None:
        """Escape: leave the search, then the screen."""
        if self.entry.has_class("-on") or self._tail().search:
            self.entry.value = ""
            self._tail().look_for("")
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
        self._tail().action_follow()

    def action_search(self) -> None:
        self.entry.add_class("-on")
        self.entry.focus()

    def _leave_entry(self) -> None:
        self.entry.remove_class("-on")
        self._tail().focus()
        self._show_status()

    @on(Input.Changed)
    def _search_changed(self, event: Input.Changed) -> None:
        self._tail().look_for(event.value)
        self._show_status()

    @on(Input.Submitted)
    def _search_done(self) -> None:
        self._leave_entry()
