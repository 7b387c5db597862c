"""One run's facts sorted into what its screen shows. Pure: facts in, lines out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from penstock.log.projections import RunView
from penstock.words import events as e
from penstock.words.lifecycle import CANCELLED, COMPLETED
from penstock.words.output_lines import OutputLines
from penstock.words.recorded import Recorded
from penstock.words.run_exit import exit_in_words
from penstock.words.sentences import left_line
from penstock_tui.details import result_in_words
from penstock_tui.lines import exchange_lines, log_line, timeline_line
from penstock_tui.transcript import ShownTranscript
from penstock_tui.widgets.tail_line import Line
from penstock_tui.wording import (
    CROSS,
    LONGEST_LINE,
    LOOKS,
    answer_keys,
    model_use,
    plain,
)

_QUIET = frozenset(
    {"log", "artifact.partial", "progress", "model.progress", "agent.said"}
)
#: Facts that stand beside the state, or in the transcript, and would fill the steps.
_NO_STEPS = frozenset({"model.progress", "agent.said", "plan.updated"})


@dataclass(slots=True)
class RunStory:
    """What new facts add: `take` fills it, the screen empties it."""

    sequence: int = 0
    timeline: list[Line] = field(default_factory=list)
    log: list[Line] = field(default_factory=list)
    causality: list[Line] = field(default_factory=list)
    #: What a coding agent said, did and asked.
    transcript: ShownTranscript = field(default_factory=ShownTranscript)
    #: Exchanges with models.
    exchanges: list[Line] = field(default_factory=list)
    #: Artifact id to new text; a new attempt starts with None.
    texts: dict[str, list[str | None]] = field(default_factory=dict)
    #: Processes that its programs left behind, as far as its facts were seen.
    left: int = 0
    #: Ids of artifacts that are whole.
    whole: set[str] = field(default_factory=set)
    _positions: dict[UUID, int] = field(default_factory=dict)
    _attempts: dict[str, int] = field(default_factory=dict)
    _inputs: Mapping[str, Any] = field(default_factory=dict)
    _version: int = 0
    _output: OutputLines = field(default_factory=lambda: OutputLines(LONGEST_LINE))

    def take(self, facts: Iterable[Recorded]) -> None:
        """Sort new facts; those at or below `sequence` were taken before."""
        for fact in facts:
            if fact.sequence > self.sequence:
                self.sequence = fact.sequence
                self._take(fact)

    def _take(self, fact: Recorded) -> None:
        self._positions[fact.event_id] = fact.position
        self.transcript.take(fact)
        if isinstance(fact.event, e.Log):
            lines = self._output.feed(fact.event)
            self.log += [log_line(line, fact.at) for line in lines]
        elif fact.type == "artifact.partial":
            self._partial(fact)
        elif fact.type in _NO_STEPS:
            pass
        else:
            self.timeline.append(timeline_line(fact, self._inputs_at(fact)))
            if isinstance(fact.event, e.ModelAnswered):
                self.exchanges += exchange_lines(fact.event)
            if isinstance(fact.event, e.ProcessExited):
                self.left += fact.event.leftover
            if fact.type == "artifact.completed":
                self.whole.add(getattr(fact.event, "artifact_id", ""))
        if fact.type in e.TERMINAL_TYPES:
            self.log += [log_line(line, fact.at) for line in self._output.finish()]
        if fact.type not in _QUIET:
            self.causality.append(self._cause_line(fact))

    def _inputs_at(self, fact: Recorded) -> Mapping[str, Any]:
        """What the run was asked for, as its first fact said."""
        if fact.type == "run.queued" and isinstance(event := fact.event, e.RunQueued):
            self._inputs = event.inputs
        return self._inputs

    @property
    def unfinished(self) -> list[Line]:
        """The last line of what is printed, of each stream, while it has no end."""
        return [log_line(line) for line in self._output.unfinished]

    def _partial(self, fact: Recorded) -> None:
        event = fact.event
        if not isinstance(event, e.ArtifactPartial):
            return
        if self._attempts.get(event.artifact_id) != event.attempt:
            # The pieces of the newest attempt are the artifact; the timeline tells each once.
            self._attempts[event.artifact_id] = event.attempt
            self.texts.setdefault(event.artifact_id, []).append(None)
            self.timeline.append(timeline_line(fact))
        self.texts.setdefault(event.artifact_id, []).append(event.text)

    def _cause_line(self, fact: Recorded) -> Line:
        clock = (
            " ".join(f"{plain(who)[:12]}:{count}" for who, count in fact.clock.items())
            or "no clock"
        )
        cause = self._positions.get(fact.causation_id) if fact.causation_id else None
        because = f"← {cause}" if cause else "← elsewhere" if fact.causation_id else ""
        stale = self._stale(fact)
        text = (
            f"{fact.position:>7}  #{fact.sequence:<5} v{fact.code_version:<3} {fact.type:<20} "
            f"{because:<11} {{{clock}}}"
        )
        return Line(
            f"{text}  STALE: {stale}" if stale else text, "warning" if stale else ""
        )

    def _stale(self, fact: Recorded) -> str:
        """Why a fact about code is too late, in words; "" if it is not."""
        event = fact.event
        if isinstance(event, e.CodeGenerated | e.CorrectionCompleted):
            late = self._version and fact.code_version <= self._version
            self._version = max(self._version, fact.code_version)
            return f"v{fact.code_version} came after v{self._version}" if late else ""
        if isinstance(event, e.BugReported) and event.verdict in ("stale", "invalid"):
            if event.version != self._version:
                return f"reported for v{event.version}, the code is at v{self._version}"
            return f"judged {event.verdict}: its clock or code hash is not that of v{event.version}"
        return ""


#: As many as the style sheet gives room.
MOST_FACT_LINES = 4


def facts_of(view: RunView, why: str = "", left: int = 0) -> str:
    """The lines under the title: what is asked, why it waits, how it ended, what came out.

    `left`: the processes that its facts say were left behind, which a view from a list does not know.
    """
    parts = []
    asks = [] if view.ended else [ask for ask in view.asks.values() if ask.open]
    for ask in asks:
        choices = f" [{' / '.join(ask.choices)}]" if ask.choices else ""
        # The keys are about the first; the next one has its turn then.
        keys = f"  ({answer_keys(ask.choices)})" if ask is asks[0] else ""
        parts.append(f"? {ask.question}{choices}{keys}")
    if view.error:
        parts.append(
            f"{CROSS} {view.reason}: {view.error}"
            if view.reason
            else f"{CROSS} {view.error}"
        )
    elif view.state == CANCELLED:
        parts.append(f"{LOOKS[CANCELLED].glyph} {view.reason}")
    elif why:
        parts.append(why)
    elif view.reason:
        parts.append(view.reason)
    if said := _exit_line(view, max(left, view.leftover)):
        parts.append(said)
    if view.ended and (said := result_in_words(view)):
        parts.append(f"{LOOKS[COMPLETED].glyph} {said}")
    if used := model_use(view):
        parts.append(used)
    return "\n".join(plain(part) for part in parts[:MOST_FACT_LINES])


def _exit_line(view: RunView, left: int) -> str:
    """The exit code and who gave it, and what was left behind; "" if there is nothing to tell."""
    said = [exit_in_words(view.exit)] if view.exit is not None else []
    if left:
        said.append(left_line(left))
    return "  ".join(filter(None, said))
