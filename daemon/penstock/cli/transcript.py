"""What a coding agent says and does, told as it comes: its words are data, and go to stdout.

All else goes to stderr: to a person what each tool does, with its diffs; to a pipe the lines that every
other kind has.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from penstock.cli.diff_lines import show_diff
from penstock.cli.output import Word, flush, joined, put, show_line
from penstock.cli.story_lines import StoryLines, write_lines
from penstock.words.printed import ShownFact
from penstock.words.sentences import sentence_of

#: Lines of one change that are shown; `penstock diff` shows all at the end.
MOST_DIFF_LINES = 40
#: Lines of a tool's output that are shown, its last.
MOST_OUTPUT_LINES = 6
#: What begins a line that tells what it does, and one that tells what went wrong.
DOES, FAILED = "▸ ", "✗ "
_DIM = "bright_black"


class TranscriptWriter:
    """See the module's text. `quiet`: only its words."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._person = sys.stderr.isatty()
        #: Whether our lines would stand in the midst of its words.
        self._together = joined() or (self._person and sys.stdout.isatty())
        self._story = StoryLines()
        #: Of its words: the message that came last, and what stands at the end of what was written.
        self._message = ""
        self._end = "\n"
        self._thought = Thoughts()
        #: Tools that are at work: call -> what they are for.
        self._tools: dict[str, str] = {}
        #: Diffs that stood below a question.
        self._seen: set[str] = set()

    def write(self, facts: Iterable[ShownFact]) -> None:
        """See `FactWriter`."""
        for fact in facts:
            if fact.type == "agent.said":
                self._say(fact.event)
            elif not self._quiet:
                self._thought.end()
                self._do(fact)
        flush()

    def note_seen(self, diff: str) -> None:
        """It stood on this terminal already, and need not again."""
        self._seen.add(diff)

    def end_line(self) -> None:
        """See `FactWriter`."""
        self._thought.end()
        self._end_words()

    def finish(self) -> None:
        """Its last line is a whole one."""
        self._thought.end()
        if self._end != "\n":
            put("\n")
            self._end = "\n"
        flush()

    def _say(self, event: Any) -> None:
        match getattr(event, "role", "agent"):
            case "agent":
                self._thought.end()
                self._speak(event.message, event.text)
            case "thought" if self._person and not self._quiet:
                self._end_words()
                self._thought.feed(event.message, event.text)
            case "user" if self._person and not self._quiet:
                self.end_line()
                for line in event.text.rstrip("\n").split("\n"):
                    show_line(Word(f"> {line}", "cyan"), err=True)

    def _speak(self, message: str, text: str) -> None:
        """Its words as they are; messages are parted by an empty line."""
        if not text:
            return
        if self._message and message != self._message:
            put("\n" if self._end == "\n" else "\n\n")
        self._message = message
        put(text)
        self._end = text[-1]

    def _end_words(self) -> None:
        """Have what comes on stderr stand behind what was said, and on a line of its own."""
        if self._together and self._end != "\n":
            put("\n")
            self._end = "\n"
        flush()

    def _do(self, fact: ShownFact) -> None:
        event: Any = fact.event
        if fact.type == "progress":
            # It says what its tools say.
            return
        match fact.type:
            case _ if not self._person:
                self._tell_story(fact)
            case "tool.called":
                self._tools[event.call] = event.tool
                self._tell(DOES, sentence_of(fact) or "")
            case "tool.ended":
                self._tell_ended(fact, self._tools.pop(event.call, ""))
            case "plan.updated":
                self._tell(DOES, sentence_of(fact) or "")
            case _ if not is_plain(fact):
                self._tell_story(fact)

    def _tell_story(self, fact: ShownFact) -> None:
        if (line := self._story.tell(fact)) is not None:
            self.end_line()
            write_lines([line])

    def _tell(self, mark: str, text: str) -> None:
        self.end_line()
        first, *others = text.split("\n")
        show_line(Word(mark, "red" if mark == FAILED else "cyan"), first, err=True)
        for line in others:
            show_line("  ", line, err=True)

    def _tell_ended(self, fact: ShownFact, tool: str) -> None:
        event: Any = fact.event
        if event.status != "completed":
            self._tell(FAILED, f"tool {event.status}")
        diff = getattr(event, "diff", "")
        if diff and diff not in self._seen:
            self.end_line()
            left = show_diff(diff, most=MOST_DIFF_LINES, margin="  ", err=True)
            if left:
                show_line(Word(f"  … {left} more lines", _DIM), err=True)
        elif not diff and (event.status == "failed" or tool == "execute"):
            self._tell_output(getattr(event, "output", ""))

    def _tell_output(self, output: str) -> None:
        lines = output.rstrip().split("\n") if output.strip() else []
        if lines:
            self.end_line()
        if len(lines) > MOST_OUTPUT_LINES:
            show_line(Word(f"  … {len(lines) - MOST_OUTPUT_LINES} lines before", _DIM), err=True)  # fmt: skip
        for line in lines[-MOST_OUTPUT_LINES:]:
            show_line(Word(f"  {line}", _DIM), err=True)


def is_plain(fact: ShownFact) -> bool:
    """Whether who looks on knows it without a line: it has begun, it asks, what its tools say once more."""
    if fact.type in ("run.waiting", "run.resumed"):
        return bool(getattr(fact.event, "kind", "ask") == "ask")
    return fact.type in ("progress", "run.started", "artifact.completed")


class Thoughts:
    """What it thinks, line by line on stderr."""

    def __init__(self) -> None:
        self._message = ""
        self._rest = ""

    def feed(self, message: str, text: str) -> None:
        """The next piece."""
        if message != self._message:
            self.end()
        self._message = message
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._show(line)

    def end(self) -> None:
        """Something else follows."""
        if self._rest:
            self._show(self._rest)
        self._rest = ""

    def _show(self, line: str) -> None:
        show_line(Word(f"  {line}", _DIM), err=True)
