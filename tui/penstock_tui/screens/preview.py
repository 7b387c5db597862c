"""The run under the cursor, beside the list: its heading, why it stands there, and the end of its output."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import partial

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from penstock.words.ask_details import AskDetails
from penstock.words.errors import PenstockError
from penstock.words.lifecycle import PARKED_STATES, QUEUED_STATES
from penstock.words.recorded import Recorded
from penstock_tui.details import heading_of
from penstock_tui.monitor import Monitor
from penstock_tui.state import DashboardState, ShownRun
from penstock_tui.story import RunStory, facts_of
from penstock_tui.theme import tones_of
from penstock_tui.transcript import ASK, ShownTranscript, ask_lines
from penstock_tui.whereabouts import doubt_about
from penstock_tui.widgets.tail import Tail
from penstock_tui.widgets.tail_line import Line
from penstock_tui.wording import plain

#: Seconds the cursor must rest on a run before it is asked for.
REST = 0.15
#: Positions before a run's newest fact that are read for the end of its output, and if that is
#: too little.
REACHES = (500, 10_000)
#: Lines of output that are enough.
ENOUGH = 60
#: Where the type of a fact begins in a line of steps: the preview has no room for more.
AFTER_POSITION = 23
#: Seconds between two questions why it does not execute: with many in line an answer is work.
WHY_SECONDS = 5


class Preview(Vertical):
    """`show_run` says which; it loads when the cursor rests, and follows from then on."""

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(id="preview")
        self.monitor = monitor
        self.run_id: str | None = None
        self.head = Static(id="preview-head", markup=False)
        self.facts = Static(id="preview-facts", markup=False)
        self.tail = Tail(most=1000, name="preview-tail")
        self.tail.can_focus = False
        self._story = RunStory()
        self._new: deque[Recorded] | None = None
        self._loaded = self._told = False
        self._why = ""
        #: Whether steps are shown, for want of output.
        self._steps = False
        self._seconds = 0
        #: The question that stands at the end.
        self._asked = ""

    @property
    def told(self) -> bool:
        """Whether the end of its output was read, and why it waits."""
        return self._told

    def compose(self) -> ComposeResult:
        yield self.head
        yield self.facts
        yield self.tail

    def on_unmount(self) -> None:
        self._leave()

    def show_run(self, run_id: str | None, *, again: bool = False) -> None:
        """Be about this run from now on; `again`: read it anew even if it is."""
        if run_id == self.run_id and not again:
            return
        self._leave()
        self.run_id, self._why, self._story = run_id, "", RunStory()
        self._steps, self._asked = False, ""
        self.tail.wrap = False
        self.tail.replace([])
        self.tail.follow = True
        if run_id is None or not self.display:
            return
        self._new = self.monitor.model.watch(run_id)
        self.set_timer(REST, lambda: self._begin(run_id))

    def _leave(self) -> None:
        if self.run_id is not None and self._new is not None:
            self.monitor.model.unwatch(self.run_id, self._new)
        self._new, self._loaded, self._told = None, False, False

    def _begin(self, run_id: str) -> None:
        if run_id == self.run_id and self.is_attached:
            load = partial(self._load, run_id)
            self.run_worker(load, group="preview", exclusive=True)  # type: ignore[arg-type]

    async def _load(self, run_id: str) -> None:
        story = self._story
        with suppress(PenstockError):  # the first line tells of a lost daemon
            for reach in REACHES:
                story = RunStory()
                run = self.monitor.model.runs.get(run_id)
                after = max(0, run.view.position - reach) if run else 0
                async for facts in self.monitor.history(run_id, after):
                    story.take(facts)
                if len(story.log) >= ENOUGH or after == 0 or story.transcript.spoken:
                    break
            if run_id != self.run_id:
                return
            self._story, self._loaded = story, True
            self._show_story()
            await self._ask_why(run_id)
            self._told = True

    async def _ask_why(self, run_id: str) -> None:
        run = self.monitor.model.runs.get(run_id)
        if run is not None and run.view.state in (*QUEUED_STATES, *PARKED_STATES):
            why = await self.monitor.why(run_id)
            if run_id == self.run_id:
                self._why = why

    def _show_story(self) -> None:
        story = self._story
        if story.transcript.spoken:
            self._show_transcript(story.transcript)
        elif story.log or story.unfinished:
            if self._steps:
                self.tail.replace([])
                self._steps = False
            self.tail.extend(story.log, story.unfinished)
        elif self._steps or not self.tail.lines:
            # Of a run that prints nothing, what it does is to be seen.
            self._steps = True
            self.tail.extend(
                Line(line.text[AFTER_POSITION:], line.tone) for line in story.timeline
            )
        story.log, story.timeline, story.causality, story.texts = [], [], [], {}

    def _show_transcript(self, transcript: ShownTranscript) -> None:
        """Its end, each part as it comes: what is unfolded, and what is not."""
        run = self.monitor.model.runs.get(self.run_id or "")
        ask = run.open_ask if run is not None else None
        asked = ask.name if ask is not None else ""
        if transcript.changed >= len(transcript.folds) and asked == self._asked:
            return
        self._asked = asked
        transcript.shown()
        lines: list[Line] = []
        for fold in transcript.folds[-ENOUGH:]:
            open_plan = fold.unfolded and not fold.key.startswith(ASK)
            shown = (*fold.head, *fold.body) if open_plan else fold.head
            lines += [Line("")] * fold.apart + list(shown)
        # What the keys answer stands last, whatever was asked after it.
        if ask is not None:
            details = AskDetails.read(ask.details)
            lines += [Line(""), Line(plain(f"? {ask.question}"), "warning", hang=2)]
            lines += ask_lines(details, ask.question)
        self._steps = True
        self.tail.wrap = True
        self.tail.replace(lines)

    def _readable(self, run: ShownRun) -> str:
        """The name of the question that stands here with all that it is about; "": none does."""
        ask = run.open_ask if self.display else None
        if ask is None or (ask.details and ask.name != self._asked):
            return ""
        return ask.name

    def redraw(self, model: DashboardState, *, whole: bool) -> None:
        """Bring it up to date; called by the overview."""
        run = model.runs.get(self.run_id) if self.run_id else None
        if run is None:
            self.head.update("")
            self.facts.update("")
            return
        if self._loaded and self._new:
            self._story.take(list(self._new))
            self._new.clear()
            self._show_story()
        elif self._loaded and self._story.transcript.spoken:
            # A question may be known later than the facts that were read.
            self._show_transcript(self._story.transcript)
        tones = tones_of(self)
        self.head.update(heading_of(run, self.monitor.now(), tones))
        standing = run.view.state in (*QUEUED_STATES, *PARKED_STATES)
        why = self._why if standing else doubt_about(run.view, model.boxes)
        said = facts_of(run.view, why, 0)
        where = run.view.inputs.get("cwd")
        text = "\n".join(filter(None, (said, plain(str(where)) if where else "")))
        self.facts.update(text)
        self.facts.display = bool(text)
        if self.screen.is_active:
            # Below the screen of a run it would take the place of that one's question.
            self.monitor.show_ask(run.view.run_id, self._readable(run))
        self._seconds += whole
        if whole and standing and self._loaded and self._seconds % WHY_SECONDS == 0:
            self.run_worker(self._why_again(), group="preview-why", exclusive=True)

    async def _why_again(self) -> None:
        if self.run_id is not None:
            with suppress(PenstockError):
                await self._ask_why(self.run_id)
