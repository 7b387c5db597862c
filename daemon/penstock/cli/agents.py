"""`penstock agents`: the coding agents that can be given something to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from penstock.cli.output import Column, emit, say, show_table
from penstock.cli.session import Session, json_option, pass_session, run_async
from penstock.words.errors import NotFound
from penstock.words.near_words import did_you_mean

if TYPE_CHECKING:
    from penstock.cli.agents_here import AgentHere


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--check", is_flag=True,
    help="Start each that is installed, and see whether it answers and lets you in. It is asked nothing.",
)  # fmt: skip
@json_option
@pass_session
def agents(
    session: Session, names: tuple[str, ...], check: bool, as_json: bool
) -> None:
    """The coding agents that are known here: whether each is installed, in which version, and what it lacks.

    They are looked for on your PATH, which a run that you start gets. Others that speak the Agent Client
    Protocol are tables `[agents.NAME]` of the configuration, or `penstock run agent --command '…' "…"`.

    \b
    Examples: penstock agents
              penstock agents claude --check
    """
    # Late: nobody else needs the kind itself.
    from penstock.cli.agents_here import look_for, node_version
    from penstock.kinds.agent.presets import known_agents

    config, _ = session.config()
    known = known_agents(config.agents)
    for name in names:
        if name not in known:
            raise NotFound(f"no agent {name!r} is known{did_you_mean(name, known)}")
    node = node_version(session.environ)
    found = [
        look_for(preset, session.environ, node)
        for name, preset in known.items()
        if not names or name in names
    ]
    if check:
        from penstock.cli.agent_handshakes import shake_hands

        found = run_async(lambda: shake_hands(found, known, session.environ))
    if as_json:
        for agent in found:
            emit({**agent.to_json(), "node": node})
        return
    show_table([
        Column("AGENT", [agent.name for agent in found]),
        Column("INSTALLED", [_installed(agent) for agent in found]),
        Column("TRIED", [agent.tried for agent in found], spare=1),
        Column("WORKS", [agent.trouble or ("yes" if check else "") for agent in found], shrinks=True),
        Column("LOG IN WITH", [agent.login for agent in found], spare=2),
        Column("INSTALL WITH", [agent.install if agent.program is None else "" for agent in found], spare=3),
    ])  # fmt: skip
    if node:
        say(f"Node is {node}")


def _installed(agent: AgentHere) -> str:
    if agent.program is None:
        return "no"
    return agent.version or "yes"
