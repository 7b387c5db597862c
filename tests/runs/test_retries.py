"""Retries with backoff: executions of the same run, which ends once, after the last of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import trio

from fakes.contract import one
from fakes.cores import (
    Nothing,
    Seconds,
    kind,
    open_fake_core,
    request,
    types_of,
    wait_ended,
)
from fakes.stores import at, claim, enqueue, fact
from penstock.kinds.command import KIND as COMMAND
from penstock.log.projections import RunView
from penstock.log.writes import Release
from penstock.pipeline import Output, Run
from penstock.runs.worker import LONGEST_BACKOFF, next_try
from penstock.testing import open_memory_store
from penstock.testing.virtual_time import START
from penstock.words.errors import Refused
from penstock.words.events import RunRequeued


class Fails:
    """Fails a number of times, then completes."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.began: list[float] = []

    async def pipeline(self, _run: Run, _inputs: Seconds) -> Output:
        await trio.lowlevel.checkpoint()
        self.began.append(trio.current_time())
        if self.left:
            self.left -= 1
            raise ValueError("not yet")
        return Nothing()


async def test_a_run_that_fails_is_executed_again(autojump_clock: Any) -> None:
    """DU-04: the same run, with one terminal, after pauses that double; it says why it waits."""
    fails = Fails(2)
    async with open_fake_core(kind("flaky", fails.pipeline)) as core:
        await core.submitter.submit(
            request("flaky", run_id="r", retries=3, backoff=10.0)
        )
        await trio.sleep(5)
        why = await core.why("r")
        assert [r.code for r in why.reasons] == ["retry", "not_before"]
        assert "1 of 3" in why.reasons[0].text
        await wait_ended(core, "r")
        assert await types_of(core, "r") == [
            "run.queued", "run.started", "run.requeued", "run.resumed", "run.requeued",
            "run.resumed", "run.completed",
        ]  # fmt: skip
    first, second, third = fails.began
    assert 10 <= second - first < 11
    assert 20 <= third - second < 21


async def test_the_last_failure_ends_the_run(autojump_clock: Any) -> None:
    """DU-04: once, with its own error; and then only what depends on it is told."""
    fails = Fails(100)
    async with open_fake_core(kind("flaky", fails.pipeline)) as core:
        await core.submitter.submit(
            request("flaky", run_id="r", retries=2, backoff=0.0)
        )
        await core.submitter.submit(request(run_id="then", after=("r",)))
        await wait_ended(core, "r", "then")
        view = await core.reader.view("r")
        assert (view.state, view.attempt, view.retried) == ("failed", 3, 2)
        types = await types_of(core, "r")
        assert types.count("run.failed") == 1
        assert types[-1] == "run.failed"
        then = await core.reader.view("then")
        assert then.state == "cancelled"


async def test_a_run_without_retries_fails_at_once(autojump_clock: Any) -> None:
    """DU-04"""
    async with open_fake_core() as core:
        await core.submitter.submit(request(run_id="r", fail=True))
        await wait_ended(core, "r")
        assert (await types_of(core, "r"))[-1] == "run.failed"


async def test_a_run_between_two_executions_is_cancelled_at_once(
    autojump_clock: Any,
) -> None:
    """DU-04, CC-01: there is nothing to wait for, and nothing comes after it."""
    fails = Fails(100)
    async with open_fake_core(kind("flaky", fails.pipeline)) as core:
        await core.submitter.submit(
            request("flaky", run_id="r", retries=5, backoff=100.0)
        )
        await trio.sleep(50)
        receipt = await core.control.cancel("r", "enough", wait=True)
        assert receipt.proves_end
        await trio.sleep(1000)
        assert len(fails.began) == 1
        assert (await types_of(core, "r"))[-1] == "run.cancelled"


async def test_a_cancel_while_it_executes_leaves_no_retry(autojump_clock: Any) -> None:
    """DU-04, law 2: a request comes before a failure, and before its retry."""
    async with open_fake_core() as core:
        await core.submitter.submit(
            request(run_id="r", seconds=50.0, fail=True, retries=5, backoff=0.0)
        )
        await trio.sleep(1)
        await core.control.cancel("r", "enough", wait=True)
        assert (await types_of(core, "r"))[-1] == "run.cancelled"


