"""Backpressure told as events, once per crossing."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from fakes.cores import open_fake_core, request, whole_log
from penstock.log.new_events import new_event
from penstock.log.writes import Append
from penstock.runs.core import Core
from penstock.runs.gauges import Gauges
from penstock.runs.watermark import Level
from penstock.words.events import BackpressureCleared, BackpressureRaised, Log
from penstock.words.values import new_event_id

Clock = trio.testing.MockClock


async def told(core: Core) -> list[tuple[str, str, int]]:
    events = [f.event for f in await whole_log(core.store)]
    return [
        (e.gauge, e.level if isinstance(e, BackpressureRaised) else "cleared", e.used)
        for e in events
        if isinstance(e, BackpressureRaised | BackpressureCleared)
    ]


async def fill(core: Core, *numbers: int) -> None:
    for number in numbers:
        await core.submitter.submit(request(seconds=1e6, run_id=f"n{number}"))


async def test_a_filling_queue_is_told_at_80_and_at_100_percent(
    autojump_clock: Clock,
) -> None:
    """BP-01 TU-02"""
    async with open_fake_core(queue_capacity=10, max_concurrent=1) as core:
        await fill(core, *range(8))
        await trio.sleep(2)
        assert await told(core) == []
        await fill(core, 8)
        await trio.sleep(2)
        assert await told(core) == [("queue", "warning", 8)]
        await fill(core, 9, 10)
        await trio.sleep(2)
        assert (await told(core))[-1] == ("queue", "critical", 10)


async def test_swinging_around_the_mark_is_told_once_and_a_drain_within_a_second(
    autojump_clock: Clock,
) -> None:
    """BP-02"""
    async with open_fake_core(queue_capacity=100, max_concurrent=1) as core:
        await fill(core, *range(81))
        await trio.sleep(2)
        for number in range(100, 110):
            await core.control.cancel(f"n{number - 20}", "swing")
            await trio.sleep(0.5)
            await fill(core, number)
            await trio.sleep(0.5)
        assert [level for gauge, level, _ in await told(core) if gauge == "queue"] == [
            "warning"
        ]
        for number in range(1, 80):
            await core.control.cancel(f"n{number}", "drain")
        await trio.sleep(1)
        assert [level for gauge, level, _ in await told(core) if gauge == "queue"] == [
            "warning",
            "cleared",
        ]


async def test_the_gauges_of_two_cores_never_mix(autojump_clock: Clock) -> None:
    """BP-03"""
    async with (
        open_fake_core(queue_capacity=2, max_concurrent=1) as full,
        open_fake_core(queue_capacity=2, max_concurrent=1) as empty,
    ):
        await fill(full, 1, 2, 3)
        await trio.sleep(2)
        assert await told(full)
        assert await told(empty) == []


async def test_what_a_commit_has_taken_out_of_the_recorder_is_not_told_as_full(
    autojump_clock: Clock,
) -> None:
    """BP-01"""
    async with open_fake_core(recorder_capacity=5) as core:
        fact = new_event("daemon", Log(text="x"), now=core.now())
        # The writer sleeps, so that all five are of one batch: one that it took the first of alone
        # would leave four that do wait.
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                one = Append((fact._replace(event_id=new_event_id()),))
                nursery.start_soon(core.recorder.record, one)
        await trio.sleep(3)
        assert await told(core) == []


async def test_a_gauge_that_cannot_be_read_is_told_once_and_read_again(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """BP-03: no commit fails for it."""
    readings: list[Level | None] = [None, None, Level(9, 10), None]
    noted: list[str] = []

    def read() -> Level:
        level = readings.pop(0)
        if level is None:
            raise ZeroDivisionError("no statistics")
        return level

    gauges = Gauges({"broken": read}, lambda name, _edge: noted.append(name))
    for failures, told in ((1, []), (1, []), (1, ["backpressure broken"]), (2, noted)):
        gauges.touch()
        await trio.lowlevel.checkpoint()
        assert len(caplog.records) == failures
        assert noted == told
    assert "the gauge broken cannot be read" in caplog.messages[0]
