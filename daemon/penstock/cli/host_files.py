"""Hosts' own files: an entry is put in without touching the rest, and the file before is kept beside."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penstock.cli.mcp_hosts import SERVER, Host, Way, document_of, entry_of, table_of
from penstock.words.errors import Refused
from penstock.words.plain_files import read_plain, reason_of
from penstock.words.toml_text import parse_toml

#: What the name of the file before ends with.
BACKUP = ".before-penstock"
#: Bytes of a host's file: some keep their history in theirs.
MOST_HOST_BYTES = 64 * 1024 * 1024
#: Our table and those below it, to the next table of somebody else.
_TABLE = re.compile(
    rf"^[ \t]*\[mcp_servers\.{SERVER}(?:\.[^\]\n]*)?\][^\n]*\n?"
    rf"(?:(?![ \t]*\[)[^\n]*\n?)*",
    re.MULTILINE,
)


def write_entry(host: Host, way: Way, path: Path) -> bool:
    """Put the entry into the host's file; False if it is there already. Refused if that cannot be.

    A link is followed: files of this sort are often kept elsewhere.
    """
    path = path.resolve()
    try:
        before = read_plain(path, MOST_HOST_BYTES)
    except FileNotFoundError:
        before = ""
    except (OSError, ValueError) as error:
        raise Refused(str(path), f"cannot be read: {reason_of(error)}") from None
    after = with_entry(host, way, before, str(path))
    if after is None:
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if before:
            _replace(path.with_name(path.name + BACKUP), before, path)
        _replace(path, after, path)
    except OSError as error:
        raise Refused(str(path), f"cannot be written: {error}") from None
    return True


def with_entry(host: Host, way: Way, before: str, name: str) -> str | None:
    """The file with the entry in it; None if nothing is to change. Refused if it is not understood."""
    if host.toml:
        return _with_table(entry_of(host, way), before, name)
    try:
        document = json.loads(before) if before.strip() else {}
    except ValueError:
        document = None
    if not isinstance(document, dict):
        why = "is no plain JSON (it may have comments); add the entry by hand"
        raise Refused(name, why)
    told = _merged(document, document_of(host, way), name)
    if told == document:
        return None
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def _merged(
    old: Mapping[str, Any], new: Mapping[str, Any], name: str
) -> dict[str, Any]:
    """The old document with what is new in it; our entry is replaced whole."""
    told = dict(old)
    for key, value in new.items():
        there = told.get(key)
        if key == SERVER or there is None:
            told[key] = value
        elif isinstance(value, list) and isinstance(there, list):
            told[key] = [*there, *(one for one in value if one not in there)]
        elif isinstance(value, dict) and isinstance(there, dict):
            told[key] = _merged(there, value, name)
        elif not isinstance(value, str):
            raise Refused(name, f"its {key!r} is not what is expected there")
    return told


def _with_table(entry: Mapping[str, Any], before: str, name: str) -> str | None:
    try:
        there = parse_toml(before)
    except ValueError as error:
        raise Refused(name, f"is no TOML: {error}") from None
    servers = there.get("mcp_servers", {})
    if servers.get(SERVER) == entry:
        return None
    others = _TABLE.sub("", before).rstrip()
    after = f"{others}\n\n{table_of(dict(entry))}\n".lstrip()
    wanted = {**there, "mcp_servers": {**servers, SERVER: entry}}
    try:
        right = parse_toml(after) == wanted
    except ValueError:
        right = False
    if not right:
        why = f"has mcp_servers.{SERVER} in a form of its own; change it by hand"
        raise Refused(name, why)
    return after


def _replace(path: Path, text: str, like: Path) -> None:
    """Write the file whole, with the rights of another; for its owner alone if that is not there."""
    mode = like.stat().st_mode & 0o777 if like.exists() else 0o600
    fd, new = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), mode)
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise
