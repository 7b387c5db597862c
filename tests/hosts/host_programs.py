"""The hosts as people have them: what each is started with, and where it is told of its model.

Nothing of the caller's environment reaches them, and of a model they know the scripted one and a key
that opens nothing. What would call home is turned off: there is no home to call.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).parent / "node_modules"
#: What packages for this processor have in their names.
PROCESSOR = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), "x64")
#: Opens nothing.
KEY = "sk-none"
#: Seconds for one session of a host.
SESSION_SECONDS = 180
PROMPT = "Go through the script."


@dataclass(frozen=True)
class HostProgram:
    """One host: its program in `node_modules`, and how it is run once, without a person."""

    #: What `penstock mcp config` calls it.
    name: str
    argv: tuple[str, ...]
    #: What it wants in its environment and files, for a model at this address.
    environ: Callable[[str], Mapping[str, str]]
    prepare: Callable[[Path, str], None] = lambda _home, _url: None

    def command(self, node: str) -> list[str]:
        program = str(MODULES / self.argv[0])
        return [*([node] if program.endswith(".js") else []), program, *self.argv[1:]]

    def run(
        self, node: str, home: Path, url: str, more: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """One session in the folder `work` of this home, whose configuration names Penstock already."""
        work = home / "work"
        work.mkdir(exist_ok=True)
        self.prepare(home, url)
        environ = {
            "HOME": str(home),
            "PATH": f"{Path(node).parent}:{os.environ['PATH']}",
            "USER": "somebody",
            "SHELL": "/bin/sh",
            "TERM": "dumb",
            "NO_COLOR": "1",
            **self.environ(url),
            **more,
        }
        return subprocess.run(
            self.command(node),
            cwd=work,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SESSION_SECONDS,
            check=False,
        )


def _claude(url: str) -> dict[str, str]:
    return {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": KEY,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        # Its own 5 s are over before a box at work has started a daemon; the first turn has no tools then.
        "MCP_CONNECT_TIMEOUT_MS": "60000",
    }


def _codex(_url: str) -> dict[str, str]:
    return {"SCRIPTED_KEY": KEY}


def _prepare_codex(home: Path, url: str) -> None:
    file = home / ".codex" / "config.toml"
    mine = (
        'model = "scripted"\nmodel_provider = "scripted"\ncheck_for_update_on_startup = false\n'
        f'[model_providers.scripted]\nname = "scripted"\nbase_url = "{url}/v1"\n'
        'env_key = "SCRIPTED_KEY"\nwire_api = "responses"\n[analytics]\nenabled = false\n'
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(mine + (file.read_text() if file.exists() else ""))


def _opencode(_url: str) -> dict[str, str]:
    return {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"}


def _prepare_opencode(home: Path, url: str) -> None:
    file = home / ".config" / "opencode" / "opencode.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    document = json.loads(file.read_text()) if file.exists() else {}
    options = {"baseURL": f"{url}/v1", "apiKey": KEY}
    provider = {"npm": "@ai-sdk/openai-compatible", "name": "scripted", "options": options,
                "models": {"scripted": {"name": "scripted"}}}  # fmt: skip
    document |= {"provider": {"scripted": provider}, "model": "scripted/scripted"}
    file.write_text(json.dumps({**document, "share": "disabled"}))


def _gemini(url: str) -> dict[str, str]:
    return {
        "GEMINI_API_KEY": KEY,
        "GOOGLE_GEMINI_BASE_URL": url,
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
    }


def _prepare_gemini(home: Path, _url: str) -> None:
    file = home / ".gemini" / "settings.json"
    document = json.loads(file.read_text())
    document |= {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "general": {"enableAutoUpdate": False, "disableUpdateNag": True},
        "privacy": {"usageStatisticsEnabled": False},
    }
    file.write_text(json.dumps(document))


HOST_PROGRAMS = {
    host.name: host
    for host in (
        HostProgram(
            "claude",
            (
                f"@anthropic-ai/claude-code-linux-{PROCESSOR}/claude",
                "--print", "--allowedTools", "mcp__penstock", "--model", "claude-sonnet-4-5", "--", PROMPT,
            ),
            _claude,
        ),
        HostProgram(
            "codex",
            (
                "@openai/codex/bin/codex.js",
                "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", PROMPT,
            ),
            _codex,
            _prepare_codex,
        ),
        HostProgram(
            "opencode",
            (f"opencode-linux-{PROCESSOR}/bin/opencode", "run", PROMPT),
            _opencode,
            _prepare_opencode,
        ),
        HostProgram(
            "gemini",
            ("@google/gemini-cli/bundle/gemini.js", "--yolo", "--model", "gemini-2.5-flash", "--prompt", PROMPT),
            _gemini,
            _prepare_gemini,
        ),
    )
}  # fmt: skip
