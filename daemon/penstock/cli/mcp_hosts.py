"""What each host of MCP servers wants written down, and where: entries as values, nothing is done here.

A host starts `penstock mcp` itself, or talks to the daemon's port. No entry holds the token: it comes
from the host's environment, or from `penstock token header`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Under which name hosts know the server.
SERVER = "penstock"
#: What hosts start servers without, and what says where the daemon is. Never the token.
LOCATING = (
    "XDG_STATE_HOME",
    "XDG_CONFIG_HOME",
    "PENSTOCK_STATE_DIR",
    "PENSTOCK_RUNTIME_DIR",
    "PENSTOCK_CONFIG",
    "PENSTOCK_URL",
)
#: What Codex is told to pass on of its own environment besides: it passes a dozen names unasked.
_PASSED_ON = (*LOCATING, "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK", "VIRTUAL_ENV")
#: For Claude Code: else its model is asked first without the tools, if the server is a second late.
_AT_ONCE = {"alwaysLoad": True}
_SCHEMA = "https://opencode.ai/config.json"

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Launch:
    """How a host starts the bridge: by its full path, since hosts have another PATH."""

    program: str
    arguments: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)

    def entry(self) -> Entry:
        told: Entry = {"command": self.program, "args": list(self.arguments)}
        return told | ({"env": dict(self.environ)} if self.environ else {})


@dataclass(frozen=True, slots=True)
class Port:
    """The daemon's port, and the command that prints the headers for it as JSON."""

    url: str
    header_command: str


Way = Launch | Port


@dataclass(frozen=True, slots=True)
class Host:
    """A host. `file` is where it reads servers, below HOME or, if it is a project's, the folder worked in."""

    name: str
    file: str | None
    #: Members from the top of the file down to the servers.
    place: tuple[str, ...] = ("mcpServers",)
    toml: bool = False
    of_project: bool = False

    def path(self, environ: Mapping[str, str], cwd: Path) -> Path | None:
        """The file it reads; None where each of its kind has another."""
        if self.file is None:
            return None
        if self.of_project:
            return cwd / self.file
        if self.name == "codex" and environ.get("CODEX_HOME"):
            return Path(environ["CODEX_HOME"]) / Path(self.file).name
        home = Path(environ.get("HOME") or Path.home())
        if self.file.startswith(".config/") and environ.get("XDG_CONFIG_HOME"):
            return Path(environ["XDG_CONFIG_HOME"]) / self.file.removeprefix(".config/")
        return home / self.file


HOSTS: dict[str, Host] = {
    host.name: host
    for host in (
        Host("claude", ".claude.json"),
        Host("codex", ".codex/config.toml", ("mcp_servers",), toml=True),
        Host("cursor", ".cursor/mcp.json"),
        Host("vscode", ".vscode/mcp.json", ("servers",), of_project=True),
        Host("opencode", ".config/opencode/opencode.json", ("mcp",)),
        Host("gemini", ".gemini/settings.json"),
        Host("zed", ".config/zed/settings.json", ("context_servers",)),
        Host("json", None),
    )
}


def entry_of(host: Host, way: Way) -> Entry:
    """The server's entry as this host has it."""
    if isinstance(way, Launch):
        return _launched(host, way)
    return _connected(host, way)


def _launched(host: Host, way: Launch) -> Entry:
    match host.name:
        case "claude":
            return {"type": "stdio", **way.entry(), **_AT_ONCE}
        case "vscode":
            return {"type": "stdio", **way.entry()}
        case "opencode":
            told: Entry = {"type": "local", "command": [way.program, *way.arguments]}
            return told | ({"environment": dict(way.environ)} if way.environ else {})
        case "zed":
            return {"source": "custom", **way.entry()}
        case "codex":
            # Else it goes on without the tools when the server is late, and says nothing.
            return {**way.entry(), "env_vars": list(_PASSED_ON), "required": True}
    return way.entry()


def _connected(host: Host, way: Port) -> Entry:
    def with_header(value: str) -> Entry:
        return {"url": way.url, "headers": {"Authorization": f"Bearer {value}"}}

    match host.name:
        case "claude":
            told = {"type": "http", "url": way.url, "headersHelper": way.header_command}
            return {**told, **_AT_ONCE}
        case "codex":
            told = {"url": way.url, "bearer_token_env_var": "PENSTOCK_TOKEN"}
            return {**told, "required": True}
        case "vscode":
            return {"type": "http", **with_header("${input:penstock-token}")}
        case "opencode":
            return {"type": "remote", **with_header("{env:PENSTOCK_TOKEN}")}
        case "gemini":
            header = with_header("$PENSTOCK_TOKEN")["headers"]
            return {"httpUrl": way.url, "headers": header}
        case "cursor":
            return with_header("${env:PENSTOCK_TOKEN}")
    return with_header("TOKEN")


def document_of(host: Host, way: Way) -> Entry:
    """A whole file of the host, with this server and no other."""
    document: Entry = {SERVER: entry_of(host, way)}
    for name in reversed(host.place):
        document = {name: document}
    if host.name == "opencode":
        document = {"$schema": _SCHEMA, **document}
    if host.name == "vscode" and isinstance(way, Port):
        return {"inputs": [_ASKED], **document}
    return document


_ASKED = {
    "type": "promptString",
    "id": "penstock-token",
    "description": "Penstock's token",
    "password": True,
}


def snippet(host: Host, way: Way) -> str:
    """What to paste: a line for the shell where the host has a command for it, else a part of its file."""
    if host.name == "claude":
        entry = json.dumps(entry_of(host, way), ensure_ascii=False)
        return shlex.join(["claude", "mcp", "add-json", SERVER, entry])
    if host.toml:
        return table_of(entry_of(host, way))
    return json.dumps(document_of(host, way), indent=2, ensure_ascii=False)


def table_of(entry: Entry) -> str:
    """The entry as TOML; its values are texts, lists of texts, booleans and tables of texts."""
    lines = [f"[mcp_servers.{SERVER}]"]
    lines += [f"{name} = {_toml(value)}" for name, value in entry.items()]
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{_toml(name)} = {_toml(one)}" for name, one in value.items())
        return "{ " + ", ".join(pairs) + " }"
    # JSON's texts, lists and booleans are TOML's too, but for characters that TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
