"""How the facts of a run are told to a person or a program."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from penstock.cli.output import Outlet, flush, joined, say
from penstock.cli.story_lines import Line, StoryLines, write_lines
from penstock.words.exit_codes import AGENT_KIND, PROGRAM_KIND
from penstock.words.printed import (
    STREAMS,
    Piece,
    ShownFact,
    Stream,
    bytes_of,
    piece_in,
    size_of,
)
from penstock.words.run_exit import RunExit, exit_json, exit_of_fact
from penstock.words.sentences import sentence_of
from penstock.words.terminal_types import TERMINAL_TYPES
from penstock.words.text import neutralise


class FactWriter(Protocol):
    """Tells facts as they come."""

    def write(self, facts: Iterable[ShownFact]) -> None: ...

    def end_line(self) -> None:
        """Have what is said next stand on a line of its own, though what was written has not ended its last."""


@dataclass(frozen=True)
class LineWriter:
    """Writes what `render` makes of each fact."""

    render: Callable[[ShownFact], Line | None]

    def write(self, facts: Iterable[ShownFact]) -> None:
        """Write, and bring it out."""
        lines = [line for fact in facts if (line := self.render(fact)) is not None]
        if lines:
            write_lines(lines)

    def end_line(self) -> None:
        """See `FactWriter`: lines are whole."""


def as_json(fact: ShownFact) -> Line:
    """The envelope as a line of NDJSON."""
    return "json", fact.wire().decode() + "\n"


def as_json_to_end(
    kind: str, told: Callable[[], RunExit | None] = lambda: None
) -> Callable[[ShownFact], Line]:
    """The same; the fact that ends the run, which is of this kind, says what that is as an exit code.

    `told`: the code that this command ends with, if the run's end is not what gives it.
    """

    def render(fact: ShownFact) -> Line:
        stream, line = as_json(fact)
        if (ended := exit_of_fact(kind, fact)) is not None:
            ended = told() or ended
            members = json.dumps(exit_json(ended), separators=(",", ":"))
            line = f"{members[:-1]},{line[1:]}"
        return stream, line

    return render


def only_types(
    types: frozenset[str],
    render: Callable[[ShownFact], Line | None],
    streams: frozenset[Stream] = STREAMS,
) -> Callable[[ShownFact], Line | None]:
    """The same rendering for facts of these types, of all if there are none, and of these streams."""

    def wanted(fact: ShownFact) -> bool:
        of_stream = getattr(fact.event, "stream", None) in (None, *streams)
        return of_stream and (not types or fact.type in types)

    return lambda fact: render(fact) if wanted(fact) else None


class OutputWriter:
    """Writes a process's output where it was meant to go; of the rest only what is missing from it.

    In the order in which it was read. Words of ours stand on stderr, on lines of their own.
    """

    def __init__(
        self,
        streams: frozenset[Stream] = STREAMS,
        *,
        raw: bool = False,
    ) -> None:
        """`streams` to write. `raw`: exact on a terminal too."""
        out, err = Outlet(raw=raw), Outlet(err=True, raw=raw)
        outlets: dict[Stream, Outlet] = {"stdout": out, "stderr": err, "pipeline": err}
        self._outlets = {name: outlets[name] for name in streams}
        self._last: Outlet | None = None
        self._last_shown: Outlet | None = None
        #: Those after which our words stand in one pipe or file, and whether that ends within a line.
        self._beside_words = (err, out) if joined() else (err,)
        self._mid_line = False
        #: Bytes that are no longer kept, since the last piece that is.
        self._missing: dict[Stream, int] = {}
        #: Whether a program or a file was to have some of them.
        self.incomplete = False
        #: Whether a signal that comes now comes in the midst of a write.
        self.writing = False

    def write(self, facts: Iterable[ShownFact]) -> None:
        """See `FactWriter`; waits while nobody reads what it writes."""
        self.writing = True
        for fact in facts:
            if (piece := piece_in(fact)) is not None:
                self._write_piece(piece)
            elif fact.type == "log.truncated":
                self._say(sentence_of(fact) or "")
            elif fact.type in TERMINAL_TYPES:
                self.finish()
                # What is said of the end stands on a line of its own; so does the next prompt.
                self._finish(line_end=True)
        flush()
        self.writing = False

    def write_printed(self, stream: Stream, data: bytes) -> None:
        """Write what a program has just written; waits while nobody reads it here."""
        self.writing = True
        self._put(self._outlets[stream], data)
        flush()
        self.writing = False

    def end_line(self) -> None:
        """See `FactWriter`: our words follow, on stderr, where whoever looks for them looks at line starts."""
        self.leave()
        if self._mid_line:
            self._put(self._beside_words[0], b"\n")
            flush()

    def leave(self) -> None:
        """Have a terminal's next prompt on a line of its own; a pipe or a file gets no byte more."""
        if self._last_shown is not None:
            self._finish(line_end=True)
            flush()

    def write_pieces(self, pieces: Iterable[Piece]) -> None:
        """Write what these hold."""
        for piece in pieces:
            self._write_piece(piece)
        flush()

    def finish(self) -> None:
        """Say what is missing behind the last piece, when no end of the run does."""
        for stream, count in self._missing.items():
            self.incomplete |= self._outlets[stream].takes_data
            self._say(f"{count} bytes of {stream} are no longer kept")
        self._missing.clear()

    def _write_piece(self, piece: Piece) -> None:
        outlet, data = self._outlets.get(piece.stream), bytes_of(piece)
        if outlet is None:
            return
        if data is None:
            self._missing[piece.stream] = size_of(piece) + self._missing.get(piece.stream, 0)  # fmt: skip
            return
        self.finish()
        self._put(outlet, data)

    def _put(self, outlet: Outlet, data: bytes) -> None:
        if self._last is not outlet:
            flush()
        self._last = outlet
        if outlet.on_terminal:
            self._last_shown = outlet
        elif data and outlet in self._beside_words:
            self._mid_line = not data.endswith(b"\n")
        outlet.write(data)

    def _say(self, text: str) -> None:
        self.end_line()
        say(text)

    def _finish(self, *, line_end: bool) -> None:
        outlets = {id(outlet): outlet for outlet in self._outlets.values()}
        for outlet in outlets.values():
            # Both may be on one terminal; the cursor is where the last one left it.
            outlet.finish(line_end=line_end and outlet is self._last_shown)


