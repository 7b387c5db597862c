"""The tabs of a run: timeline, texts as they stream, log, causes and children."""

from __future__ import annotations

from collections.abc import Iterator

from textual.widgets import TabbedContent, TabPane

from penstock_tui.story import RunStory
from penstock_tui.widgets.tail import Tail
from penstock_tui.wording import plain

#: Lines one can scroll back through in a log or a text.
MOST_LINES = 20_000
#: Texts that get a tab of their own.
MOST_TEXTS = 6


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
