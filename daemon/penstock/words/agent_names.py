"""The coding agents that are known by name; how each is started knows the kind `agent`."""

from __future__ import annotations

#: In the order in which people are told of them. Here for who completes a word: the kind takes a second to import.
AGENT_NAMES = (
    "claude", "codex", "opencode", "gemini", "qwen", "goose", "copilot", "cursor", "fast-agent", "kimi",
)  # fmt: skip
