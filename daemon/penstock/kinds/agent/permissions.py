"""Whether an agent may do what it asks for: rules, of which the first that matches counts.

They guard against accidents: an agent tells itself what it is about to do.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict

from penstock.kinds.agent.offered import PermissionOption, mapping, mappings, text_of
from penstock.pipeline import ToolKind

Verdict = Literal["allow", "deny", "ask"]
PresetName = Literal["ask", "edit", "all", "none"]

#: Paths of one call that are looked at and told.
MOST_PATHS = 50
#: Characters of a title and of a path that are told.
LONGEST_TITLE = 500
_LONGEST_PATH = 4096

_TOOL_KINDS: frozenset[str] = frozenset(get_args(ToolKind))
#: Where agents put the paths of a call beside its locations.
_PATH_KEYS = (
    "path", "file_path", "filePath", "filepath", "abs_path", "notebook_path", "parentDir",
    "source", "destination", "old_path", "new_path",
)  # fmt: skip
#: What makes of a line several commands, or has it write somewhere.
_JOINED = re.compile(r"[;&|\n\r`<>]|\$\(")
#: Where in such a line another command may begin.
_BEGINNINGS = re.compile(r"[;&|\n\r`<>(){}\"']")
_SHELLS = {"sh", "bash", "zsh", "dash", "fish"}


class Rule(BaseModel):
    """One line of a policy; what it leaves out matches everything."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    do: Verdict
    tools: tuple[ToolKind, ...] = ()
    #: Globs: relative ones are of the tree, `**` is any number of folders.
    paths: tuple[str, ...] = ()
    #: Beginnings of commands, word by word.
    commands: tuple[str, ...] = ()


_WITHIN = ("**",)
#: What is written there is executed by whoever uses git next.
_OF_GIT = ("**/.git/**", "**/.git")

PRESETS: Mapping[PresetName, tuple[Rule, ...]] = {
    "ask": (
        Rule(do="allow", tools=("read", "search"), paths=_WITHIN),
        Rule(do="allow", tools=("think",)),
    ),
    "edit": (
        Rule(do="ask", tools=("edit", "move", "delete"), paths=_OF_GIT),
        Rule(do="allow", tools=("read", "search", "edit", "move", "delete"), paths=_WITHIN),
        Rule(do="allow", tools=("think",)),
    ),
    "all": (Rule(do="allow"),),
    "none": (Rule(do="deny"),),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class AgentAct:
    """What an agent does or wants to do, as far as it tells."""

    tool: ToolKind = "other"
    title: str = ""
    paths: tuple[str, ...] = ()
    #: The line it gives a shell; None if it tells of none.
    command: str | None = None
    input: dict[str, Any] = field(default_factory=dict)
    diff: str = ""

    def details(self) -> dict[str, Any]:
        """What a person should see before they answer."""
        return {
            "tool": self.tool,
            "title": self.title,
            "command": self.command or "",
            "paths": list(self.paths),
            "diff": self.diff,
        }

    def digest(self) -> str:
        """A short name of the act, the same for the same act in another life of the agent."""
        what = [self.tool, self.paths, self.command or self.title, self.input]
        text = json.dumps(what, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def read_act(call: Mapping[str, Any], diff: str = "") -> AgentAct:
    """The act that a tool call is."""
    raw = mapping(call.get("rawInput"))
    kind = text_of(call.get("kind"))
    return AgentAct(
        tool=cast("ToolKind", kind) if kind in _TOOL_KINDS else "other",
        title=text_of(call.get("title"))[:LONGEST_TITLE],
        paths=_paths(call, raw),
        command=_command(raw),
        input=dict(raw),
        diff=diff,
    )


def _paths(call: Mapping[str, Any], raw: Mapping[str, Any]) -> tuple[str, ...]:
    told = [place.get("path") for place in mappings(call.get("locations"))]
    told += [raw.get(key) for key in _PATH_KEYS]
    told += [
        part.get("path")
        for part in mappings(call.get("content"))
        if part.get("type") == "diff"
    ]
    paths = (path[:_LONGEST_PATH] for path in told if isinstance(path, str) and path)
    return tuple(dict.fromkeys(paths))[:MOST_PATHS]


def _command(raw: Mapping[str, Any]) -> str | None:
    told = raw.get("command", raw.get("cmd"))
    if isinstance(told, list) and told and all(isinstance(word, str) for word in told):
        shell = os.path.basename(told[0]) in _SHELLS
        if shell and len(told) == 3 and told[1] in ("-c", "-lc"):
            return str(told[2])
        return shlex.join(told)
    return told if isinstance(told, str) and told.strip() else None


def judge(
    act: AgentAct, rules: Iterable[Rule], tree: Path, otherwise: Verdict
) -> Verdict:
    """What the first matching rule says; `otherwise` if none matches.

    To allow, a rule must match all that the act touches; to deny or ask, any of it. So a call without
    a path is allowed by no rule about paths, and a line that joins commands by no rule about them.
    """
    real = [real_path(path, tree) for path in act.paths]
    base = os.path.realpath(tree)
    for rule in rules:
        if rule.tools and act.tool not in rule.tools:
            continue
        of_all = rule.do == "allow"
        if rule.paths and not _paths_match(real, rule.paths, base, of_all=of_all):
            continue
        if rule.commands and not _command_matches(act, rule.commands, exact=of_all):
            continue
        return rule.do
    return otherwise


def real_path(path: str, tree: Path) -> str:
    """Where a path of a call leads, links resolved; one with NUL leads nowhere."""
    return os.path.realpath(os.path.join(tree, path.replace("\0", "\ufffd")))


def shown_path(path: str, tree: Path) -> str:
    """The path as a person would name it: from the tree on, if it is in it."""
    shown = os.path.normpath(os.path.join(tree, path))
    inside = shown == str(tree) or shown.startswith(f"{tree}{os.sep}")
    return os.path.relpath(shown, tree) if inside else shown


def _paths_match(
    paths: Sequence[str], globs: Sequence[str], base: str, *, of_all: bool
) -> bool:
    found = [any(_matches(path, glob, base) for glob in globs) for path in paths]
    return bool(found) and (all(found) if of_all else any(found))


def _matches(path: str, glob: str, base: str) -> bool:
    if glob.startswith("/"):
        return _pattern(glob).fullmatch(path) is not None
    if path != base and not path.startswith(base.rstrip(os.sep) + os.sep):
        return False
    return _pattern(glob).fullmatch(os.path.relpath(path, base)) is not None


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    """`*` and `?` stay within a folder's name; `**` is any number of folders, with all in the last."""
    parts = glob.removeprefix("./").rstrip("/").split("/")
    told = []
    for k, part in enumerate(parts):
        last = k == len(parts) - 1
        if part == "**":
            told.append(".*" if last else "(?:[^/]+/)*")
            continue
        name = re.sub(r"\\([*?])", lambda m: f"[^/]{'*' if m[1] == '*' else ''}", re.escape(part))  # fmt: skip
        told.append(name if last else name + "/")
    return re.compile("".join(told), re.DOTALL)


def _command_matches(act: AgentAct, beginnings: Sequence[str], *, exact: bool) -> bool:
    if exact:
        if act.command is None or _JOINED.search(act.command):
            return False
        lines = [act.command]
    else:
        # What an agent does not tell as a command it may tell as a title, and one is better than none.
        told = act.title if act.tool == "execute" else ""
        lines = _BEGINNINGS.split(act.command or told)
    return any(_begins(line, one) for line in lines for one in beginnings)


def _begins(line: str, beginning: str) -> bool:
    words, wanted = line.split(), beginning.split()
    return bool(wanted) and words[: len(wanted)] == wanted


def pick_option(
    options: Sequence[PermissionOption], verdict: Literal["allow", "deny"]
) -> str | None:
    """The option that answers so: for this once, if there is one; None if nothing says so."""
    word = "allow" if verdict == "allow" else "reject"
    for kind in (f"{word}_once", f"{word}_always"):
        for option in options:
            if option.kind == kind:
                return option.id
    return None