@dataclass
class ProgressWriter:
    """A bar on a terminal, with the milestones above it."""

    progress: Any
    task: Any
    story: StoryLines = field(default_factory=StoryLines)

    def write(self, facts: Iterable[ShownFact]) -> None:
        for fact in facts:
            event: Any = fact.event
            if fact.type == "progress":
                step = neutralise(event.step)
                self.progress.update(
                    self.task, description=step, completed=event.fraction
                )
            elif (line := self.story.tell(fact)) is not None:
                self.progress.console.print(
                    line[1].rstrip(), markup=False, highlight=False
                )

    def end_line(self) -> None:
        """See `FactWriter`: the bar is drawn again below."""


@contextmanager
def open_writer(
    kind: str,
    *,
    json_wanted: bool,
    quiet: bool,
    told: Callable[[], RunExit | None] = lambda: None,
) -> Iterator[FactWriter]:
    """The way to tell a run of this kind here: to a program, a terminal or a pipe.

    `told` is as for `as_json_to_end`.
    """
    if json_wanted:
        yield LineWriter(as_json_to_end(kind, told))
    elif kind == PROGRAM_KIND:
        printed = OutputWriter()
        with _ending(printed.leave):
            yield printed
    elif kind == AGENT_KIND:
        # Late: for what only these runs need.
        from penstock.cli.transcript import TranscriptWriter

        transcript = TranscriptWriter(quiet=quiet)
        with _ending(transcript.finish):
            yield transcript
    elif quiet:
        yield LineWriter(lambda fact: None)
    elif sys.stderr.isatty():
        with _open_progress(kind) as progress:
            yield progress
    else:
        yield LineWriter(StoryLines().tell_steps)


@contextmanager
def _ending(end: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(OSError):
            end()


@contextmanager
def _open_progress(kind: str) -> Iterator[ProgressWriter]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield ProgressWriter(progress, progress.add_task(neutralise(kind), total=1.0))
