"""The coding agents of this box: which are known, which are installed, and what keeps one from working."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from penstock.kinds.agent.presets import PRESETS_OF_AGENTS, AgentPreset
from penstock.words.plain_files import read_plain

#: Seconds for a program that only tells its version.
VERSION_SECONDS = 10.0
#: Folders above a program in which the file lies that npm describes it with.
MOST_FOLDERS = 6
_VERSION = re.compile(r"\d+(?:\.\d+)+[\w.+-]*")


@dataclass(frozen=True, slots=True)
class AgentHere:
    """An agent as this box has it."""

    name: str
    command: tuple[str, ...]
    #: The program; None: it is not installed.
    program: str | None
    #: Its version, and the one that was tried; "" if not known.
    version: str
    tried: str
    #: What brings it, and what logs its user in.
    install: str
    login: str
    #: What keeps it from working, as far as one sees without starting it.
    trouble: str

    def to_json(self) -> dict[str, Any]:
        """As data."""
        return asdict(self)


def look_for(preset: AgentPreset, environ: Mapping[str, str], node: str) -> AgentHere:
    """Look, without starting it. `node`: the version of Node that there is, "" if there is none."""
    own = PRESETS_OF_AGENTS.get(preset.name)
    if own is None or Path(next(iter(preset.command), "")).name != own.command[0]:
        # Of another program nothing is known: its version, what it needs, what brings it.
        preset = replace(preset, package="", version="", node=0, login="")
        own = None
    program = (
        shutil.which(preset.command[0], path=environ.get("PATH"))
        if preset.command
        else None
    )
    install = f"npm install -g {preset.package}" if preset.package else ""
    return AgentHere(
        preset.name,
        preset.command,
        program,
        ""
        if None in (program, own)
        else version_of(str(program), preset.package, environ),
        preset.version,
        install,
        preset.login,
        _trouble(preset, program, node),
    )


def node_version(environ: Mapping[str, str]) -> str:
    """The version of Node; "" if there is none that runs."""
    program = shutil.which("node", path=environ.get("PATH"))
    return "" if program is None else _told_version(program, environ)


def version_of(program: str, package: str, environ: Mapping[str, str]) -> str:
    """Of a package of npm as its file says, since some start to serve when they are asked; else as it tells itself."""
    if not package:
        return _told_version(program, environ)
    folder = Path(program).resolve().parent
    for above in (folder, *folder.parents)[:MOST_FOLDERS]:
        try:
            told = json.loads(read_plain(above / "package.json"))
        except (OSError, ValueError):
            continue
        if isinstance(told, dict) and told.get("name") == package:
            return str(told.get("version", ""))
    return ""


def _told_version(program: str, environ: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            [program, "--version"], env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=VERSION_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    found = _VERSION.search(done.stdout)
    return found[0] if found else ""


def _trouble(preset: AgentPreset, program: str | None, node: str) -> str:
    if not preset.command:
        return f"[agents.{preset.name}] says no command"
    if program is None:
        return "not installed"
    if not preset.node:
        return ""
    if not node:
        return f"needs Node {preset.node}, and there is none"
    if int(node.partition(".")[0]) < preset.node:
        return f"needs Node {preset.node}, and this is {node}"
    return ""
