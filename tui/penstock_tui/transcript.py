"""What a coding agent and its user said to each other, what it did and what it asked. Facts in, folds out.

It is told in the order in which it happened. What changes later (a tool ends, a question is answered)
changes where it stands, and who shows it is told from where on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from penstock.words import events as e
from penstock.words.ask_details import ALLOW, DENY, AskDetails
from penstock.words.lifecycle import CANCELLED
from penstock.words.recorded import Recorded
from penstock.words.sentences import sentence_of
from penstock.words.unified_diff import change_in_words, counts_of
from penstock_tui.hunks import diff_lines
from penstock_tui.prose import Prose
from penstock_tui.widgets.tail_line import Fold, Line
from penstock_tui.wording import CROSS, answer_keys, lines_of, plain

#: Entries that one can scroll back through; the facts have all of them.
MOST_ENTRIES = 5000
#: What the keys of folds begin with that are questions.
ASK = "?"
#: Lines of a thought that are shown without being asked for.
FIRST_LINES = 1
#: Characters of a tool's input that are no command.
LONGEST_INPUT = 4000

#: Whether it is shown is told by glyph and by tone.
_ENDS = {
    "": ("▶", "primary"),
    "completed": ("✓", ""),
    "failed": (CROSS, "error"),
    "cancelled": ("■", "dim"),
}
_PLANNED = {
    "completed": ("✓", "dim"),
    "in_progress": ("▶", "primary"),
    "pending": ("○", ""),
}
#: Before each line that its user told it.
TOLD = "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"
#: Members of a tool's input that say what is executed.
_COMMANDS = ("command", "cmd", "argv")
#: Facts beside those of the agent that belong to the story, and how they look.
_NOTES = {
    "run.resumed": "dim", "run.waiting": "warning", "run.requeued": "warning", "run.failed": "error",
    "run.cancelled": "dim", "run.cancel_requested": "warning", "run.completed": "success", "milestone": "dim",
    "step.failed": "error",
}  # fmt: skip


@dataclass(slots=True)
class _Tool:
    """A use of a tool, from its beginning to its end."""

    called: e.ToolCalled
    ended: e.ToolEnded | None = None


@dataclass(slots=True)
class ShownTranscript:
    """`take` facts; `folds` is all that was told, and `changed` the first that is not as it was."""

    folds: list[Fold] = field(default_factory=list)
    changed: int = 0
    #: Whether there is an agent.
    spoken: bool = False
    _message: tuple[str, str] = ("", "")
    _prose: Prose = field(default_factory=Prose)
    #: Where a tool or a question stands that may still change.
    _places: dict[str, int] = field(default_factory=dict)
    _tools: dict[str, _Tool] = field(default_factory=dict)
    _asks: dict[str, e.AskRaised] = field(default_factory=dict)
    _plan: tuple[int, Fold] | None = None
    _prompt: str = ""
    _attempt: int = 1
    _count: int = 0
    #: What was told last: a message, a tool or something else.
    _last: str = ""

    def take(self, fact: Recorded) -> None:
        """Take the next fact of the run; most kinds of fact are no part of it."""
        match fact.event:
            case e.RunQueued() as event:
                self._queued(event)
            case e.AgentSaid() as event:
                self.spoken = True
                self._said(event)
            case e.ToolCalled() as event:
                self.spoken = True
                self._called(event)
            case e.ToolEnded() as event:
                self._ended(event)
            case e.PlanUpdated() as event:
                self.spoken = True
                self._planned(event)
            case e.AskRaised() as event:
                self._asked(event)
            case e.AskAnswered(name=name, answer=answer, by=by):
                glyph = {ALLOW: "✓", DENY: CROSS}.get(answer, "✓")
                self._settled(name, f"{glyph} {answer} (by {by})")
            case e.AskWithdrawn(name=name, reason=reason):
                self._settled(name, f"■ taken back: {reason}")
            case e.InterventionReceived(text=text):
                self._told(text)
            case _ if fact.type in _NOTES:
                self._note(fact)

    def shown(self) -> None:
        """What has changed until now is shown."""
        self.changed = len(self.folds)

    # -- what is said

    def _queued(self, event: e.RunQueued) -> None:
        prompt = event.inputs.get("prompt")
        if isinstance(prompt, str) and prompt.strip():
            self._prompt = prompt.strip()
            self._told(prompt)

    def _told(self, text: str) -> None:
        """What its user tells the agent."""
        self._add(_quoted(text), "message")

    def _said(self, event: e.AgentSaid) -> None:
        if event.role == "user":
            # The first of them is what the run was asked for, which stands there.
            if event.text.strip() != self._prompt:
                self._told(event.text)
            return
        message = (event.role, event.message)
        begins = message != self._message
        if begins:
            self._prose = Prose("dim" if event.role == "thought" else "")
        self._prose.feed(event.text)
        lines = tuple(self._prose.lines)
        if event.role == "thought":
            head = lines[:FIRST_LINES] or (Line(""),)
            first = head[0]._replace(text=f"thinks: {head[0].text}", spans=(), hang=2)
            fold = Fold("", (first,), lines[FIRST_LINES:])
        else:
            fold = Fold("", lines)
        if begins:
            self._add(fold, "message")
            self._message = message
        else:
            self._change(len(self.folds) - 1, fold)

    # -- what is done

    def _called(self, event: e.ToolCalled) -> None:
        known = self._tools.get(event.call)
        if known is not None and known.ended is None:
            # Told again with more: it is the same use.
            known.called = event
            self._change(self._places[event.call], self._tool(known))
            return
        self._begin(event)

    def _ended(self, event: e.ToolEnded) -> None:
        tool = self._tools.get(event.call)
        if tool is None or tool.ended is not None:
            tool = self._begin(e.ToolCalled(call=event.call))
        tool.ended = event
        self._change(self._places[event.call], self._tool(tool))

    def _begin(self, event: e.ToolCalled) -> _Tool:
        tool = self._tools[event.call] = _Tool(event)
        self._places[event.call] = self._add(self._tool(tool), "tool")
        return tool

    def _tool(self, tool: _Tool) -> Fold:
        called, ended = tool.called, tool.ended
        glyph, tone = _ENDS["" if ended is None else ended.status]
        title = called.title or (called.paths[0] if called.paths else called.call)
        said = [f"{glyph} {called.tool:<8}", title]
        if ended is not None and ended.diff:
            said.append(change_in_words(*counts_of(ended.diff)))
        said.append("asked" if called.asked else "")
        body = tuple(_inside(tool))
        # Below those that have something to unfold.
        before = "" if body else "  "
        text = before + plain("  ".join(filter(None, said)))
        return Fold("", (Line(text, tone, hang=13),), body)

    def _planned(self, event: e.PlanUpdated) -> None:
        done = sum(entry.status == "completed" for entry in event.entries)
        head = Line(f"plan  {done} of {len(event.entries)} done", "accent")
        body = tuple(
            Line(f"  {glyph} {plain(entry.content)}", tone, hang=4)
            for entry in event.entries
            for glyph, tone in [_PLANNED[entry.status]]
        )
        if self._plan is not None:
            # Only the newest is the plan.
            place, older = self._plan
            self._change(place, older._replace(unfolded=False))
        fold = Fold("", (head,), body, unfolded=True)
        self._plan = (self._add(fold, "plan"), fold)

    # -- what is asked

    def _asked(self, event: e.AskRaised) -> None:
        self._asks[event.name] = event
        head = self._ask_head(event)
        details = AskDetails.read(event.details)
        body = tuple(ask_lines(details, event.question))
        place = self._add(Fold("", (head,), body, unfolded=True), "ask")
        self._places[_ask_key(event.name)] = place

    def _ask_head(self, event: e.AskRaised) -> Line:
        """The keys are told at the oldest open question, for it is what they answer."""
        oldest = next(iter(self._asks)) == event.name
        choices = f" [{' / '.join(event.choices)}]" if event.choices else ""
        keys = f"  ({answer_keys(event.choices)})" if oldest else ""
        return Line(plain(f"? {event.question}{choices}{keys}"), "warning", hang=2)

    def _settled(self, name: str, how: str) -> None:
        event = self._asks.pop(name, None)
        place = self._places.pop(_ask_key(name), None)
        if event is None:
            return
        if place is not None:
            head = Line(plain(f"? {event.question}  {how}"), "dim", hang=2)
            settled = self.folds[place]._replace(head=(head,), unfolded=False)
            self._change(place, settled)
        if (follows := next(iter(self._asks.values()), None)) is not None:
            place = self._places.get(_ask_key(follows.name), -1)
            if place >= 0:
                head = self._ask_head(follows)
                self._change(place, self.folds[place]._replace(head=(head,)))

    def _note(self, fact: Recorded) -> None:
        event = fact.event
        if isinstance(event, e.RunWaiting) and event.kind == "ask":
            return  # the question itself stands there
        if isinstance(event, e.RunResumed):
            if event.attempt <= self._attempt:
                return  # it only has its slot again
            self._attempt = event.attempt
        if fact.type in e.TERMINAL_TYPES:
            self._close()
        if said := sentence_of(fact):
            line = Line(f"── {plain(said)}", _NOTES[fact.type], hang=3)
            self._add(Fold("", (line,)), "note")

    def _close(self) -> None:
        """Nothing goes on in a run that has ended, and no key answers it, whatever an agent left open."""
        for call, tool in self._tools.items():
            if tool.ended is None:
                tool.ended = e.ToolEnded(call=call, status=CANCELLED)
                self._change(self._places[call], self._tool(tool))
        for name in list(self._asks):
            self._settled(name, "■ never answered")

    # -- where it stands

    def _add(self, fold: Fold, what: str) -> int:
        """Put it at the end; its place. What is said stands apart from all else, tools stand together."""
        self._message = ("", "")
        self._count += 1
        if len(self.folds) >= MOST_ENTRIES:
            self._drop()
        place = len(self.folds)
        apart = bool(self._last) and (what != self._last or what == "message")
        key = f"{ASK}{self._count}" if what == "ask" else str(self._count)
        self.folds.append(fold._replace(key=key, apart=apart))
        self._last = what
        return place

    def _change(self, place: int, fold: Fold) -> None:
        if 0 <= place < len(self.folds):
            before = self.folds[place]
            self.folds[place] = fold._replace(key=before.key, apart=before.apart)
            self.changed = min(self.changed, place)

    def _drop(self) -> None:
        """The older half is forgotten; what was open in it changes nothing any more."""
        gone = len(self.folds) // 2
        del self.folds[:gone]
        self.changed = 0
        self._places = {
            key: at - gone for key, at in self._places.items() if at >= gone
        }
        self._tools = {
            call: tool for call, tool in self._tools.items() if call in self._places
        }
        if self._plan is not None:
            place, fold = self._plan
            self._plan = (place - gone, fold) if place >= gone else None


def ask_lines(details: AskDetails, question: str = "") -> Iterator[Line]:
    """What one should see before one answers."""
    for name, value in details.particulars(question):
        first, *more = lines_of(value)
        yield Line(f"  {name:<8} {first}", hang=11)
        yield from (Line(f"{'':<11}{line}") for line in more)
    if details.diff:
        yield from moved_in(diff_lines(details.diff))


def moved_in(lines: Iterable[Line]) -> Iterator[Line]:
    """Below what they belong to."""
    return (line._replace(text=f"  {line.text}") for line in lines)


def _ask_key(name: str) -> str:
    """No call of a tool has such a key."""
    return f"?{name}\0"


def _quoted(text: str) -> Fold:
    lines = lines_of(text.strip("\n"))
    return Fold(
        "", tuple(Line(f"{TOLD} {line}", "secondary", hang=2) for line in lines)
    )


def _inside(tool: _Tool) -> Iterator[Line]:
    """What was asked of a tool and what came of it."""
    called, ended = tool.called, tool.ended
    title = called.title
    for path in called.paths:
        if path != title:
            yield Line(f"  {plain(path)}", "dim", hang=4)
    if command := _command_in(called.input):
        if command != title:
            yield from (
                Line(f"  $ {line}", "accent", hang=4) for line in lines_of(command)
            )
    elif called.input and not (ended is not None and ended.diff):
        said = json.dumps(called.input, ensure_ascii=False)[:LONGEST_INPUT]
        yield Line(f"  {plain(said)}", "dim", hang=4)
    if ended is None:
        return
    if ended.diff:
        yield from moved_in(diff_lines(ended.diff))
    if ended.output.strip():
        yield from (
            Line(f"  {line}", "dim") for line in lines_of(ended.output.rstrip())
        )


def _command_in(given: Any) -> str:
    details = (given.get(name) for name in _COMMANDS)
    return next(
        (
            said
            for value in details
            if (said := AskDetails.read({"command": value}).command)
        ),
        "",
    )
