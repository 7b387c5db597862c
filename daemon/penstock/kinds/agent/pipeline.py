"""The kind `agent`: an existing coding agent does a task in a copy of a repository.

It is spoken to by the Agent Client Protocol, over a contained process. What is left of its work in the
end is a branch and a patch.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.kinds.agent.agent_run import AgentRun
from penstock.kinds.agent.allowance import AgentQuota
from penstock.kinds.agent.asking import PERMIT
from penstock.kinds.agent.conversation import sessions_of
from penstock.kinds.agent.inputs import AgentInputs, AgentOutput
from penstock.kinds.agent.presets import find_agent
from penstock.kinds.agent.tree import (
    AgentTree,
    commit_work,
    make_branch,
    open_tree,
    read_patch,
    rescued,
)
from penstock.pipeline import Kind, Refused, Run

#: Seconds that it may take to keep the work of a run that failed or was cancelled.
RESCUE_SECONDS = 20.0


async def agent(run: Run, inputs: AgentInputs) -> AgentOutput:
    """Have the agent do the task. What a run leaves that fails is kept; see `tree`."""
    preset = find_agent(run.config.agents, inputs.agent, tuple(inputs.command or ()))
    for kind in inputs.penstock_tools:
        if kind not in run.kinds:
            raise Refused("inputs.penstock_tools", f"{kind!r} is not installed")
    tree = await open_tree(run, inputs)
    if inputs.keep:
        run.keep_workspace()
    async with rescued(run, tree, RESCUE_SECONDS):
        if inputs.setup is not None:
            await _make_ready(run, inputs.setup, tree)
        within = inputs.quota_within if inputs.quota == "wait" else None
        quota = AgentQuota(run, preset.quota or preset.name, within)
        done = AgentRun(run, inputs, preset, tree, quota)
        await done.work()
        await run.progress("keeps the work")
        return await _conclude(done)


async def _make_ready(run: Run, argv: Sequence[str], tree: AgentTree) -> None:
    """Make the tree ready, once."""

    async def set_up() -> None:
        await run.exec(argv, cwd=tree.root)

    await run.step("setup", set_up)


async def _conclude(done: AgentRun) -> AgentOutput:
    """The work as a branch and a patch, and what it took."""
    run, inputs, tree = done.run, done.inputs, done.tree
    work = await commit_work(run, tree)
    branch = patch = ""
    if work.head != tree.base:
        branch = await _branch_of(done)
        text = await read_patch(run, tree, work.head)
        if text is None:
            await run.log("the patch is too large to be recorded\n")
        else:
            patch = "changes.patch"
            async with run.artifact(patch) as artifact:
                await artifact.write(text)
    async with run.artifact("report.md") as artifact:
        await artifact.write(f"# {inputs.prompt}\n\n{done.summary}\n")
    view = run.view
    sessions = sessions_of(view)
    return AgentOutput(
        agent=done.preset.name,
        stop_reason=done.stop_reason,
        summary=done.summary,
        session=sessions[-1]["session"] if sessions else "",
        files=list(work.files),
        added=work.added,
        removed=work.removed,
        branch=branch,
        head=work.head,
        base=tree.base,
        patch=patch,
        turns=done.turns,
        cost=view.cost,
        tokens=view.tokens_in + view.tokens_out,
        asked=sum(name.startswith(PERMIT) for name in view.asks),
        denied=done.denied,
        unasked=done.unasked,
    )


async def _branch_of(done: AgentRun) -> str:
    """The branch that was made in the repository; "" without one."""
    if done.tree.repository is None:
        done.run.keep_workspace()
        await done.run.log(f"the work is kept in {done.tree.root}\n")
        return ""
    branch = done.inputs.branch or f"penstock/{done.run.run_id}"
    return await make_branch(done.run, done.tree, branch)


KIND = Kind(
    name="agent",
    summary="Let a coding agent (Claude Code, Codex, opencode …) do a task in a copy of a repository.",
    inputs=AgentInputs,
    output=AgentOutput,
    pipeline=agent,
    on_restart="requeue",
    milestones=frozenset({"session", "silent"}),
    guarded=True,
)
