"""The unit files of the user service: as they are shipped, and as this user needs them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import penstock
from penstock.words.address import Paths
from penstock.words.errors import NotFound

if TYPE_CHECKING:
    from penstock.words.config import Config

SERVICE = "penstock.service"
SOCKET = "penstock.socket"
UNITS = (SOCKET, SERVICE)

# The first line of a unit that was written. A socket has none: it would be opened anew at each upgrade.
_WRITTEN_BY = "# Written by penstock "

#: Folders by which the command line and the service must agree on where the daemon lives.
_FOLDERS = ("XDG_CONFIG_HOME", "XDG_STATE_HOME")


def unit_folder(environ: Mapping[str, str]) -> Path:
    """Where the user's own units live."""
    home = environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "systemd" / "user"


def read_template(name: str) -> str:
    """A unit as it is shipped: from the checkout we run in, else from what was installed."""
    beside = Path(penstock.__file__).parents[2] / "systemd" / name
    for path in (beside, *_installed(name)):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise NotFound(f"the unit {name} was not installed with Penstock")


def _installed(name: str) -> list[Path]:
    # Late: a command that only looks for a unit needs none of it.
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        files = distribution("penstock").files or []
    except PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in files if file.name == name]


def render_units(
    argv: Sequence[str], config: Config, paths: Paths, environ: Mapping[str, str]
) -> dict[str, str]:
    """The units for this user, by their names."""
    lines = [f"ExecStart={' '.join(map(quoted, argv))}"]
    lines += [
        f"Environment={quoted(f'{name}={environ[name]}', dollars=False)}"
        for name in _FOLDERS
        if environ.get(name)
    ]
    host = f"[{config.host}]" if ":" in config.host else config.host
    streams = [f"{host}:{config.port}", str(paths.socket).replace("%", "%%")]
    service = _with("ExecStart", lines, read_template(SERVICE))
    return {
        SERVICE: f"{_WRITTEN_BY}{penstock.__version__}\n{service}",
        SOCKET: _with(
            "ListenStream",
            [f"ListenStream={x}" for x in streams],
            read_template(SOCKET),
        ),
    }


def unit_difference(found: str, wanted: str) -> str:
    """How a unit that was written differs from the one that would be written now; empty if not.

    That another version wrote the same lines is no difference.
    """
    by, lines = _author(found)
    own, own_lines = _author(wanted)
    if lines == own_lines:
        return ""
    if by == own:
        return "the unit is not what `penstock service install` writes now"
    return f"the unit was written by penstock {by or 'of an older version'}, and this is {own}"


def _author(unit: str) -> tuple[str, str]:
    """The version that wrote a unit, and its lines without that."""
    first, _, rest = unit.partition("\n")
    if first.startswith(_WRITTEN_BY):
        return first.removeprefix(_WRITTEN_BY), rest
    return "", unit


def quoted(word: str, *, dollars: bool = True) -> str:
    """One word of a command line in a unit, whatever is in it."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if dollars:
        word = word.replace("$", "$$")
    return word if re.fullmatch(r"[\w@%$+=:,./-]+", word) else f'"{word}"'


def _with(key: str, lines: Sequence[str], template: str) -> str:
    """The template with these lines where it has those of the key."""
    kept: list[str] = []
    placed = False
    for line in template.splitlines():
        if not line.startswith(f"{key}="):
            kept.append(line)
        elif not placed:
            kept += lines
            placed = True
    return "\n".join(kept) + "\n"
