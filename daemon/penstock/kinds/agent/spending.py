"""Whether an agent spent too much: by what its run was given, by what any run may, and by its tree.

Agents tell what they spent after they did, so a budget is overshot by one answer at least.
"""

from __future__ import annotations

from penstock.kinds.agent.inputs import AgentBudget
from penstock.pipeline import Budget, Run, RunView, judge_budget, spent_below


def overspent(view: RunView, own: AgentBudget, of_any: Budget) -> str:
    """The sentence that says so; "" while nothing is spent that should not be."""
    cost = _least(own.cost, of_any.cost)
    if cost is not None and view.cost > cost:
        return f"the agent spent {view.cost:.4g}, more than {cost:.4g}"
    tokens, limit = view.tokens_in + view.tokens_out, _least(own.tokens, of_any.tokens)
    if limit is not None and tokens > limit:
        return f"the agent spent {tokens:,} tokens, more than {limit:,.0f}"
    return ""


def _least(*limits: float | None) -> float | None:
    return min((limit for limit in limits if limit is not None), default=None)


async def overspent_together(run: Run) -> str:
    """The same of the run's whole tree, of which agents may be many."""
    limits = run.config.models.tree_budget
    if limits.tokens is None and limits.cost is None:
        return ""
    # How long agents ask their models, they do not tell.
    limits = Budget(tokens=limits.tokens, cost=limits.cost, soft=limits.soft)
    verdict, why = judge_budget(limits, await spent_below(run.reads, run.root_id))
    if verdict != "refuse":
        return ""
    return f"{why} by {run.root_id} and all runs below it"
