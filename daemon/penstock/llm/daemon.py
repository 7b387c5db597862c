"""The models of a daemon as its runs and its health see them; built once, by `service.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from penstock.llm.budget import Ledger
from penstock.llm.chain import Chain
from penstock.llm.models import ModelHealth
from penstock.llm.run_models import RunModels

if TYPE_CHECKING:
    from penstock.runs.run import Run

#: The question that a budget's soft line asks, once in the life of a run.
BUDGET_ASK = "budget"
GO_ON, STOP = "go on", "stop"


@dataclass(frozen=True, slots=True)
class DaemonModels:
    """What every run of a daemon shares of its models."""

    chain: Chain
    ledger: Ledger
    health: ModelHealth

    def for_run(self, run: Run) -> RunModels:
        """How one run asks models; a pipeline asks for it once and keeps it."""
        return RunModels(
            self.chain,
            self.ledger,
            run_id=run.run_id,
            root_id=run.execution.row.root_id,
            on_soft_line=partial(_ask_to_go_on, run),
        )

    async def probe(self) -> tuple[str | None, Mapping[str, str]]:
        """What is wrong with the models, if anything is, and how each one stands."""
        problems = await self.health.problems()
        stand = {
            name: "does not answer" if problems.get(link.engine.url) else "answers"
            for name, link in self.chain.links.items()
        }
        return "; ".join(filter(None, problems.values())) or None, stand


def make_daemon_models(chain: Chain) -> DaemonModels:
    """The chain with what is kept beside it."""
    config = chain.config
    ledger = Ledger(config.run_budget, config.tree_budget)
    return DaemonModels(chain, ledger, ModelHealth(chain))


async def _ask_to_go_on(run: Run, why: str) -> bool:
    # The answer given before a restart still holds.
    known = run.view.asks.get(BUDGET_ASK)
    answer = known.answer if known is not None else None
    if answer is None:
        question = f"{why}. Go on?"
        answer = await run.ask(BUDGET_ASK, question, choices=(GO_ON, STOP))
    return answer == GO_ON
