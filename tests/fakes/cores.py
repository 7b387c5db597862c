"""A core in memory: fake processes and files, an inline store, virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from penstock.log.filters import RunFilter
from penstock.log.store import Store
from penstock.pipeline import Inputs, Kind, Output, Run
from penstock.runs.core import Core, Environment
from penstock.testing import FakeProcesses as FakeProcesses
from penstock.testing import memory_environment, open_test_core
from penstock.testing import virtual_now as virtual_now
from penstock.testing.in_memory import PATIENCE
from penstock.words.api import SubmitRequest
from penstock.words.recorded import Recorded


class Seconds(Inputs):
    """How long a fake run lasts, and what it does then."""

    seconds: float = 0.0
    fail: bool = False


class Nothing(Output):
    """Nothing to show."""


async def sleep(run: Run, inputs: Seconds) -> Nothing:
    """Sleep, then end or fail."""
    await trio.sleep(inputs.seconds)
    if inputs.fail:
        raise ValueError("asked to fail")
    return Nothing()


async def slow_to_leave(run: Run, _inputs: Seconds) -> Nothing:
    """Computes, the first time, and takes two seconds to unwind."""
    if run.attempt == 2:
        return Nothing()
    try:
        await trio.sleep(100)
    finally:
        with trio.move_on_after(2, shield=True):
            await trio.sleep(2)
    return Nothing()


def kind(name: str, pipeline: Callable[..., Awaitable[Output]], **others: Any) -> Kind:
    """A kind with the inputs of a fake run."""
    return Kind(name, name, Seconds, Nothing, pipeline, **others)


SLEEP = kind("sleep", sleep)


def fake_environment(processes: FakeProcesses | None = None) -> Environment:
    """A world in which nothing outside the process happens."""
    return memory_environment(processes or FakeProcesses())


@asynccontextmanager
async def open_fake_core(
    *kinds: Kind,
    store: Store | None = None,
    life: str = "life-1",
    environment: Environment | None = None,
    **settings: Any,
) -> AsyncIterator[Core]:
    """A core with these kinds (and `sleep`), on a store in memory unless one is given."""
    async with open_test_core(
        (SLEEP, *kinds), store=store, life=life, environment=environment, **settings
    ) as memory:
        yield memory.core


def request(
    kind: str = "sleep", run_id: str | None = None, **others: Any
) -> SubmitRequest:
    """A submit; what is not a field of the request is an input."""
    fields = {k: others.pop(k) for k in list(others) if k in SubmitRequest.model_fields}
    return SubmitRequest(kind=kind, run_id=run_id, inputs=others, **fields)


async def wait_ended(core: Core, *run_ids: str) -> None:
    """Wait on the log until these runs have ended."""
    with trio.fail_after(PATIENCE):
        for run_id in run_ids:
            with core.bus.subscribe(run_id, 0) as subscription:
                async for _ in subscription:
                    pass


async def whole_log(store: Store) -> list[Recorded]:
    """Every recorded fact."""
    facts: list[Recorded] = []
    while page := await store.read_all(facts[-1].position if facts else 0):
        facts += page
    return facts


async def types_of(core: Core, run_id: str) -> list[str]:
    """The types of a run's facts, in order."""
    return [fact.type for fact in await core.store.read(run_id)]


def everything(limit: int = 1000) -> RunFilter:
    return RunFilter(limit=limit)
