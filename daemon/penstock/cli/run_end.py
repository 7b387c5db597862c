"""How a run's end is told: an exit code, and on stderr a line for a person or a sentence for a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from penstock.cli.notes import RunNotes
from penstock.cli.output import COLOURS, Word, emit, say, show_line
from penstock.words.error_status import exit_code_of
from penstock.words.errors import PenstockError
from penstock.words.exit_codes import RUN_VERBS, Exit
from penstock.words.lifecycle import CANCELLED, COMPLETED, ENDS, FAILED
from penstock.words.run_exit import RunExit, exit_json, signal_name
from penstock.words.sentences import left_line, sentence_of

#: What an end looks like at a glance, and where the terminal has no such character.
MARKS: Mapping[str, tuple[str, str]] = {
    COMPLETED: ("✓", "ok"),
    FAILED: ("✗", "failed"),
    CANCELLED: ("■", "cancelled"),
}


def tell_end(notes: RunNotes, *, quiet: bool, output_shown: bool = True) -> int:
    """Tell how the run ended: the exit code. A story without an end is a failure of Penstock's.

    What a program exited with is its own affair: only a terminal is told, or whoever was
    not shown its output, and never with `quiet`.
    """
    ended, fact = notes.exit, notes.end
    if ended is None:
        say(f"{notes.run_id} has not ended, as far as its log goes")
        return Exit.PENSTOCK
    if fact is None:
        # Its end lies before what was asked for.
        return ended.code
    sentence = f"{notes.run_id} {sentence_of(fact)}"
    if ended.code == Exit.PENSTOCK and ended.origin == "penstock":
        notes.end_line()
        say(sentence)
        return ended.code
    if quiet and ended.origin != "penstock":
        return ended.code
    if sys.stderr.isatty() and not quiet:
        show_line(*end_line(notes, ended), err=True)
    elif ENDS[fact.type] != COMPLETED and not (
        output_shown and ended.origin == "program"
    ):
        notes.end_line()
        say(sentence)
    if notes.leftover and not quiet:
        notes.end_line()
        say(left_line(notes.leftover))
    return ended.code


def end_line(notes: RunNotes, ended: RunExit) -> tuple[Word, str]:
    """The end of a run that has ended, in one line: `✗ tests  exit 2 after 4:12`."""
    assert notes.end is not None
    state = ENDS[notes.end.type]
    best, plain = MARKS[state]
    mark = Word(best if _can_say(best) else plain, COLOURS.get(state))
    how = _how(notes, ended)
    if notes.began is not None:
        how += f" after {duration(notes.end.at - notes.began)}"
    return mark, f" {notes.name or notes.run_id}  {how}"


def _how(notes: RunNotes, ended: RunExit) -> str:
    event: Any = notes.end.event if notes.end is not None else None
    said = getattr(event, "error", "") or getattr(event, "reason", "")
    if ended.origin == "program":
        return f"exit {ended.code}"
    if ended.origin == "signal":
        return said or f"killed by {signal_name(ended.code - 128)}"
    if ended.code == Exit.OK:
        return "completed"
    if ended.code == Exit.CANCELLED:
        return f"cancelled ({said})" if said else "cancelled"
    return f"exit {ended.code} ({said})"


def duration(span: timedelta) -> str:
    """As a stopwatch has it: 4:12, or 1:04:12."""
    seconds = max(0, int(span.total_seconds()))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


@contextmanager
def failures_in_json(as_json: bool) -> Iterator[None]:
    """With `as_json` an error of Penstock's is a last line of stdout too, before it goes on."""
    try:
        yield
    except PenstockError as error:
        if as_json:
            emit(failure_json(error))
        raise


def failure_json(error: PenstockError) -> dict[str, Any]:
    """What stands for the end of a run that cannot be told."""
    code = exit_code_of(error, RUN_VERBS[0])
    return {"error": str(error), **exit_json(RunExit(code, "penstock"))}


def _can_say(text: str) -> bool:
    try:
        text.encode(sys.stderr.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
