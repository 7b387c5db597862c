"""What a model's answer says, read with leniency: models put fences, bullets and thoughts around it.

The reader takes what can have one meaning only. What else it is given stays what it was, so that
the caller's own check says what is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from penstock.llm.fields import FieldSplitter

_THOUGHT_ENDS = "</think>"
_THOUGHT_BEGINS = "<think>"

_FENCE = re.compile(
    r"^[ \t]*(?:(?:[-*\u2022]|\d+[.)])[ \t]+)?```[^\n]*\n(.*?)(?:^[ \t]*```[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
#: Where a fence begins; lists of blocks number them.
_OPENS = re.compile(r"\s*(?:(?:[-*\u2022]|\d+[.)])\s+)?```")
_BULLET = re.compile(r"^\s*(?:[-*\u2022]|\d+[.)])\s+")
_NOTHING = frozenset({"", "none", "none.", "(none)", "n/a", "null", "[]"})
_NAME_IN_COMMENT = re.compile(r"^\s*(?:#+|//|--)\s*`?(\w+)`?:?\s*$")
_FILE_IN_COMMENT = re.compile(r"^\s*(?:#+|//|--)\s*`?(?:[\w-]+/)*[\w-]+\.\w+`?:?\s*$")
_HEADER = re.compile(r"^[ \t]*\[\[ ## (\w+) ## \]\]")


def without_thoughts(text: str) -> str:
    """The answer without what a model thought aloud before it; "" if it never came to an end."""
    # Some chat formats write the opening mark into the prompt, so that only the end is heard.
    before, mark, after = text.rpartition(_THOUGHT_ENDS)
    if mark:
        return after
    head = before + after
    return "" if head.lstrip().startswith(_THOUGHT_BEGINS) else head


class ThoughtFilter:
    """Takes the thoughts at the beginning out of a stream: what is passed on is the answer's."""

    def __init__(self) -> None:
        self._held = ""
        self._thinking: bool | None = None

    def feed(self, text: str) -> str:
        """The next piece; what of it is no thought."""
        if self._thinking is False:
            return text
        self._held += text
        begun = self._held.lstrip()
        if self._thinking is None:
            if _THOUGHT_BEGINS.startswith(begun[: len(_THOUGHT_BEGINS)]) and len(
                begun
            ) < len(_THOUGHT_BEGINS):
                return ""
            self._thinking = begun.startswith(_THOUGHT_BEGINS)
        if self._thinking:
            _, mark, rest = self._held.partition(_THOUGHT_ENDS)
            if not mark:
                return ""
            self._held, self._thinking = rest, False
        held, self._held = self._held, ""
        return held

    def close(self) -> str:
        """The stream has ended; what was held back, unless it is a thought."""
        held, self._held = self._held, ""
        return "" if self._thinking else held


def unfenced(text: str) -> str:
    """What stands in the first fence; the text itself if there is none."""
    found = _FENCE.search(text)
    return found[1] if found else text


def read_json(text: str) -> Any:
    """The JSON in a text: all of it, the first fence, or the first object. ValueError for none."""
    for candidate in (text, unfenced(text), text[max(0, text.find("{")) :]):
        try:
            value, _ = json.JSONDecoder(strict=False).raw_decode(candidate.strip())
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict | list):
            return value
    raise ValueError("it is no JSON object")


def read_list(text: str) -> list[Any]:
    """The items of a list: JSON, one object, objects line by line, bullets, or "None"."""
    inner = unfenced(text).strip()
    if inner.lower() in _NOTHING:
        return []
    if inner[0] in "[{":
        return _read_objects(inner)
    lines = [line for line in inner.splitlines() if line.strip()]
    if all(line.lstrip().startswith(("{", "#")) for line in lines):
        return _read_objects("\n".join(x for x in lines if "{" in x))
    if len(lines) > 1 or _BULLET.match(lines[0]):
        return [_BULLET.sub("", line).strip() for line in lines]
    raise ValueError("it is no valid list")


