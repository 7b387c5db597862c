"""Budgets over restarts and over trees of runs, in a core with virtual time (DS, issue of budgets)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
import trio.testing

from fakes.chains import CountingEngine, chain_of
from fakes.cores import (
    Nothing,
    Seconds,
    fake_environment,
    kind,
    open_fake_core,
    request,
    wait_ended,
)
from fakes.stores import inline_store
from penstock.llm.chain import Chain
from penstock.llm.chat import Message
from penstock.llm.durable import ASK, GO_ON, STOP
from penstock.llm.models import make_daemon_models
from penstock.log.projections import RunView
from penstock.log.store import Store
from penstock.pipeline import Run
from penstock.runs.core import Core
from penstock.words.config import Budget

Clock = trio.testing.MockClock


async def _ignore(_text: str) -> None:
    await trio.lowlevel.checkpoint()


async def ask_once(run: Run) -> None:
    await run.lm.complete([Message("user", "well?")], _ignore)


async def asks(run: Run, inputs: Seconds) -> Nothing:
    """Ask three times, in steps; then last some seconds."""
    for number in range(3):

        async def once() -> str:
            await ask_once(run)
            return "asked"

        await run.step(f"ask {number}", once)
    await trio.sleep(inputs.seconds)
    return Nothing()


async def parent(run: Run, _inputs: Seconds) -> Nothing:
    """Have children ask, one after the other."""
    for number in range(4):
        await run.spawn_run(str(number), "asks", {})
    return Nothing()


ASKS = kind("asks", asks)
PARENT = kind("parent", parent)


@asynccontextmanager
async def core_with(
    chain: Chain, store: Store, life: str = "life-1"
) -> AsyncIterator[Core]:
    environment = replace(fake_environment(), models=make_daemon_models(chain))
    async with open_fake_core(
        ASKS, PARENT, store=store, life=life, environment=environment
    ) as c:
        yield c


async def ended(core: Core, run_id: str) -> RunView:
    with trio.fail_after(10_000):
        await wait_ended(core, run_id)
    return await core.reader.view(run_id)


async def answer(core: Core, run_id: str, word: str) -> None:
    """Answer the question at the soft line, once it is asked."""
    with trio.fail_after(10_000):
        with core.bus.subscribe(run_id, 0) as subscription:
            async for batch in subscription:
                if any(fact.type == "ask.raised" for fact in batch.facts):
                    break
    await core.control.answer(run_id, ASK, word, "a person")


async def test_what_is_spent_is_a_fact_and_stands_in_the_view(
    autojump_clock: Clock,
) -> None:
    async with (
        inline_store() as store,
        core_with(chain_of(CountingEngine()), store) as core,
    ):
        await core.submitter.submit(request("asks", "r"))
        view = await ended(core, "r")
    assert (view.tokens_in, view.tokens_out) == (270, 30)
    assert (view.cost, view.model_seconds) == (3.0, 3.0)
    told = RunView.from_json(view.to_json())
    assert (told.tokens_in, told.cost) == (270, 3.0)


async def test_the_hard_line_refuses_the_next_request(autojump_clock: Clock) -> None:
    engine = CountingEngine()
    chain = chain_of(engine, run_budget=Budget(tokens=200, soft=1.0))
    async with inline_store() as store, core_with(chain, store) as core:
        await core.submitter.submit(request("asks", "r"))
        view = await ended(core, "r")
    assert view.state == "failed"
    assert (
        view.error == "no further request to a model: run: 200 of 200 tokens are spent"
    )
    assert engine.asked == 2


async def test_a_restart_forgets_nothing_that_was_spent(autojump_clock: Clock) -> None:
    """The second life begins with what the log says, and the steps of the first are not repeated."""
    engine = CountingEngine(seconds=10)
    chain = chain_of(engine, run_budget=Budget(tokens=200, soft=1.0))
    async with inline_store() as store:
        async with core_with(chain, store) as core:
            await core.submitter.submit(request("asks", "r"))
            # In the middle of the second request.
            await trio.sleep(15)
        async with core_with(chain, store, "life-2") as core:
            view = await ended(core, "r")
    assert view.state == "failed"
    assert "tokens are spent" in str(view.error)
    # One paid, one cut off by the stop and paid by our estimate, one of the second life.
    assert engine.asked == 3


async def test_what_was_cut_off_is_paid_for(autojump_clock: Clock) -> None:
    """A cancelled request was sent and partly answered: our estimate of it is a fact."""
    engine = CountingEngine(seconds=1000)
    async with (
        inline_store() as store,
        core_with(chain_of(engine), store) as core,
    ):
        await core.submitter.submit(request("asks", "r"))
        await engine.begun.wait()
        await core.control.cancel("r", "by a person", wait=True)
        view = await core.reader.view("r")
    assert view.state == "cancelled"
    assert view.tokens_in > 0
    assert view.tokens_out > 0


async def test_a_tree_pays_for_its_children_over_a_restart(
    autojump_clock: Clock,
) -> None:
    """Ended children of the first life count in the second."""
    engine = CountingEngine(seconds=10)
    chain = chain_of(engine, tree_budget=Budget(tokens=650, soft=1.0))
    async with inline_store() as store:
        async with core_with(chain, store) as core:
            await core.submitter.submit(request("parent", "r"))
            await ended(core, "r.0")
        async with core_with(chain, store, "life-2") as core:
            view = await ended(core, "r")
            third = await core.reader.view("r.2")
    assert view.state == "failed"
    assert "tree of runs" in str(third.error)
    assert engine.asked == 7


@pytest.mark.parametrize("word", [GO_ON, STOP])
async def test_at_the_soft_line_a_person_decides_for_the_whole_tree(
    autojump_clock: Clock, word: str
) -> None:
    engine = CountingEngine()
    chain = chain_of(engine, tree_budget=Budget(tokens=10_000, soft=0.02))
    async with inline_store() as store, core_with(chain, store) as core:
        await core.submitter.submit(request("parent", "r"))
        await answer(core, "r.0", word)
        view = await ended(core, "r")
    assert view.state == ("completed" if word == GO_ON else "failed")
    assert engine.asked == (12 if word == GO_ON else 2)


async def test_the_answer_at_the_soft_line_outlives_a_restart(
    autojump_clock: Clock,
) -> None:
    engine = CountingEngine(seconds=10)
    chain = chain_of(engine, tree_budget=Budget(tokens=10_000, soft=0.01))
    async with inline_store() as store:
        async with core_with(chain, store) as core:
            await core.submitter.submit(request("parent", "r"))
            await answer(core, "r.0", GO_ON)
            await trio.sleep(5)
        async with core_with(chain, store, "life-2") as core:
            view = await ended(core, "r")
    assert view.state == "completed"


class PreemptAtStep(trio.abc.Instrument):
    """Preempts the run when any task takes the so-manyth step: its own, or the writer's."""

    def __init__(self, core: Core, step: int) -> None:
        self._core = core
        self._left = step
        self.done = False

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        execution = self._core.table.executions.get("r")
        if execution is None or self.done:
            return
        self._left -= 1
        if not self._left:
            self.done = True
            execution.preempt("a test")


async def test_each_request_is_told_once_wherever_its_run_is_interrupted(
    autojump_clock: Clock,
) -> None:
    """No request is lost between its end and its fact, and none is told twice."""
    for step in range(1, 1000):
        engine = CountingEngine()
        async with inline_store() as store, core_with(chain_of(engine), store) as core:
            instrument = PreemptAtStep(core, step)
            trio.lowlevel.add_instrument(instrument)
            await core.submitter.submit(request("asks", "r"))
            view = await ended(core, "r")
            trio.lowlevel.remove_instrument(instrument)
            facts = await store.read("r")
        assert view.state == "completed", (step, view.error)
        told = [fact for fact in facts if fact.type == "model.used"]
        assert len(told) == engine.asked, step
        if not instrument.done:
            assert step > 20
            return
    raise AssertionError("it never came to its end")
