"""A core in memory whose runs ask a model server over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from fakes.cores import FakeProcesses, fake_environment, open_fake_core
from fakes.stores import inline_store
from penstock.llm.models import make_daemon_models, open_models
from penstock.log.store import Store
from penstock.pipeline import Kind
from penstock.runs.core import Core
from penstock.words.config import Models


@asynccontextmanager
async def open_model_core(
    url: str,
    *kinds: Kind,
    store: Store | None = None,
    life: str = "life-1",
    processes: FakeProcesses | None = None,
    **models: Any,
) -> AsyncIterator[Core]:
    """A core with these kinds and a chain of two models on this server; `models` adds to [models]."""
    config = Models(
        provider="ollama", url=url, chain=("mistral:7b", "qwen3:8b"), **models
    )
    async with open_models(config, {}) as chain:
        assert chain is not None
        environment = replace(
            fake_environment(processes), models=make_daemon_models(chain)
        )
        if store is not None:
            async with open_fake_core(
                *kinds, store=store, life=life, environment=environment
            ) as core:
                yield core
            return
        async with (
            inline_store(life=life) as own,
            open_fake_core(
                *kinds, store=own, life=life, environment=environment
            ) as core,
        ):
            yield core
