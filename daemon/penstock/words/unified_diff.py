"""A unified diff taken apart: files, hunks, and what each line of it is. Values in, values out.

The text may be anybody's, cut anywhere and wrong about itself: nothing is refused, and each line is
told once, in linear time. Making it harmless is for who shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

#: What a line is: of a file's head, of a hunk's head, one that came, went or stayed, or another word.
LineKind = Literal["file", "hunk", "added", "removed", "same", "note"]

_HUNK = re.compile(
    r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@", re.ASCII
)
#: What git writes above the first hunk of a file, and other tools.
_HEAD = (
    "diff ", "index ", "--- ", "+++ ", "old mode ", "new mode ", "new file mode ", "deleted file mode ",
    "similarity index ", "dissimilarity index ", "rename from ", "rename to ", "copy from ", "copy to ",
    "Index: ", "=======", "Binary files ", "GIT binary patch",
)  # fmt: skip
#: Begins the head of another file.
_BEGINS = ("diff ", "Index: ")
#: No file, as both sides write it.
NOWHERE = "/dev/null"
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_ESCAPE = re.compile(r"\\([0-7]{3}|.)", re.DOTALL)


class DiffLine(NamedTuple):
    """A line, without its end; `number` counts in the new file, of a line that went in the old one."""

    kind: LineKind
    text: str
    number: int = 0


@dataclass(slots=True)
class FileDiff:
    """What happened to one file. `path` is its name now, or the one it had, if it is gone."""

    path: str = ""
    #: Its name before, where that was another.
    before: str = ""
    word: Literal["changed", "new", "gone", "renamed"] = "changed"
    lines: list[DiffLine] = field(default_factory=list)
    added: int = 0
    removed: int = 0
    binary: bool = False


def lines_of_diff(text: str) -> Iterator[DiffLine]:
    """Each line and what it is. Within a hunk `--- a` is a line that went: hunks count their lines."""
    old = new = old_at = new_at = 0
    for line in _split(text):
        if old > 0 or new > 0:
            mark = line[:1]
            if mark in {" ", ""}:
                yield DiffLine("same", line, new_at)
                old, new, old_at, new_at = old - 1, new - 1, old_at + 1, new_at + 1
                continue
            if mark == "+":
                yield DiffLine("added", line, new_at)
                new, new_at = new - 1, new_at + 1
                continue
            if mark == "-":
                yield DiffLine("removed", line, old_at)
                old, old_at = old - 1, old_at + 1
                continue
            if mark == "\\":
                yield DiffLine("note", line)
                continue
            # It promised more lines than it has: whoever cut it, here is something else.
            old = new = 0
        if found := _HUNK.match(line):
            old_at, new_at = int(found[1]), int(found[3])
            old, new = _count(found[2]), _count(found[4])
            yield DiffLine("hunk", line, new_at)
        else:
            yield DiffLine("file" if line.startswith(_HEAD) else "note", line)


def read_diff(text: str) -> list[FileDiff]:
    """The files in their order. What stands before the first is left out, as of a mail."""
    files: list[FileDiff] = []
    in_head = False
    for line in lines_of_diff(text):
        if line.kind == "file":
            begins = line.text.startswith(_BEGINS)
            if not files or begins or (not in_head and line.text.startswith("--- ")):
                files.append(FileDiff())
            in_head = True
            _read_head(files[-1], line.text)
            continue
        if line.kind == "hunk":
            if not files:
                # A hunk without a file's name is one nonetheless.
                files.append(FileDiff())
            in_head = False
        if files:
            files[-1].lines.append(line)
    for file in files:
        kinds = [line.kind for line in file.lines]
        file.added, file.removed = kinds.count("added"), kinds.count("removed")
    return files


def counts_of(text: str) -> tuple[int, int]:
    """How many lines came, and how many went."""
    kinds = [line.kind for line in lines_of_diff(text)]
    return kinds.count("added"), kinds.count("removed")


def change_in_words(added: int, removed: int) -> str:
    """`+12 -3`, with a sign of minus; what is nothing is left out."""
    said = (f"+{added}" if added else "", f"\N{MINUS SIGN}{removed}" if removed else "")
    return " ".join(filter(None, said))


def _read_head(file: FileDiff, line: str) -> None:
    if line.startswith("--- "):
        old = _path(line[4:], "a/")
        if old == NOWHERE:
            file.word = "new"
        else:
            file.before = old
            file.path = file.path or old
    elif line.startswith("+++ "):
        new = _path(line[4:], "b/")
        if new == NOWHERE:
            file.word, file.before = "gone", ""
        else:
            file.path = new
            if file.before == new:
                file.before = ""
    elif line.startswith("rename from "):
        file.before, file.word = _path(line[12:], ""), "renamed"
    elif line.startswith("rename to "):
        file.path = _path(line[10:], "")
    elif line.startswith("new file mode "):
        file.word = "new"
    elif line.startswith("deleted file mode "):
        file.word = "gone"
    elif line.startswith(("Binary files ", "GIT binary patch")):
        file.binary = True
    elif line.startswith("diff --git ") and not file.path:
        # The only name of a file without a hunk: twice the same, but for a and b.
        both = line[11:]
        half = both[len(both) // 2 + 1 :]
        file.path = _path(half if " b/" in both or ' "b/' in both else both, "b/")
    elif line.startswith("Index: "):
        file.path = _path(line[7:], "")


def _path(said: str, prefix: str) -> str:
    """A file's name as it stands in a head, which may be in quotes, with a time behind a tab."""
    if said.startswith('"'):
        said = _unquoted(said[1:].rpartition('"')[0])
    else:
        said = said.partition("\t")[0].rstrip("\r")
    return said.removeprefix(prefix) if said != NOWHERE else said


def _unquoted(said: str) -> str:
    """What git put into quotes: bytes in octal, and the escapes of C."""
    data = bytearray()
    at = 0
    for found in _ESCAPE.finditer(said):
        data += said[at : found.start()].encode("utf-8", "replace")
        word = found[1]
        if len(word) == 3:
            data.append(int(word, 8) & 0xFF)
        else:
            data += _ESCAPES.get(word, word).encode("utf-8", "replace")
        at = found.end()
    data += said[at:].encode("utf-8", "replace")
    return data.decode("utf-8", "replace")


def _split(text: str) -> Iterable[str]:
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def _count(said: str | None) -> int:
    return 1 if said is None else int(said)
