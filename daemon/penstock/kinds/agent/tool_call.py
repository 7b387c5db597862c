"""A tool call of an agent, as it is told piece by piece, and as it is then told on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from penstock.kinds.agent.line_diff import unified_diff
from penstock.kinds.agent.offered import mapping, mappings, text_of
from penstock.kinds.agent.permissions import AgentAct, read_act, shown_path
from penstock.pipeline import ToolCalled

#: Bytes of a tool's input and output, and of a diff, that are kept.
LONGEST_INPUT = 16 * 1024
LONGEST_OUTPUT = 16 * 1024
LONGEST_DIFF = 64 * 1024
#: Characters of one text that are compared with another; a file beyond that is not told as a diff.
LONGEST_COMPARED = 1024 * 1024
#: Files that one call changes, as far as they are kept.
MOST_FILES = 100
_LONGEST_KIND = 50


@dataclass(eq=False, slots=True)
class AgentCall:
    """What is known of a tool call."""

    id: str
    life: int
    tree: Path
    known: dict[str, Any] = field(default_factory=dict)
    #: Its files as they were and are to be, by path.
    files: dict[str, tuple[str, str]] = field(default_factory=dict)
    #: The terminal's text, which some tell piece by piece.
    printed: str = ""
    asked: bool = False
    #: What was told of it last.
    told: ToolCalled | None = None

    def merge(self, update: Mapping[str, Any]) -> None:
        """What is told later replaces what was; what is left out stays."""
        for key, value in update.items():
            if key == "rawInput" and isinstance(value, dict):
                self.known[key] = {**mapping(self.known.get(key)), **value}
            elif value is not None and key not in ("sessionUpdate", "_meta"):
                self.known[key] = value
        for part in mappings(update.get("content")):
            if part.get("type") == "diff" and len(self.files) < MOST_FILES:
                texts = (text_of(part.get("oldText")), text_of(part.get("newText")))
                path = shown_path(text_of(part.get("path")), self.tree)
                self.files[path] = texts
        meta = mapping(update.get("_meta"))
        for key in ("terminal_output_delta", "terminal_output"):
            piece = text_of(mapping(meta.get(key)).get("data"))
            self.printed = (self.printed + piece)[-LONGEST_OUTPUT:]

    @property
    def act(self) -> AgentAct:
        """What it does; what it changes is in `diff`."""
        act = read_act(self.known)
        paths = (*act.paths, *(path for path in self.files))
        return replace(act, paths=tuple(dict.fromkeys(paths))[:MOST_FILES])

    @property
    def name(self) -> str:
        """Its id among those of all lives."""
        return f"{self.life}.{self.id}"

    def to_tell(self) -> ToolCalled:
        """The fact of it, as far as it is known."""
        act = self.act
        return ToolCalled(
            call=self.name,
            title=act.title,
            tool=act.tool,
            paths=tuple(
                dict.fromkeys(shown_path(path, self.tree) for path in act.paths)
            ),
            input=_cut_input(act.input),
            asked=self.asked,
        )

    @property
    def output(self) -> str:
        """The end of what it printed, wherever that is told."""
        parts = [
            shown_content(mapping(part.get("content")))
            for part in mappings(self.known.get("content"))
            if part.get("type") == "content"
        ]
        if text := "\n".join(part for part in parts if part):
            return _end_of(text)
        raw = self.known.get("rawOutput")
        told = (raw, *(mapping(raw).get(key) for key in _OUTPUT_KEYS))
        texts = (text for text in map(text_of, told) if text)
        return _end_of(self.printed or next(texts, ""))

    @property
    def diff(self) -> str:
        """What it changes, by the texts that are told of its files."""
        told, size = [], 0
        for path, (old, new) in self.files.items():
            told.append(_diff_of(path, old, new))
            size += len(told[-1])
            if size > LONGEST_DIFF:
                break
        if not told:
            told = [text_of(mapping(self.known.get("rawInput")).get("diff"))]
        return _beginning("".join(told), LONGEST_DIFF)


#: Where agents put what a tool printed, if it is no text itself.
_OUTPUT_KEYS = ("output", "stdout", "error", "message")


def _diff_of(path: str, old: str, new: str) -> str:
    if max(len(old), len(new)) > LONGEST_COMPARED:
        return f"{json.dumps(path)} is too long to be compared\n"
    return unified_diff(old, new, path)


def shown_content(content: Mapping[str, Any]) -> str:
    """What a block says, or what it is."""
    kind = text_of(content.get("type"))
    if kind == "text":
        return text_of(content.get("text"))
    if kind == "resource_link":
        return f"[{text_of(content.get('name'))}]({text_of(content.get('uri'))})"
    if kind == "resource":
        return text_of(mapping(content.get("resource")).get("text")) or "[resource]"
    return f"[{kind[:_LONGEST_KIND]}]" if kind else ""


def _cut_input(value: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(value, ensure_ascii=False)
    if len(text.encode()) <= LONGEST_INPUT:
        return value
    return {"cut": _beginning(text, LONGEST_INPUT)}


def _beginning(text: str, most: int) -> str:
    """The beginning of a text, of at most so many bytes."""
    data = text.encode()
    return text if len(data) <= most else data[:most].decode("utf-8", "ignore")


def _end_of(text: str) -> str:
    """The end of what was printed, which says how it went."""
    data = text.encode()
    if len(data) <= LONGEST_OUTPUT:
        return text
    return "…" + data[-LONGEST_OUTPUT + 3 :].decode("utf-8", "ignore")
