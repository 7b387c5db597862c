"""What a shell shows when somebody presses Tab: the shells' scripts ask here, with each key.

The scripts give the line up to the cursor as `COMP_LINE` and get rows of `type`, value and help with tabs
between them. The types: `plain`, `file` and `dir` for names of files, and `program` for the arguments of
the program of this name, which its own completion knows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.shell_completion import (
    CompletionItem,
    ShellComplete,
    add_completion_class,
    split_arg_string,
)

#: shell -> its script, beside this file.
SCRIPTS: Mapping[str, Path] = {
    shell: Path(__file__).with_name("shells") / f"penstock.{shell}"
    for shell in ("bash", "zsh", "fish")
}
#: What a shell takes as it is; anything else is not offered, for it would want quotes.
_PLAIN = re.compile(r"[\w@%+=:,./~-]+")
_IN_QUOTES = re.compile(r"[\w@%+=:,./~ -]+")


def register() -> None:
    """Have click answer our scripts instead of its own."""
    for shell in SCRIPTS:
        add_completion_class(LineComplete, shell)


class LineComplete(ShellComplete):
    """Answers for a line as it stands before the cursor."""

    name = "line"
    source_template = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is begun, and that one."""
        line = os.environ.get("COMP_LINE", "")
        words = split_arg_string(line)
        if not words or (line[-1:].isspace() and not _goes_on(line)):
            words.append("")
        return words[1:-1], words[-1]

    def complete(self) -> str:
        """The rows. What goes wrong is nobody's affair in the midst of a line: nothing is offered."""
        args, begun = self.get_completion_args()
        flag, equals, value = begun.partition("=")
        # click completes the value alone, and the shells the word.
        joined = bool(equals) and flag.startswith("--")
        before = f"{flag}=" if joined else ""
        try:
            items = (
                self.get_completions([*args, flag], value)
                if joined
                else self.get_completions(args, begun)
            )
        except Exception:  # noqa: BLE001
            return ""
        cut = len(begun) - len(_fragment(begun))
        plain = _IN_QUOTES if " " in begun else _PLAIN
        rows = []
        for item in items:
            value = before + str(item.value)
            if item.type != "plain":
                value = str(item.value)
            elif plain.fullmatch(value) and value.startswith(begun):
                value = value[cut:]
            else:
                continue
            rows.append(self.format_completion(CompletionItem(value, item.type, item.help)))  # fmt: skip
        return "\n".join(rows)

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """A row."""
        words = " ".join((item.help or "").split())
        return "\t".join((item.type, item.value or "-", words)).rstrip()


def _fragment(begun: str) -> str:
    """What bash replaces of the word that is begun: it takes a colon and others for the end of a word.

    Not so an @, whatever it says.
    """
    shown = os.environ.get("COMP_CUR")
    if shown is None or shown.startswith(("'", '"')) or begun.startswith("@"):
        return begun
    if shown in (":", "="):
        return ""
    return shown if begun.endswith(shown) else begun


def _goes_on(line: str) -> bool:
    """Whether the space at its end is a part of a word, in quotes that are still open."""
    quote = ""
    for character in line:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
    return bool(quote)
