"""What `penstock doctor` looks at of coding agents: the program, its Node, whether it answers and lets you in."""

from __future__ import annotations

from penstock.cli.checks import Box, CheckResult, Findings


def check_agents(box: Box) -> Findings:
    """Each agent that is installed, or that the configuration names. It is started, and asked nothing."""
    # Late: nobody else needs the kind itself.
    from penstock.cli.agent_handshakes import shake_hands
    from penstock.cli.agents_here import look_for, node_version
    from penstock.cli.session import run_async
    from penstock.kinds.agent.presets import known_agents

    config, environ = box.config.agents, box.session.environ
    known = known_agents(config)
    node = node_version(environ)
    found = [look_for(preset, environ, node) for preset in known.values()]
    found = [a for a in found if a.program is not None or a.name in config.named]
    if not found:
        fix = "`penstock agents` says how each is installed, if you want one"
        yield CheckResult("agents", "ok", "none installed", fix)
        return
    for agent in run_async(lambda: shake_hands(found, known, environ)):
        about = f"{agent.name} {agent.version}".strip()
        if agent.trouble:
            fix = _fix(agent.trouble, agent.login, agent.install)
            yield CheckResult("agent", "warning", f"{about}: {agent.trouble}", fix)
        else:
            yield CheckResult("agent", "ok", f"{about} answers, and lets you in")


def _fix(trouble: str, login: str, install: str) -> str:
    if trouble.startswith("not logged in") and login:
        return f"`{login}`"
    if trouble.startswith("needs Node"):
        # npm takes an agent of long ago, without a word, where Node is too old for the newest.
        return f"install that Node or a newer one, then `{install}` again"
    if trouble == "not installed":
        return f"`{install}`" if install else "install it, or correct `[agents]`"
    if "says no command" in trouble:
        return "correct `[agents]`"
    return f"`{install}` brings the newest" if install else "correct `[agents]`"
