"""Patches of several runs side by side: which files each changed, how much, and what it took."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from penstock.cli.changes import Changes, file_json, lines_of
from penstock.cli.output import Column, emit, show_line, show_table
from penstock.cli.run_lines import NOTHING, state_of, took
from penstock.words.unified_diff import FileDiff, change_in_words

#: Folders and words in a file's name that say that it holds tests.
_TEST_FOLDERS = frozenset({"test", "tests", "spec", "specs", "__tests__", "testing"})
_TEST_WORDS = ("test_", "_test.", ".test.", ".spec.", "_spec.", "conftest.")


def show_comparison(found: Sequence[Changes], *, as_json: bool) -> None:
    """A row for each run, and a row for each file."""
    if as_json:
        emit({"comparison": [_row_json(changes) for changes in found]})
        return
    now = datetime.now(UTC)
    show_table([
        Column("#", [str(c.view.get("number") or "") for c in found]),
        Column("WHO", [c.who for c in found], shrinks=True),
        Column("STATE", [state_of(c.view) for c in found], states=[c.view["state"] for c in found]),
        Column("TOOK", [took(c.view, now) for c in found], spare=3),
        Column("FILES", [str(len(c.files)) for c in found]),
        Column("LINES", [_much(c.files) for c in found]),
        Column("OF TESTS", [_much(list(filter(_is_test, c.files))) for c in found], spare=1),
        Column("TURNS", [_told(c, "turns") for c in found], spare=4),
        Column("TOKENS", [_told(c, "tokens") for c in found], spare=5),
        Column("COST", [_told(c, "cost") for c in found], spare=2),
        Column("BRANCH", [_told(c, "branch") for c in found], spare=6),
    ])  # fmt: skip
    paths = list(dict.fromkeys(file.path for c in found for file in c.files))
    if not paths:
        return
    show_line("")
    show_table([
        Column("FILE", paths, shrinks=True),
        *(Column(_head(c, found), [_of_file(c, path) for path in paths]) for c in found),
    ])  # fmt: skip


def _row_json(changes: Changes) -> dict[str, Any]:
    view = changes.view
    tests = list(filter(_is_test, changes.files))
    told = ("stop_reason", "summary", "turns", "cost", "tokens", "branch", "head")
    return {
        "run_id": changes.run_id,
        "who": changes.who,
        "state": view["state"],
        "started_at": view.get("started_at"),
        "ended_at": view.get("ended_at"),
        "files": [file_json(file) for file in changes.files],
        **dict(zip(("added", "removed"), lines_of(changes.files), strict=True)),
        "tests": dict(zip(("added", "removed"), lines_of(tests), strict=True)),
        **{key: changes.result[key] for key in told if key in changes.result},
    }


def _head(changes: Changes, found: Sequence[Changes]) -> str:
    """Whose column it is: by number too where several are of the same."""
    if sum(other.who == changes.who for other in found) == 1:
        return changes.who
    return f"{changes.who} {changes.view.get('number') or changes.run_id}"


def _is_test(file: FileDiff) -> bool:
    path = PurePosixPath(file.path)
    named = any(word in path.name.lower() for word in _TEST_WORDS)
    return named or not _TEST_FOLDERS.isdisjoint(path.parent.parts)


def _much(files: Sequence[FileDiff]) -> str:
    return change_in_words(*lines_of(files)) or NOTHING


def _of_file(changes: Changes, path: str) -> str:
    """What a run did to a file, in a word."""
    for file in changes.files:
        if file.path == path:
            much = (
                "binary" if file.binary else change_in_words(file.added, file.removed)
            )
            return (
                f"{much} {file.word}".strip()
                if file.word != "changed"
                else much or file.word
            )
    return NOTHING


def _told(changes: Changes, key: str) -> str:
    value = changes.result.get(key)
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value in (None, "") else str(value)