def _read_objects(text: str) -> list[Any]:
    """A list as it is; objects that follow each other as one."""
    found: list[Any] = []
    decoder = json.JSONDecoder(strict=False)
    while text:
        try:
            value, end = decoder.raw_decode(text)
        except RecursionError:
            raise ValueError("it is nested too deep") from None
        if isinstance(value, list) and not found:
            return value
        found.append(value)
        text = text[end:].lstrip(", \t\r\n")
    return found


class BlockSplitter:
    """Cuts one answer into its fenced blocks: the first is that of the first field, and so on.

    Prose around the fences belongs to no field, and a header says which field the next fence is of. In
    a fence a comment that only names the next field, or another file after the first, begins that, unless
    a fence of its own follows.
    An answer without any fence is read by its headers, once it is whole.
    """

    def __init__(self, fields: Iterable[str]) -> None:
        self._left = list(fields)
        self._sections = FieldSplitter(self._left)
        self._texts: dict[str, list[str]] = {}
        self._current: str | None = None
        self._inside = False
        self._line = ""
        #: Ends of lines that are part of the text only if more text follows.
        self._ends = ""
        #: How often a text that a comment began was taken back, since a fence of its own followed.
        self.restarts = 0
        #: The field that a comment in the fence before it began.
        self._by_comment: str | None = None

    @property
    def values(self) -> dict[str, str]:
        """The text of each field seen so far."""
        if not self._texts:
            return self._sections.values
        return {name: "".join(parts) for name, parts in self._texts.items()}

    def feed(self, text: str) -> list[tuple[str, str]]:
        """Take the next piece; what it adds, as (field, text), by whole lines."""
        self._sections.feed(text)
        added: list[tuple[str, str]] = []
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._take(line + "\n", added)
        return added

    def close(self) -> list[tuple[str, str]]:
        """The stream has ended; what was held back, as (field, text)."""
        self._sections.close()
        added: list[tuple[str, str]] = []
        rest, self._line = self._line, ""
        if rest:
            self._take(rest, added)
        return added if self._texts else list(self._sections.values.items())

    def _take(self, line: str, added: list[tuple[str, str]]) -> None:
        if self._inside:
            if line.strip() == "```":
                self._inside = False
            elif self._current is not None and not self._turn(line):
                self._put(self._current, line.rstrip("\r\n"), added)
        else:
            if header := _HEADER.match(line):
                if header[1] in self._left:
                    del self._left[: self._left.index(header[1])]
                line = line[header.end() :]
            if _OPENS.match(line):
                self._open(added)

    def _open(self, added: list[tuple[str, str]]) -> None:
        self._inside = True
        again, self._by_comment = self._by_comment, None
        if again is not None and self._texts.pop(again):
            self.restarts += 1
            added[:] = [(n, t) for n, t in self.values.items() if t]
        self._begin(again or (self._left.pop(0) if self._left else None))

    def _begin(self, name: str | None) -> None:
        self._current = name
        if name is not None:
            self._texts[name] = []
            self._ends = ""

    def _turn(self, line: str) -> bool:
        """Whether a line only names a field, as `# tests` does: small models put all into one fence."""
        found = _NAME_IN_COMMENT.match(line)
        if found is None:
            return self._turn_to_file(line)
        name = found[1].lower()
        if self._current is not None and name == self._current.lower():
            return not self._texts[self._current]
        if name not in self._left:
            return False
        self._begin_by_comment(name)
        return True

    def _turn_to_file(self, line: str) -> bool:
        """Whether a line only names another file than the one whose text stands before it."""
        if not self._left or not _FILE_IN_COMMENT.match(line):
            return False
        text = self._texts[self._current] if self._current is not None else []
        if all(_FILE_IN_COMMENT.match(one) for one in text):
            return False
        self._begin_by_comment(self._left[0])
        return True

    def _begin_by_comment(self, name: str) -> None:
        del self._left[: self._left.index(name) + 1]
        self._by_comment = name
        self._begin(name)

    def _put(self, name: str, line: str, added: list[tuple[str, str]]) -> None:
        parts = self._texts[name]
        if line.strip():
            text = f"{self._ends}{line}" if parts else line
            parts.append(text)
            added.append((name, text))
            self._ends = ""
        self._ends += "\n"
