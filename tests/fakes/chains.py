"""Chains of models without a server: for tests under a mock clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from penstock.llm.chain import Chain
from penstock.llm.chat import (
    ChatRequest,
    Heard,
    OnHeard,
    Reply,
    ServerFacts,
    Usage,
)
from penstock.llm.model_client import ModelClient
from penstock.words.config import Budget, Models


@dataclass
class CountingEngine:
    """Answers `ok` after some virtual seconds, for 90 tokens of prompt and 10 of answer."""

    seconds: float = 1.0
    asked: int = 0
    url: str = "http://nowhere"
    #: Set when a request has begun.
    begun: trio.Event = field(default_factory=trio.Event)

    async def chat(self, request: ChatRequest, on_heard: OnHeard) -> Reply:
        self.asked += 1
        await on_heard(Heard("ok"))
        self.begun.set()
        await trio.sleep(self.seconds)
        return Reply("ok", "stop", Usage(90, 10, self.seconds))

    async def probe(self, _names: Sequence[str]) -> ServerFacts:
        await trio.lowlevel.checkpoint()
        return ServerFacts(frozenset({"small"}))

    async def busy_slots(self) -> int | None:
        return None

    async def count_tokens(self, _text: str) -> int | None:
        return None


def chain_of(
    engine: CountingEngine,
    *,
    run_budget: Budget | None = None,
    tree_budget: Budget | None = None,
) -> Chain:
    """A chain of one model whose answers cost 1.0 each."""
    model_client = ModelClient(
        "small", engine, 8192, trio.CapacityLimiter(4), price_in=10_000.0
    )
    model_client.price_out = 10_000.0
    config = Models(
        provider="ollama",
        chain=("small",),
        run_budget=run_budget or Budget(),
        tree_budget=tree_budget or Budget(),
    )
    return Chain([model_client], config)
