"""The coding agents that are known by name: how each is started so that it asks before it acts.

Agents decide themselves when they ask, so each is put into the mode in which it does. `version` is the
one that was tried; adapters change every week.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from penstock.pipeline import Refused

if TYPE_CHECKING:
    from penstock.pipeline import AgentProgram, Agents


@dataclass(frozen=True, slots=True)
class AgentPreset:
    """How an agent is started, and what of it one must know."""

    name: str
    #: Program and arguments, which speak the Agent Client Protocol.
    command: tuple[str, ...]
    #: What brings the program, as npm names it; "" where it is installed another way.
    package: str = ""
    #: The version that was tried; "" if none was.
    version: str = ""
    #: The oldest Node that it runs under; 0: it needs none.
    node: int = 0
    env: Mapping[str, str] = field(default_factory=dict)
    #: The mode in which it asks; "": it has no modes that matter.
    mode: str = ""
    #: The command by which its user logs in.
    login: str = ""
    #: Variables of the daemon's own environment that it is given.
    pass_env: tuple[str, ...] = ()
    #: Its runs that are alive at once; None: no limit.
    slots: int | None = None
    #: What it uses up, by the name that others share.
    quota: str = ""


_ASKING_OPENCODE = (
    '{"edit":"ask","bash":"ask","webfetch":"ask","external_directory":"ask"}'
)

PRESETS_OF_AGENTS: Mapping[str, AgentPreset] = {
    preset.name: preset
    for preset in (
        AgentPreset(
            "claude", ("claude-agent-acp",), "@agentclientprotocol/claude-agent-acp", "0.101.0",
            node=22, mode="default", login="claude /login",
        ),
        # Never its mode `agent`, in which a model of its own judges for the user.
        AgentPreset(
            "codex", ("codex-acp",), "@agentclientprotocol/codex-acp", "2.6.0",
            node=22, mode="workspace-write", login="codex login",
        ),
        AgentPreset(
            "opencode", ("opencode", "acp"), "opencode-ai", "1.18.33",
            env={"OPENCODE_PERMISSION": _ASKING_OPENCODE}, mode="build", login="opencode auth login",
        ),
        AgentPreset(
            "gemini", ("gemini", "--acp"), "@google/gemini-cli", "0.61.0",
            node=20, mode="default", login="gemini",
        ),
        AgentPreset(
            "qwen", ("qwen", "--acp"), "@qwen-code/qwen-code", "0.15.10",
            node=20, mode="default", login="qwen",
        ),
        AgentPreset("goose", ("goose", "acp"), env={"GOOSE_MODE": "approve"}, login="goose configure"),
        AgentPreset("copilot", ("copilot", "--acp"), "@github/copilot", node=22, login="copilot login"),
        AgentPreset("cursor", ("cursor-agent", "acp"), login="cursor-agent login"),
        AgentPreset("fast-agent", ("fast-agent-acp",), login="fast-agent setup"),
        AgentPreset("kimi", ("kimi", "acp"), login="kimi login"),
    )
}  # fmt: skip


def known_agents(config: Agents) -> dict[str, AgentPreset]:
    """Each agent there is, by its name, as the configuration has it."""
    found = dict(PRESETS_OF_AGENTS)
    for name, told in config.named.items():
        found[name] = _configured(found.get(name, AgentPreset(name, ())), told)
    return found


def find_agent(
    config: Agents, name: str | None, command: tuple[str, ...]
) -> AgentPreset:
    """The agent of this name, started by `command` if there is one. Refused names those there are."""
    if name is None:
        return AgentPreset("agent", command)
    known = known_agents(config)
    preset = known.get(name)
    if preset is None and not command:
        names = ", ".join(sorted(known))
        raise Refused("inputs.agent", f"{name!r} is not known; there are {names}")
    preset = preset or AgentPreset(name, ())
    preset = replace(preset, command=command or preset.command)
    if not preset.command:
        raise Refused("inputs.agent", f"[agents.{name}] says no command")
    return preset


def _configured(preset: AgentPreset, told: AgentProgram) -> AgentPreset:
    return replace(
        preset,
        command=told.command or preset.command,
        env={**preset.env, **told.env},
        pass_env=(*preset.pass_env, *told.pass_env),
        slots=told.slots or preset.slots,
        quota=told.quota or preset.quota,
    )
