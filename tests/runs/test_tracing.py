"""Spans are made of recorded facts: their times, their parents, and nothing that a fault of theirs ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
import trio
import trio.testing

from fakes.cores import (
    Nothing,
    Seconds,
    fake_environment,
    kind,
    open_fake_core,
    request,
    wait_ended,
)
from penstock.kinds.command import KIND as COMMAND
from penstock.log.spans import TraceSpan
from penstock.pipeline import Run
from penstock.runs.core import Environment
from penstock.testing import FakeProcesses, memory_environment, open_memory_store
from penstock.words.events import ModelUsed
from penstock.words.surroundings import Surroundings, pack_environ
from penstock.words.trace_context import (
    TRACEPARENT,
    context_of_run,
    execution_context,
    read_traceparent,
)

Clock = trio.testing.MockClock
GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def work(run: Run, _inputs: Seconds) -> Nothing:
    """A step of three seconds, a request of one to a model in it, and a child."""

    async def think() -> None:
        await trio.sleep(2)
        await run.emit(ModelUsed(model="qwen", tokens_in=7, tokens_out=3, seconds=1))
        await trio.sleep(1)

    await run.step("think", think)
    await run.spawn_run("below", "sleep", {"seconds": 1})
    return Nothing()


WORK = kind("work", work, on_restart="requeue")


def tracing(
    told: list[TraceSpan], processes: FakeProcesses | None = None
) -> Environment:
    """A world in which spans are collected."""
    return replace(fake_environment(processes), tell_span=told.append)


def by_name(spans: list[TraceSpan]) -> dict[str, TraceSpan]:
    found = {span.name: span for span in spans}
    assert len(found) == len(spans)
    return found


async def test_a_run_is_told_with_all_that_was_done_in_it(
    autojump_clock: Clock,
) -> None:
    """HO-05: below who asked for it, each within what it was done in."""
    told: list[TraceSpan] = []
    async with open_fake_core(WORK, environment=tracing(told)) as core:
        made = request("work", "r", labels={"team": "a"}, traceparent=GIVEN)
        await core.submitter.submit(made)
        await wait_ended(core, "r")
        created_at = (await core.reader.view("r")).created_at
        child = await core.reader.view("r.below")
    assert created_at is not None
    mine, below = (
        by_name([s for s in told if s.attributes.get("penstock.run.id") == name])
        for name in ("r", "r.below")
    )
    run = mine["run work"]
    assert run.parent == read_traceparent(GIVEN)
    assert run.context == context_of_run("r", created_at, GIVEN)
    assert (run.began, run.kind) == (created_at, "consumer")
    assert run.attributes["penstock.run.state"] == "completed"
    assert run.attributes["penstock.label.team"] == "a"
    [execution] = [s for s in told if s.name == "execute work"]
    assert execution.context == execution_context(run.context, 1)
    assert execution.parent == run.context
    [step] = [s for s in told if s.name == "step think"]
    assert step.parent == execution.context
    assert step.ended - step.began == pytest.approx(
        timedelta(seconds=3), abs=timedelta(milliseconds=100)
    )
    [asked] = [s for s in told if s.name == "chat qwen"]
    assert (asked.parent, asked.kind) == (execution.context, "client")
    assert asked.ended - asked.began == timedelta(seconds=1)
    assert asked.attributes["gen_ai.usage.input_tokens"] == 7
    assert asked.attributes["gen_ai.usage.output_tokens"] == 3
    assert below["run sleep"].parent == execution.context
    assert child.traceparent == str(execution.context)
    assert {span.context.trace_id for span in told} == {run.context.trace_id}
    assert len({span.context.span_id for span in told}) == len(told)


async def test_a_run_that_fails_says_why(autojump_clock: Clock) -> None:
    """HO-05"""
    told: list[TraceSpan] = []
    async with open_fake_core(environment=tracing(told)) as core:
        await core.submitter.submit(request(run_id="bad", fail=True))
        await wait_ended(core, "bad")
        error = (await core.reader.view("bad")).error
    found = by_name(told)
    assert error is not None
    assert found["run sleep"].error == found["execute sleep"].error == error
    assert found["run sleep"].parent is None


async def test_a_run_that_never_began_has_one_span(autojump_clock: Clock) -> None:
    """HO-05"""
    told: list[TraceSpan] = []
    async with open_fake_core(environment=tracing(told), max_concurrent=1) as core:
        await core.submitter.submit(request(run_id="first", seconds=9))
        await core.submitter.submit(request(run_id="second", seconds=9))
        await core.control.cancel("second", "no")
    of = [s for s in told if s.attributes.get("penstock.run.id") == "second"]
    assert [(s.name, s.error) for s in of] == [("run sleep", None)]
    assert of[0].attributes["penstock.run.state"] == "cancelled"


async def test_no_execution_is_made_up_for_a_run_of_an_earlier_life(
    autojump_clock: Clock,
) -> None:
    """HO-05: it was executed, waits in line again, and is cancelled there by a daemon that saw none of it."""
    told: list[TraceSpan] = []
    async with open_memory_store(life="one") as store:
        async with open_fake_core(WORK, store=store, life="one") as core:
            await core.submitter.submit(request("work", "r"))
            await trio.sleep(1)
            await core.queue.pause()
        async with open_fake_core(
            WORK, store=store, life="two", environment=tracing(told)
        ) as core:
            await core.control.cancel("r", "no")
    assert [span.name for span in told] == ["run work"]


async def test_whoever_fails_to_take_a_span_ends_nothing(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """HO-05: it is told in the step of a commit, which must not break."""

    def broken(_span: TraceSpan) -> None:
        raise RuntimeError("out of order")

    world = replace(fake_environment(), tell_span=broken)
    async with open_fake_core(environment=world) as core:
        await core.submitter.submit(request(run_id="r", seconds=1))
        await wait_ended(core, "r")
        assert (await core.reader.view("r")).state == "completed"
    assert "a span was not told" in caplog.text


@pytest.mark.parametrize("traced", [True, False])
async def test_programs_are_told_where_they_stand(
    autojump_clock: Clock, traced: bool
) -> None:
    """HO-05: below the execution; where nobody traces, what the caller said goes on as it is."""
    processes, told = FakeProcesses(), list[TraceSpan]()
    world = tracing(told, processes) if traced else memory_environment(processes)
    caller = Surroundings(pack_environ({"A": "b", TRACEPARENT: "of the shell"}))
    async with open_fake_core(COMMAND, environment=world) as core:
        for run_id, traceparent, around in (
            ("bare", None, None),
            ("given", GIVEN, None),
            ("called", GIVEN, caller),
        ):
            made = request("command", run_id, argv=["env"], traceparent=traceparent)
            await core.submitter.submit(made, surroundings=around)
            await wait_ended(core, run_id)
        runs = [await core.reader.view(run_id) for run_id in ("bare", "given")]
    bare, given, called = processes.environs
    executions = [s.context for s in told if s.name == "execute command"]
    if traced:
        assert [e[TRACEPARENT] for e in (bare, given, called)] == list(
            map(str, executions)
        )
        assert [s.attributes["process.exit.code"] for s in told if s.name == "env"] == [
            0,
            0,
            0,
        ]
    else:
        assert TRACEPARENT not in bare
        assert given[TRACEPARENT] == called[TRACEPARENT] == GIVEN
    assert called["A"] == "b"
    assert [run.traceparent for run in runs] == [None, GIVEN]


async def test_a_restart_keeps_the_trace(autojump_clock: Clock) -> None:
    """HO-05: the executions of two lives stand in one run, and the first says how it ended."""
    told: list[TraceSpan] = []
    async with open_memory_store(life="one") as store:
        async with open_fake_core(
            WORK, store=store, life="one", environment=tracing(told)
        ) as core:
            await core.submitter.submit(request("work", "r", traceparent=GIVEN))
            await trio.sleep(1)
        async with open_fake_core(
            WORK, store=store, life="two", environment=tracing(told)
        ) as core:
            await wait_ended(core, "r")
    [run] = [s for s in told if s.name == "run work"]
    first, second = (s for s in told if s.name == "execute work")
    assert first.parent == second.parent == run.context
    assert run.parent == read_traceparent(GIVEN)
    assert (first.error, second.error) == ("requeued: shutdown", None)
    assert first.ended <= second.began
    assert [s.attributes["penstock.run.attempt"] for s in (first, second)] == [1, 2]
