"""Diffs as lines that fold: a file is a heading with what changed in it. Values in, lines out."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.words.text import neutralise
from penstock.words.unified_diff import (
    DiffLine,
    FileDiff,
    change_in_words,
    lines_of_diff,
    read_diff,
)
from penstock_tui.widgets.tail_line import Fold, Line
from penstock_tui.wording import counted, plain

#: Files of a patch that are shown, and lines of one of them; all of it is in the artifact.
MOST_FILES = 500
MOST_LINES = 5000
#: Characters of a patch that are read; the whole of it is in the artifact.
MOST_PATCH = 4 * 1024 * 1024
#: Columns of a line's number.
NUMBER = 5

_TONES = {
    "file": "dim", "hunk": "accent", "added": "success", "removed": "error", "same": "", "note": "dim",
}  # fmt: skip
#: Beside the path: what else happened to the file than that lines changed.
_WORDS = {"changed": "", "new": "new", "gone": "deleted", "renamed": "renamed"}


def is_patch(artifact_id: str) -> bool:
    """Whether an artifact of this name is a diff."""
    return artifact_id.endswith((".patch", ".diff"))


def diff_lines(text: str, most: int = MOST_LINES) -> list[Line]:
    """A diff as it stands, in colour, with the numbers of its lines."""
    lines: list[Line] = []
    for line in lines_of_diff(text):
        if len(lines) == most:
            lines.append(Line("… and more", "dim"))
            break
        lines.append(_line(line))
    return lines


def patch_folds(text: str) -> list[Fold]:
    """A patch, a file a fold, after a line that says what it comes to."""
    files = read_diff(text)
    if not files:
        return [Fold("none", (Line("nothing was changed", "dim"),))]
    added = sum(file.added for file in files)
    removed = sum(file.removed for file in files)
    said = f"{counted(len(files), 'file')}  {change_in_words(added, removed)}"
    folds = [Fold("sum", (Line(said.rstrip(), "dim"),))]
    # Of one that can be looked at in a screenful nothing needs to be hidden.
    small = sum(len(file.lines) for file in files) <= 60
    for number, file in enumerate(files[:MOST_FILES]):
        body = tuple(_body(file))
        head = (Line(heading_of(file), "primary"),)
        folds.append(Fold(f"{number} {file.path}", head, body, small))
    if len(files) > MOST_FILES:
        more = f"… and {counted(len(files) - MOST_FILES, 'file')} more"
        folds.append(Fold("more", (Line(more, "dim"),)))
    return folds


def heading_of(file: FileDiff) -> str:
    """The file, what happened to it, and how much."""
    path = plain(file.path) or "a file without a name"
    if file.before and file.before != file.path:
        path = f"{plain(file.before)} → {path}"
    said = [_WORDS[file.word], "binary" if file.binary else ""]
    said.append(change_in_words(file.added, file.removed))
    return "  ".join(filter(None, [path, *said]))


def _body(file: FileDiff) -> Iterator[Line]:
    yield from map(_line, file.lines[:MOST_LINES])
    if (more := len(file.lines) - MOST_LINES) > 0:
        yield Line(f"… and {counted(more, 'line')} more", "dim")


def _line(line: DiffLine) -> Line:
    number = f"{line.number:>{NUMBER}} " if line.number and line.kind != "hunk" else ""
    text = neutralise(line.text.removesuffix("\r")).expandtabs(4)
    return Line(f"{number}{text}" if number else text, _TONES[line.kind])
