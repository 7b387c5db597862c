"""Coding agents as npm has them, ready for runs: on a PATH, and told of a scripted model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from hosts.host_programs import HOST_PROGRAMS, MODULES, PROCESSOR

#: The agents that a run knows by these names, and what npm calls them.
AGENTS = {
    "opencode": "opencode-ai",
    "codex": "@agentclientprotocol/codex-acp",
    "claude": "@agentclientprotocol/claude-agent-acp",
}


def environment_of_agents(node: str, home: Path, url: str) -> Mapping[str, str]:
    """What a person's shell has who installed all of them, and asks a model at this address."""
    for package in AGENTS.values():
        if not (MODULES / package).is_dir():
            pytest.skip(f"needs {package}: npm ci --ignore-scripts in tests/hosts/")
    folder = home / "agents"
    folder.mkdir()
    # What npm puts in its place without scripts says only that it is not there.
    program = MODULES / f"opencode-linux-{PROCESSOR}" / "bin" / "opencode"
    (folder / "opencode").symlink_to(program)
    environ: dict[str, str] = {}
    for name in AGENTS:
        host = HOST_PROGRAMS[name]
        host.prepare(home, url)
        environ |= host.environ(url)
    places = (folder, MODULES / ".bin", Path(node).parent, os.environ["PATH"])
    path = ":".join(map(str, places))
    return {
        **environ,
        "HOME": str(home),
        # Where opencode was told of the model.
        "XDG_CONFIG_HOME": str(home / ".config"),
        "PATH": path,
        "USER": "somebody",
        "SHELL": "/bin/sh",
        # Claude Code works for root only where it is told that nothing can come of it.
        "IS_SANDBOX": "1",
    }
