"""What a question is about beside its words: the tool, the command, the paths, the diff. Values in, values out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: The choices of a question whether something may be done.
ALLOW, DENY = "allow", "deny"


def is_permission(choices: Sequence[str]) -> bool:
    """Whether it is answered by allowing or denying, and by nothing else."""
    return tuple(choices) == (ALLOW, DENY)


@dataclass(frozen=True, slots=True)
class AskDetails:
    """A question's details as far as they are understood; the rest of them is not looked at."""

    tool: str = ""
    title: str = ""
    command: str = ""
    paths: tuple[str, ...] = ()
    diff: str = ""

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> AskDetails:
        """What stands in `details`, whoever wrote it."""
        paths = data.get("paths")
        return cls(
            tool=_text(data.get("tool")),
            title=_text(data.get("title")),
            command=_command(data.get("command")),
            paths=tuple(dict.fromkeys(path for path in paths if isinstance(path, str)))
            if isinstance(paths, list | tuple)
            else (),
            diff=_text(data.get("diff")),
        )

    def __bool__(self) -> bool:
        return self != NOTHING

    def particulars(self, question: str = "") -> Iterator[tuple[str, str]]:
        """What there is beside the diff, a name and a value; what the question says already is left out."""
        if self.tool:
            yield "tool", self.tool
        if self.title and self.title not in question:
            yield "title", self.title
        if self.command:
            yield "command", self.command
        for path in self.paths:
            if path != self.title or self.title not in question:
                yield "file", path

    def told_with(self, question: str, most: int) -> str:
        """The question and all of it as one text of at most so many characters of details."""
        lines = [f"{name}: {value}" for name, value in self.particulars(question)]
        text = "\n".join([*lines, *([self.diff] if self.diff else [])])
        if len(text) > most:
            text = f"{text[:most]}\n(and {len(text) - most} more characters)"
        return f"{question}\n\n{text}" if text else question


NOTHING = AskDetails()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _command(value: Any) -> str:
    """A command line, or the words of one."""
    if isinstance(value, list | tuple):
        return shlex.join(str(word) for word in value)
    return _text(value)
