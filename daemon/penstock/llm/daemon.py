"""The models of a daemon as its runs and its health see them; built once, by `service.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.llm.chain import Chain
from penstock.llm.durable import DurableModels
from penstock.llm.models import ModelHealth, list_models
from penstock.llm.run_models import RunModels
from penstock.runs.run import Run


@dataclass(frozen=True, slots=True)
class DaemonModels:
    """What every run of a daemon shares of its models."""

    chain: Chain
    runs: DurableModels
    health: ModelHealth

    def for_run(self, run: Run) -> RunModels:
        """How one run asks models."""
        return self.runs.for_run(run)

    async def describe(self) -> list[dict[str, Any]]:
        """The models as surfaces list them, small to large."""
        return list_models(self.chain, await self.health.problems())

    async def probe(self) -> tuple[str | None, Mapping[str, str]]:
        """What is wrong with the models, if anything is, and how each one stands."""
        problems = await self.health.problems()
        stand = {
            name: "does not answer"
            if problems.get(model_client.engine.url)
            else "answers"
            for name, model_client in self.chain.model_clients.items()
        }
        return "; ".join(filter(None, problems.values())) or None, stand


def make_daemon_models(chain: Chain) -> DaemonModels:
    """The chain with what is kept beside it."""
    return DaemonModels(chain, DurableModels(chain), ModelHealth(chain))
