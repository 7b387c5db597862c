"""Runs that wait for a moment, or are put aside: kept in the log, whatever happens to clock and daemon."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import trio
from pydantic import ValidationError

from fakes.cores import open_fake_core, request, types_of, virtual_now, wait_ended
from penstock.runs.core import Core
from penstock.testing import memory_environment, open_memory_store
from penstock.testing.fake_programs import FakeProcesses
from penstock.words.api import RearrangeRequest, SubmitRequest
from penstock.words.errors import Conflict, Terminal


async def started_after(core: Core, run_id: str) -> float:
    """Seconds of virtual time from the run's first fact to its start."""
    await wait_ended(core, run_id)
    view = await core.reader.view(run_id)
    assert view.started_at is not None
    assert view.created_at is not None
    return (view.started_at - view.created_at).total_seconds()


async def reasons(core: Core, run_id: str) -> list[str]:
    return [reason.code for reason in (await core.why(run_id)).reasons]


async def test_a_delayed_run_starts_at_its_moment(autojump_clock: Any) -> None:
    """DU-04: with slots free and nothing else happening."""
    async with open_fake_core() as core:
        await core.submitter.submit(request(run_id="later", delay=10_000.0))
        view = core.reader.open_view("later")
        assert view.not_before == virtual_now() + timedelta(seconds=10_000)
        assert "not_before" in await reasons(core, "later")
        assert 10_000 <= await started_after(core, "later") < 10_001


async def test_a_delayed_run_holds_up_nobody(autojump_clock: Any) -> None:
    """DU-04: who comes behind it, and is not delayed, goes first."""
    async with open_fake_core(max_concurrent=1) as core:
        await core.submitter.submit(request(run_id="later", delay=60.0))
        await core.submitter.submit(request(run_id="now"))
        assert await started_after(core, "now") < 1
        assert await started_after(core, "later") >= 60


async def test_who_waits_costs_no_commit_of_others(autojump_clock: Any) -> None:
    """DU-04: moments are looked through when one of them changes, and not with each fact of any run."""
    looks: list[str] = []
    async with open_fake_core() as core:
        core.table.on_moment = lambda: looks.append("moment")
        await core.submitter.submit(request(run_id="later", delay=60.0))
        assert looks == ["moment"]
        await core.submitter.submit(request(run_id="now", seconds=1))
        await wait_ended(core, "now")
        assert looks == ["moment"]
        await core.line.rearrange("later", RearrangeRequest(delay=90.0))
        await core.control.cancel("later", "no")
        assert looks == ["moment"] * 3


async def test_a_moment_survives_the_daemon(autojump_clock: Any) -> None:
    """DU-04: it is neither forgotten nor counted anew; one that passed meanwhile starts at once."""
    async with open_memory_store() as store:
        async with open_fake_core(store=store) as core:
            await core.submitter.submit(request(run_id="near", delay=60.0))
            await core.submitter.submit(request(run_id="far", delay=3600.0))
        await trio.sleep(600)
        async with open_fake_core(store=store, life="life-2") as core:
            assert 600 <= await started_after(core, "near") < 601
            assert 3600 <= await started_after(core, "far") < 3601


class SetClock:
    """A time of day that somebody sets."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> Any:
        return virtual_now() + self.ahead


@pytest.mark.parametrize("hours", [2, 30])
async def test_a_clock_that_is_set_forwards_is_noticed(
    autojump_clock: Any, hours: int
) -> None:
    """DU-04: as after a night's sleep of the machine; within seconds, and not after the rest."""
    from dataclasses import replace

    clock = SetClock()
    world = replace(memory_environment(FakeProcesses()), now=clock.now)
    async with open_fake_core(environment=world) as core:
        await core.submitter.submit(request(run_id="later", delay=3600.0))
        await trio.sleep(5)
        clock.ahead = timedelta(hours=hours)
        began = trio.current_time()
        await wait_ended(core, "later")
        assert trio.current_time() - began < 30


