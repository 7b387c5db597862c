"""The tabs of a run's screen: its output first (of an agent what it said), each text that it makes, its particulars, steps, relations and causes."""

from __future__ import annotations

from collections.abc import Iterator

from textual.widgets import TabbedContent, TabPane

from penstock_tui.details import RELATIONS
from penstock_tui.hunks import MOST_PATCH, is_patch, patch_folds
from penstock_tui.story import RunStory
from penstock_tui.transcript import ShownTranscript
from penstock_tui.widgets.folding import Folding
from penstock_tui.widgets.run_table import RunList
from penstock_tui.widgets.tail import Tail
from penstock_tui.widgets.tail_line import Line
from penstock_tui.wording import plain

#: Lines one can scroll back through in a log or a text.
MOST_LINES = 20_000
#: Texts that get a tab of their own.
MOST_TEXTS = 6


class RunTabs(TabbedContent):
    """What is known of the run, its output first. Composed as `with tabs: yield from tabs.panes()`."""

    def __init__(self) -> None:
        super().__init__(id="tabs")
        self.timeline = Tail(most=MOST_LINES, name="timeline")
        self.log_tail = Tail(most=MOST_LINES, name="log")
        self.causality = Tail(most=MOST_LINES, name="causality")
        self.exchanges = Tail(most=MOST_LINES, name="model")
        self.exchanges.wrap = True
        self.details = Tail(most=1000, name="details")
        self.details.follow = False
        self.graph = RunList(RELATIONS, name="graph")
        self.graph.set_title("enter opens the run under the cursor")
        self.log_tail.empty = "nothing was printed yet"
        self.transcript = Folding(most=MOST_LINES, name="transcript")
        self._texts: dict[str, Tail] = {}
        #: What of a patch has come: it is read as a whole.
        self._patches: dict[str, str] = {}
        #: The facts that the transcript shows are told of by this one.
        self._told: ShownTranscript | None = None

    def panes(self) -> Iterator[TabPane]:
        """The tabs every run has."""
        yield TabPane("Output", self.log_tail, id="log-pane")
        yield TabPane("Details", self.details, id="details-pane")
        yield TabPane("Steps", self.timeline, id="timeline-pane")
        yield TabPane("Graph", self.graph, id="tree-pane")
        yield TabPane("Causes", self.causality, id="causality-pane")

    def tail(self) -> Tail | None:
        """The lines that the open tab shows; None if it shows none."""
        pane = self.active_pane
        return pane.query(Tail).first(Tail) if pane and pane.query(Tail) else None

    @property
    def tells_talk(self) -> bool:
        """Whether the open tab is the transcript."""
        return self.active == "transcript-pane"

    def focus_open(self) -> None:
        """Have the keys go to what the open tab shows."""
        (self.tail() or self.graph).focus()

    def leave_output(self) -> None:
        """Of a run that prints nothing, what it does is to be seen."""
        if self.active == "log-pane":
            self.active = "timeline-pane"

    def on_tab_pane_focused(self, event: TabPane.Focused) -> None:
        """The focus follows the tab; told late, it would open the tab again that was just left."""
        event.prevent_default()

    def empty(self) -> None:
        """It is told anew."""
        self._patches.clear()
        for tail in (
            self.timeline,
            self.log_tail,
            self.causality,
            self.exchanges,
            self.transcript,
            *self._texts.values(),
        ):
            tail.replace([])

    async def show(self, story: RunStory) -> None:
        """Take everything out of the story and show it."""
        for tail, lines in (
            (self.timeline, story.timeline),
            (self.log_tail, story.log),
            (self.causality, story.causality),
        ):
            tail.extend(lines, story.unfinished if tail is self.log_tail else ())
            lines.clear()
        if story.transcript.spoken:
            await self._show_transcript(story.transcript)
        if story.exchanges:
            await self._show_exchanges(story.exchanges)
            story.exchanges.clear()
        texts, story.texts = story.texts, {}
        for artifact_id, pieces in texts.items():
            tail = await self._text_tail(artifact_id)
            begin = len(pieces) - pieces[::-1].index(None) if None in pieces else 0
            if isinstance(tail, Folding):
                self._show_patch(artifact_id, tail, pieces[begin:], anew=begin > 0)
                continue
            if begin:
                tail.replace([])
            tail.write("".join(piece for piece in pieces[begin:] if piece))

    async def _show_transcript(self, transcript: ShownTranscript) -> None:
        """Its tab comes with the first word of an agent, before the output, and is what one sees first."""
        if not self.query("#transcript-pane"):
            pane = TabPane("Transcript", self.transcript, id="transcript-pane")
            await self.add_pane(pane, before="log-pane")
            if self.active in ("log-pane", "timeline-pane", ""):
                self.active = "transcript-pane"
        if transcript is not self._told:
            self._told, transcript.changed = transcript, 0
        if transcript.changed < len(transcript.folds):
            self.transcript.show_folds(transcript.folds, transcript.changed)
            transcript.shown()

    def _show_patch(
        self, artifact_id: str, tail: Folding, pieces: list[str | None], *, anew: bool
    ) -> None:
        before = "" if anew else self._patches.get(artifact_id, "")
        if len(before) == MOST_PATCH:
            return
        text = (before + "".join(filter(None, pieces)))[:MOST_PATCH]
        self._patches[artifact_id] = text
        tail.show_folds(patch_folds(text))
        tail.follow = False

    async def _show_exchanges(self, lines: list[Line]) -> None:
        """Their tab comes with the first of them: most runs ask no model."""
        if not self.query("#model-pane"):
            pane = TabPane("Model", self.exchanges, id="model-pane")
            await self.add_pane(pane, after="timeline-pane")
        self.exchanges.extend(lines, ())

    async def _text_tail(self, artifact_id: str) -> Tail:
        """The tab of a text, made when its first piece comes; later ones share the last that reads alike."""
        known = self._texts.get(artifact_id)
        if known is not None:
            return known
        kind = Folding if is_patch(artifact_id) else Tail
        alike = [tail for tail in self._texts.values() if type(tail) is kind]
        if len(self._texts) >= MOST_TEXTS and alike:
            self._texts[artifact_id] = alike[-1]
            return alike[-1]
        tail = self._texts[artifact_id] = kind(most=MOST_LINES)
        tail.wrap = True
        title = plain(artifact_id)[-24:].replace("[", "\\[")
        pane = TabPane(title, tail, id=f"text-{len(self._texts)}")
        await self.add_pane(pane, before="details-pane")
        return tail
