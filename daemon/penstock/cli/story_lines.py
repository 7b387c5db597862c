"""What happens in a run of any kind, in lines for people: which facts are worth one, and when it was."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from penstock.cli.output import flush, put, put_json
from penstock.words.output_lines import OutputLines
from penstock.words.printed import ShownFact, piece_in
from penstock.words.sentences import sentence_of
from penstock.words.terminal_types import TERMINAL_TYPES
from penstock.words.text import neutralise

#: Where a text goes, and what it is: `json` is stdout too.
Line = tuple[Literal["stdout", "stderr", "json"], str]


class StoryLines:
    """What happens in a run, in lines worth a person's time; `tell_end` tells how it ended.

    What its programs print is told line by line, however the pieces were cut.
    """

    def __init__(self) -> None:
        self._output = OutputLines()
        self._step = ""

    def tell(self, fact: ShownFact) -> Line | None:
        """What a fact has to tell, but for how far the run is."""
        if (piece := piece_in(fact)) is not None:
            return _lines(fact, [line.text for line in self._output.feed(piece)])
        if fact.type in TERMINAL_TYPES:
            return _lines(fact, [line.text for line in self._output.finish()])
        if not (said := sentence_of(fact)):
            return None
        hint = " (penstock answer)" if fact.type == "ask.raised" else ""
        return _lines(fact, [said + hint])

    def tell_steps(self, fact: ShownFact) -> Line | None:
        """The same with a line for each new step; how far it is would fill a file."""
        if fact.type != "progress":
            return self.tell(fact)
        step = getattr(fact.event, "step", "")
        if step == self._step:
            return None
        self._step = step
        return _lines(fact, [step])


def _lines(fact: ShownFact, texts: list[str]) -> Line | None:
    moment = fact.at.astimezone().strftime("%H:%M:%S")
    said = "".join(f"{moment} {neutralise(text).rstrip()}\n" for text in texts)
    return ("stderr", said) if said else None


def write_lines(lines: Iterable[Line]) -> None:
    """Write them, and bring them out."""
    for stream, text in lines:
        if stream == "json":
            put_json(text)
        else:
            put(text, err=stream == "stderr")
    flush()