async def test_a_clock_that_is_set_back_starts_nothing_early(
    autojump_clock: Any,
) -> None:
    """DU-04: the moment is a time of day, also when it comes twice."""
    from dataclasses import replace

    clock = SetClock()
    world = replace(memory_environment(FakeProcesses()), now=clock.now)
    async with open_fake_core(environment=world) as core:
        await core.queue.pause()
        await core.submitter.submit(request(run_id="later", delay=60.0))
        await trio.sleep(90)
        clock.ahead = -timedelta(seconds=60)
        await core.queue.resume()
        await trio.sleep(20)
        assert "not_before" in await reasons(core, "later")
        began = trio.current_time()
        await wait_ended(core, "later")
        assert 9 <= trio.current_time() - began < 12


async def test_a_stashed_run_waits_for_a_person(autojump_clock: Any) -> None:
    """DU-04: over a restart too; `enqueue` puts it in line, once or with a moment."""
    async with open_memory_store() as store:
        async with open_fake_core(store=store) as core:
            await core.submitter.submit(request(run_id="aside", stashed=True))
            await trio.sleep(100)
        async with open_fake_core(store=store, life="life-2") as core:
            await trio.sleep(100)
            assert "stashed" in await reasons(core, "aside")
            await core.line.rearrange("aside", RearrangeRequest(delay=50.0))
            assert 250 <= await started_after(core, "aside") < 251
        assert await types_of(core, "aside") == [
            "run.queued",
            "run.rearranged",
            "run.started",
            "run.completed",
        ]


async def test_a_queued_run_can_be_stashed_and_enqueued(autojump_clock: Any) -> None:
    """DU-04, DU-05: twice is once, and what has ended or executes refuses."""
    async with open_fake_core(max_concurrent=1) as core:
        await core.submitter.submit(request(run_id="busy", seconds=10.0))
        await core.submitter.submit(request(run_id="r"))
        for _ in range(2):
            await core.line.rearrange("r", RearrangeRequest(stashed=True))
        await wait_ended(core, "busy")
        await trio.sleep(1)
        assert core.reader.open_view("r").stashed
        await core.queue.pause()
        for _ in range(2):
            await core.line.rearrange("r", RearrangeRequest(stashed=False))
        await core.queue.resume()
        await wait_ended(core, "r")
        assert (await types_of(core, "r")).count("run.rearranged") == 2
        with pytest.raises(Terminal):
            await core.line.rearrange("r", RearrangeRequest(stashed=True))
        await core.submitter.submit(request(run_id="runs", seconds=10.0))
        await trio.sleep(1)
        with pytest.raises(Conflict, match="running"):
            await core.line.rearrange("runs", RearrangeRequest(stashed=True))


async def test_a_stashed_run_is_cancelled_as_any_other(autojump_clock: Any) -> None:
    """DU-04, CC-01: and leaves no plan behind."""
    async with open_fake_core() as core:
        await core.submitter.submit(request(run_id="aside", stashed=True))
        await core.submitter.submit(request(run_id="then", after=("aside",)))
        receipt = await core.control.cancel("aside", "no", wait=True)
        assert receipt.outcome == "cancelled"
        assert (await core.reader.view("then")).state == "cancelled"


async def test_a_queue_with_a_stashed_run_cannot_be_drained(
    autojump_clock: Any,
) -> None:
    """DU-04: it would wait for ever."""
    async with open_fake_core() as core:
        await core.submitter.submit(request(run_id="aside", stashed=True))
        with pytest.raises(Conflict, match="stashed"):
            await core.queue.start_drain()


@pytest.mark.parametrize(
    "fields",
    [
        {"delay": -1.0},
        {"delay": float("inf")},
        {"delay": 1e12},
        {"delay": 1.0, "not_before": "2030-01-01T00:00:00Z"},
        {"not_before": "2030-01-01T00:00:00"},
        {"retries": -1},
        {"retries": 10**6},
        {"backoff": -1.0},
    ],
)
def test_what_is_no_moment_is_refused(fields: dict[str, Any]) -> None:
    """DU-04: before anything is recorded."""
    with pytest.raises(ValidationError):
        SubmitRequest(kind="sleep", **fields)
