"""How soon a model server sees that a run was cancelled, and whether any goes on generating (QA-06)."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from fakes.model_server import ModelServer, start_model_server
from penstock.llm.budget import Spending
from penstock.llm.chain import Chain
from penstock.llm.models import open_models
from penstock.llm.run_models import RunModels, load_programs
from penstock.words.config import Budget, Models

RUNS = 1000
AT_ONCE = 4


async def main(server: ModelServer) -> None:
    await load_programs()
    for provider, path in (("ollama", ""), ("openai", "/v1")):
        config = Models.model_validate(
            {"provider": provider, "url": server.url + path, "chain": ["mistral:7b"]}
        )
        server.reset()
        server.script(
            {"text": "[[ ## answer ## ]]\n" + "word " * 10_000, "delay": 0.01}
        )
        async with open_models(config, {}) as chain:
            assert chain is not None
            cancelled: dict[str, float] = {}
            limiter = trio.CapacityLimiter(AT_ONCE)
            async with trio.open_nursery() as nursery:
                for number in range(RUNS):
                    nursery.start_soon(
                        cancel_one, chain, f"run {number}", cancelled, limiter
                    )
        await report(provider, server, cancelled)


async def cancel_one(
    chain: Chain, name: str, cancelled: dict[str, float], limiter: trio.CapacityLimiter
) -> None:
    async with limiter:
        models = RunModels(
            chain, Spending(Budget(), Budget()), run_id=name, root_id=name
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, models, name)
            await trio.sleep(random.uniform(0.0, 0.1))
            cancelled[name] = time.monotonic()
            nursery.cancel_scope.cancel()


async def ask(models: RunModels, name: str) -> None:
    await models.ask(
        "question -> answer", inputs={"question": f"<{name}>"}, on_delta=ignore
    )


async def ignore(field: str, text: str, attempt: int) -> None:
    await trio.lowlevel.checkpoint()


async def report(
    provider: str, server: ModelServer, cancelled: dict[str, float]
) -> None:
    await trio.sleep(1)
    log = server.log()
    going_on = sum(record["state"] == "generating" for record in log)
    waits = []
    for record in log:
        text = record["messages"][-1]["content"]
        name = text[text.index("<") + 1 : text.index(">")]
        if "closed_at" in record:
            waits.append(1000 * (record["closed_at"] - cancelled[name]))
    waits.sort()
    p50, p99 = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
    print(
        f"{provider}: {len(cancelled)} cancels, {len(log)} had reached the server, {going_on} still "
        f"generating; socket seen closed p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {waits[-1]:.1f} ms"
    )


if __name__ == "__main__":
    with start_model_server() as running:
        trio.run(main, running)