async def test_the_next_execution_is_kept_over_a_restart(autojump_clock: Any) -> None:
    """DU-04: its moment, and how many are left."""
    async with open_memory_store() as store:
        fails = Fails(100)
        flaky = kind("flaky", fails.pipeline)
        async with open_fake_core(flaky, store=store) as core:
            await core.submitter.submit(
                request("flaky", run_id="r", retries=2, backoff=100.0)
            )
            await trio.sleep(10)
        async with open_fake_core(flaky, store=store, life="life-2") as core:
            await wait_ended(core, "r")
            assert (await core.reader.view("r")).attempt == 3
    first, second, third = fails.began
    assert 100 <= second - first < 101
    assert 200 <= third - second < 201


async def test_a_failure_that_is_tried_again_is_no_crash(autojump_clock: Any) -> None:
    """DU-04, law 5: nor is a stop of the daemon; only crashes fail a run that is put in line again."""
    async with open_memory_store() as store:
        await one(
            store,
            enqueue("r", kind="sleep", inputs={"seconds": 1.0}, on_restart="requeue"),
        )
        retried = RunRequeued(reason="retry", not_before=at())
        stopped, crashed = (RunRequeued(reason=r) for r in ("shutdown", "crash"))
        for again in (retried, retried, stopped, crashed):
            [row] = (await one(store, claim(kinds=("sleep",), seconds=1))).started
            await one(store, Release(row.fence, fact("r", again)))
        await one(store, claim(kinds=("sleep",), seconds=1))
        async with open_fake_core(store=store, life="life-2") as core:
            await wait_ended(core, "r")
            assert (await core.reader.view("r")).state == "completed"


async def test_a_run_that_used_its_time_up_is_not_repeated(autojump_clock: Any) -> None:
    """DU-04, SC-06: its timeout is that of all executions together."""
    async with open_fake_core() as core:
        await core.submitter.submit(
            request(run_id="r", seconds=50.0, timeout=10.0, retries=5, backoff=0.0)
        )
        await wait_ended(core, "r")
        view = await core.reader.view("r")
        assert (view.state, view.reason, view.attempt) == ("failed", "timeout", 1)


async def test_a_new_run_of_a_person_has_the_same_retries(autojump_clock: Any) -> None:
    """DU-04: `retry` by a person is a new run, as it always was."""
    async with open_fake_core() as core:
        await core.submitter.submit(
            request(run_id="r", fail=True, retries=1, backoff=3.0)
        )
        await wait_ended(core, "r")
        again = (await core.submitter.retry("r")).view
        assert (again.retry_of, again.retries, again.backoff) == ("r", 1, 3.0)


async def test_what_takes_input_is_not_tried_again(autojump_clock: Any) -> None:
    """DU-04: what was sent to the first execution is recorded nowhere."""
    async with open_fake_core(COMMAND) as core:
        with pytest.raises(Refused, match="retries"):
            await core.submitter.submit(
                request("command", argv=["cat"], cwd="/", stdin="open", retries=1)
            )


def test_pauses_double_up_to_an_hour() -> None:
    """DU-04: however many there were."""
    pauses = []
    for retried in (0, 1, 5, 20, 900):
        view = RunView("r", retries=1000, backoff=10.0, retried=retried)
        moment = next_try(view, START)
        assert moment is not None
        pauses.append(moment - START)
    hour = timedelta(seconds=LONGEST_BACKOFF)
    assert pauses == [
        timedelta(seconds=10),
        timedelta(seconds=20),
        timedelta(seconds=320),
        hour,
        hour,
    ]
    long = RunView("r", retries=3, backoff=7200.0, retried=1)
    assert next_try(long, START) == START + timedelta(hours=2)
    assert next_try(RunView("r", retries=3, retried=3), START) is None


async def test_a_pause_that_is_over_before_it_is_on_record_is_heeded(
    autojump_clock: Any,
) -> None:
    """DU-04: with a store that takes longer than the pause, and nothing else that wakes the queue."""
    fails = Fails(1)
    async with open_memory_store(delay=lambda: 0.5) as store:
        async with open_fake_core(kind("flaky", fails.pipeline), store=store) as core:
            await core.submitter.submit(
                request("flaky", run_id="r", retries=1, backoff=0.1)
            )
            with trio.fail_after(60):
                await wait_ended(core, "r")
    first, second = fails.began
    assert second - first < 5
