"""How the facts of a run are told to a person or a program."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import trio

from penstock.cli.output import flush, put, put_json
from penstock.words.events import TERMINAL_TYPES, Log
from penstock.words.printed import not_kept, size_of, text_of
from penstock.words.recorded import Recorded
from penstock.words.run_exit import exit_json, exit_of_fact
from penstock.words.sentences import sentence_of
from penstock.words.text import neutralise

#: Where a piece goes, and what it is: `json` is stdout too.
Piece = tuple[Literal["stdout", "stderr", "json"], str]


class FactWriter(Protocol):
    """Tells facts as they come."""

    async def write(self, facts: Iterable[Recorded]) -> None: ...


@dataclass(frozen=True)
class PieceWriter:
    """Writes what `render` makes of each fact."""

    render: Callable[[Recorded], Piece | None]

    async def write(self, facts: Iterable[Recorded]) -> None:
        """Write in a thread: a reader that stalls (a pager) must not stall an embedded daemon."""
        pieces = [piece for fact in facts if (piece := self.render(fact)) is not None]
        if pieces:
            await trio.to_thread.run_sync(_write, pieces, abandon_on_cancel=True)


def as_json(fact: Recorded) -> Piece:
    """The envelope as a line of NDJSON."""
    return "json", fact.wire().decode() + "\n"


def as_json_to_end(kind: str) -> Callable[[Recorded], Piece]:
    """The same; the fact that ends the run, which is of this kind, says what that is as an exit code."""

    def render(fact: Recorded) -> Piece:
        stream, line = as_json(fact)
        if (ended := exit_of_fact(kind, fact)) is not None:
            members = json.dumps(exit_json(ended), separators=(",", ":"))
            line = f"{members[:-1]},{line[1:]}"
        return stream, line

    return render


def only_types(
    types: frozenset[str], render: Callable[[Recorded], Piece | None]
) -> Callable[[Recorded], Piece | None]:
    """The same rendering for facts of these types; of all if there are none."""
    return lambda fact: render(fact) if not types or fact.type in types else None


def as_output(fact: Recorded) -> Piece | None:
    """A process's output where it was meant to go; of the rest only what is missing from it."""
    event: Any = fact.event
    if isinstance(event, Log):
        if event.emptied:
            return "stderr", f"penstock: {event.stream}: {not_kept(size_of(event))}"
        stream: Literal["stdout", "stderr"]
        stream = "stdout" if event.stream == "stdout" else "stderr"
        return stream, neutralise(text_of(event))
    if fact.type == "log.truncated":
        return "stderr", f"penstock: {sentence_of(fact)}\n"
    return None


def as_story(fact: Recorded) -> Piece | None:
    """One line per fact worth a person's time; `tell_end` tells the last one."""
    if fact.type in TERMINAL_TYPES or (said := sentence_of(fact)) is None:
        return None
    hint = " (penstock answer)" if fact.type == "ask.raised" else ""
    return _line(fact, said + hint)


def make_story() -> Callable[[Recorded], Piece | None]:
    """The same with a line for each new step; how far it is would fill a file."""
    steps = [""]

    def render(fact: Recorded) -> Piece | None:
        if fact.type != "progress":
            return as_story(fact)
        step = getattr(fact.event, "step", "")
        if step == steps[0]:
            return None
        steps[0] = step
        return _line(fact, step)

    return render


@dataclass
class ProgressWriter:
    """A bar on a terminal, with the milestones above it."""

    progress: Any
    task: Any

    async def write(self, facts: Iterable[Recorded]) -> None:
        await trio.lowlevel.checkpoint()
        for fact in facts:
            event: Any = fact.event
            if fact.type == "progress":
                step = neutralise(event.step)
                self.progress.update(
                    self.task, description=step, completed=event.fraction
                )
            elif (piece := as_story(fact)) is not None:
                self.progress.console.print(
                    piece[1].rstrip(), markup=False, highlight=False
                )


@asynccontextmanager
async def open_writer(
    kind: str, *, json_wanted: bool, quiet: bool
) -> AsyncIterator[FactWriter]:
    """The way to tell a run of this kind here: to a program, a terminal or a pipe."""
    if json_wanted:
        yield PieceWriter(as_json_to_end(kind))
    elif kind == "command":
        yield PieceWriter(as_output)
    elif quiet:
        yield PieceWriter(lambda fact: None)
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
        )
        with Progress(
            *columns, console=Console(stderr=True), transient=True
        ) as progress:
            yield ProgressWriter(
                progress, progress.add_task(neutralise(kind), total=1.0)
            )
    else:
        yield PieceWriter(make_story())


def _line(fact: Recorded, text: str) -> Piece:
    moment = fact.at.astimezone().strftime("%H:%M:%S")
    return "stderr", f"{moment} {neutralise(text).rstrip()}\n"


def _write(pieces: list[Piece]) -> None:
    for stream, text in pieces:
        if stream == "json":
            put_json(text)
        else:
            put(text, err=stream == "stderr")
    flush()
