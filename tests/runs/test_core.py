"""Runs from submit to terminal, on a core in memory and virtual time."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from fakes.cores import (
    FakeProcesses,
    Nothing,
    Seconds,
    fake_environment,
    kind,
    open_fake_core,
    request,
    types_of,
    wait_ended,
    whole_log,
)
from penstock.log.filters import RunFilter
from penstock.pipeline import Run
from penstock.runs.core import Core
from penstock.words.errors import (
    NotAvailable,
    OtherInputs,
    QueueFull,
    Refused,
    RunNotFound,
    ShuttingDown,
    UnknownPrerequisite,
)

Clock = trio.testing.MockClock
FIVE = 5


async def submit_many(
    core: Core, count: int, seconds: float = 1000, **others: Any
) -> list[str]:
    ids = []
    for _ in range(count):
        submitted = await core.submitter.submit(request(seconds=seconds, **others))
        ids.append(submitted.view.run_id)
    return ids


async def state(core: Core, run_id: str) -> str | None:
    return (await core.reader.view(run_id)).state


async def test_a_run_goes_from_queued_to_its_one_terminal(
    autojump_clock: Clock,
) -> None:
    """TM-01 TM-02 CC-02 SC-03"""
    async with open_fake_core() as core:
        submitted = await core.submitter.submit(request(seconds=2))
        assert submitted.created
        assert submitted.view.state == "queued"
        await wait_ended(core, submitted.view.run_id)
        assert await types_of(core, submitted.view.run_id) == [
            "run.queued",
            "run.started",
            "run.completed",
        ]
        assert core.table.executions == {}
        assert core.table.views == {}


async def test_never_more_than_the_slots_execute(autojump_clock: Clock) -> None:
    """SC-03 D-06: ten long runs peak at five."""
    running = peak = 0

    async def count(_run: Run, _inputs: Seconds) -> Nothing:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await trio.sleep(10)
        running -= 1
        return Nothing()

    async with open_fake_core(kind("count", count)) as core:
        ids = [
            (await core.submitter.submit(request("count"))).view.run_id
            for _ in range(10)
        ]
        await wait_ended(core, *ids)
    assert peak == FIVE
    assert trio.current_time() < 21


async def test_the_101st_is_refused_or_waits(autojump_clock: Clock) -> None:
    """SC-01 SC-02 D-13: with the slots held, of 105 submits 100 queue and 5 wait."""
    async with open_fake_core() as core:
        held = await submit_many(core, FIVE)
        await submit_many(core, 100)
        with pytest.raises(QueueFull):
            await core.submitter.submit(request(seconds=1))
        entered: list[int] = []

        async def wait_in_line(number: int) -> None:
            await core.submitter.submit(
                request(seconds=1, run_id=f"w{number}"), wait=True
            )
            entered.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(FIVE):
                nursery.start_soon(wait_in_line, number)
                await trio.testing.wait_all_tasks_blocked()
            statistics = core.statistics()
            assert (statistics.queued, statistics.waiting_submits) == (100, 5)
            for number, run_id in enumerate(held, 1):
                await core.control.cancel(run_id, "make room", wait=True)
                await trio.testing.wait_all_tasks_blocked()
                assert entered == list(range(number))
                assert core.statistics().queued == 100


async def test_a_cancelled_submitter_leaves_no_run_and_no_place(
    autojump_clock: Clock,
) -> None:
    """SC-15"""
    async with open_fake_core(queue_capacity=1, max_concurrent=1) as core:
        held = await submit_many(core, 2)
        with trio.move_on_after(1):
            await core.submitter.submit(request(seconds=1, run_id="gone"), wait=True)
        await core.control.cancel(held[0], "x", wait=True)
        assert core.statistics().waiting_submits == 0
        await core.submitter.submit(request(seconds=1, run_id="next"))
        with pytest.raises(RunNotFound):
            await core.reader.view("gone")


async def test_the_most_important_goes_first_and_equals_in_order(
    autojump_clock: Clock,
) -> None:
    """SC-04 PR-01"""
    order: list[str] = []

    async def note(run: Run, _inputs: Seconds) -> Nothing:
        order.append(run.run_id)
        await trio.sleep(1)
        return Nothing()

    async with open_fake_core(kind("note", note), max_concurrent=1) as core:
        await submit_many(core, 1, seconds=5)
        for run_id, priority in (
            ("low", "LOW"), ("critical", "CRITICAL"), ("high", "HIGH"), ("high2", "HIGH"),
        ):  # fmt: skip
            await core.submitter.submit(request("note", run_id, priority=priority))
        await wait_ended(core, "low", "critical", "high", "high2")
    assert order == ["critical", "high", "high2", "low"]


async def test_a_run_that_raises_fails_alone(autojump_clock: Clock) -> None:
    """SC-05 D-06"""

    async def explode(_run: Run, _inputs: Seconds) -> Nothing:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise ValueError("in a group")

    async def leave(_run: Run, _inputs: Seconds) -> Nothing:
        raise SystemExit(3)

    async with open_fake_core(kind("explode", explode), kind("leave", leave)) as core:
        good = await submit_many(core, 1, seconds=5)
        for name in ("explode", "leave"):
            await core.submitter.submit(request(name, name))
            await wait_ended(core, name)
            view = await core.reader.view(name)
            assert (view.state, view.reason) == ("failed", "error")
        assert "in a group" in ((await core.reader.view("explode")).error or "")
        await wait_ended(core, *good)
        assert await state(core, good[0]) == "completed"


@pytest.mark.parametrize(("seconds", "expected"), [(2.0, "failed"), (0.5, "completed")])
async def test_a_deadline_ends_the_run_and_its_process(
    seconds: float, expected: str, autojump_clock: Clock
) -> None:
    """SC-06"""
    processes = FakeProcesses()

    async def program(run: Run, inputs: Seconds) -> Nothing:
        await run.exec(["program", str(inputs.seconds)])
        return Nothing()

    async with open_fake_core(
        kind("program", program), environment=fake_environment(processes)
    ) as core:
        began = trio.current_time()
        await core.submitter.submit(
            request("program", "p", seconds=seconds, timeout=1.0)
        )
        await wait_ended(core, "p")
        view = await core.reader.view("p")
        assert view.state == expected
        if expected == "failed":
            assert view.reason == "timeout"
            assert 1.0 <= trio.current_time() - began < 1.2
        assert processes.running == 0


async def test_a_timeout_of_0_fails_at_once_without_executing(
    autojump_clock: Clock,
) -> None:
    """SC-06"""
    async with open_fake_core() as core:
        submitted = await core.submitter.submit(
            request(seconds=1, timeout=0.0, run_id="z")
        )
        assert submitted.view.state == "failed"
        assert await types_of(core, "z") == ["run.queued", "run.failed"]


async def test_dependencies_start_after_their_prerequisites(
    autojump_clock: Clock,
) -> None:
    """SC-09"""
    async with open_fake_core() as core:
        await core.submitter.submit(request(seconds=5, run_id="first"))
        await core.submitter.submit(request(seconds=1, run_id="then", after=("first",)))
        await wait_ended(core, "then")
        starts = {
            f.run_id: f for f in await whole_log(core.store) if f.type == "run.started"
        }
        ends = {
            f.run_id: f
            for f in await whole_log(core.store)
            if f.type == "run.completed"
        }
        assert ends["first"].position < starts["then"].position


async def test_a_prerequisite_that_did_not_complete_ends_its_dependants(
    autojump_clock: Clock,
) -> None:
    """SC-09 CN-05"""
    async with open_fake_core() as core:
        await core.submitter.submit(request(seconds=5, fail=True, run_id="first"))
        await core.submitter.submit(request(seconds=1, run_id="then", after=("first",)))
        await core.submitter.submit(request(seconds=1, run_id="last", after=("then",)))
        await wait_ended(core, "last")
        then = await core.reader.view("then")
        assert then.state == "cancelled"
        assert "first" in then.reason
        assert await types_of(core, "last") == ["run.queued", "run.cancelled"]


@pytest.mark.parametrize("after", ["unknown", "self"])
async def test_a_prerequisite_must_exist(after: str, autojump_clock: Clock) -> None:
    """SC-09"""
    async with open_fake_core() as core:
        with pytest.raises(UnknownPrerequisite):
            await core.submitter.submit(request(run_id="x", after=(after,)))


async def test_the_same_id_and_inputs_are_the_same_run(autojump_clock: Clock) -> None:
    """SC-12 D-20"""
    async with open_fake_core() as core:
        first = await core.submitter.submit(request(seconds=1, run_id="a"))
        again = await core.submitter.submit(request(seconds=1, run_id="a"))
        assert (first.created, again.created) == (True, False)
        with pytest.raises(OtherInputs):
            await core.submitter.submit(request(seconds=2, run_id="a"))
        await wait_ended(core, "a")
        assert not (await core.submitter.submit(request(seconds=1, run_id="a"))).created


async def test_simultaneous_submits_of_one_id_make_one_run(
    autojump_clock: Clock,
) -> None:
    """SC-12"""
    created: list[bool] = []
    async with open_fake_core() as core:

        async def submit() -> None:
            created.append(
                (await core.submitter.submit(request(seconds=1, run_id="a"))).created
            )

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(submit)
    assert sorted(created) == [False] * 19 + [True]


async def test_a_known_id_skips_the_line(autojump_clock: Clock) -> None:
    """SC-12: asking again for a queued run must not wait behind it."""
    async with open_fake_core(queue_capacity=1, max_concurrent=1) as core:
        await submit_many(core, 1)
        await core.submitter.submit(request(seconds=1, run_id="queued"))
        again = await core.submitter.submit(request(seconds=1, run_id="queued"))
        assert not again.created


async def test_rapid_submits_all_end(autojump_clock: Clock) -> None:
    """SC-10"""
    async with open_fake_core() as core:
        async with trio.open_nursery() as nursery:
            for number in range(300):
                nursery.start_soon(submit_waiting, core, number)
        await wait_ended(core, *(f"n{n}" for n in range(300)))
        rows, _ = await core.reader.list(RunFilter(limit=1000))
        assert {row["state"] for row in rows} == {"completed"}
        assert len(rows) == 300


async def submit_waiting(core: Core, number: int) -> None:
    await core.submitter.submit(request(seconds=0.01, run_id=f"n{number}"), wait=True)


async def test_shutdown_that_cancels_everything(autojump_clock: Clock) -> None:
    """SC-08 D-14: 20 queued and 5 active become 25 cancelled, and nothing executes after."""
    seen: list[str] = []

    async def witness(_run: Run, _inputs: Seconds) -> Nothing:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            seen.append("cancelled")
            raise
        return Nothing()

    async with open_fake_core(kind("witness", witness)) as core:
        for _ in range(25):
            await core.submitter.submit(request("witness"))
        await trio.testing.wait_all_tasks_blocked()
        await core.shutdown(cancel_queued=True, reason="shutdown")
        facts = await whole_log(core.store)
        ends = [f for f in facts if f.type == "run.cancelled"]
        assert len(ends) == 25
        assert {f.event.reason for f in ends} == {"shutdown"}  # type: ignore[union-attr]
        assert seen == ["cancelled"] * 5
        with pytest.raises(ShuttingDown):
            await core.submitter.submit(request(seconds=1))


async def test_who_stands_in_line_is_told_of_the_shutdown(
    autojump_clock: Clock,
) -> None:
    """SC-08 APP-06: no submitter waits for room that never comes."""
    told: list[str] = []

    async def wait_in_line(core: Core) -> None:
        try:
            await core.submitter.submit(request(seconds=1), wait=True)
        except ShuttingDown as error:
            told.append(str(error))

    async with open_fake_core(queue_capacity=1, max_concurrent=1) as core:
        await submit_many(core, 2)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(wait_in_line, core)
            await trio.testing.wait_all_tasks_blocked()
            await core.shutdown(reason="upgrade")
        assert told == ["the daemon is stopping: upgrade"] * 3
        assert core.submitter.admission.statistics().entering == 0


@pytest.mark.parametrize(
    ("on_restart", "left"),
    [("requeue", "run.requeued"), ("fail", "run.failed"), ("ask", "ask.raised")],
)
async def test_a_stop_keeps_the_queue_and_ends_executions_by_their_kind(
    on_restart: str, left: str, autojump_clock: Clock
) -> None:
    """SC-08 D-14 QA-08"""
    async with open_fake_core(max_concurrent=1) as core:
        await core.submitter.submit(
            request(seconds=99, run_id="a", on_restart=on_restart)
        )
        await core.submitter.submit(request(seconds=99, run_id="b"))
        await core.shutdown(reason="SIGTERM")
        assert (await types_of(core, "a"))[-1] == left
        assert await types_of(core, "b") == ["run.queued"]


async def test_what_does_not_fit_is_refused_before_anything_is_recorded(
    autojump_clock: Clock,
) -> None:
    """API-04 ER-02 APP-03"""
    needy = kind("needy", None, needs_model=True)  # type: ignore[arg-type]
    async with open_fake_core(needy) as core:
        before = len(await whole_log(core.store))
        for bad, error in (
            (request("slep"), Refused),
            (request(seconds="soon"), Refused),
            (request(seconds=1, colour="red"), Refused),
            (request(seconds=1, group="nobody"), Refused),
            (request("needy"), Refused),
        ):
            with pytest.raises(error):
                await core.submitter.submit(bad)
        with pytest.raises(Refused, match="did you mean 'sleep'"):
            await core.submitter.submit(request("slep"))
        assert len(await whole_log(core.store)) == before


async def test_too_little_disk_refuses_new_runs_and_says_so(
    autojump_clock: Clock,
) -> None:
    """RS-05"""
    async with open_fake_core(min_free_bytes=2**50) as core:
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(NotAvailable, match="MiB of disk"):
            await core.submitter.submit(request(seconds=1))


async def test_a_retry_is_a_new_run_that_names_the_old_one(
    autojump_clock: Clock,
) -> None:
    """API-10"""
    async with open_fake_core() as core:
        await core.submitter.submit(
            request(seconds=1, fail=True, run_id="a", labels={"k": "v"})
        )
        with pytest.raises(Refused):
            await core.submitter.retry("a")
        await wait_ended(core, "a")
        retried = (await core.submitter.retry("a")).view
        assert retried.retry_of == "a"
        assert retried.run_id != "a"
        assert retried.labels == {"k": "v"}
        with pytest.raises(RunNotFound):
            await core.submitter.retry("nobody")


async def test_statistics_wait_for_nothing(autojump_clock: Clock) -> None:
    """SC-11"""
    async with open_fake_core() as core:
        await submit_many(core, 8)
        await trio.testing.wait_all_tasks_blocked()
        with trio.testing.assert_no_checkpoints():
            statistics = core.statistics().to_json()
        assert statistics["queued_by_priority"]["MEDIUM"] == 3
        assert (statistics["running"], statistics["slots"]) == (5, 5)


async def test_two_cores_share_nothing(autojump_clock: Clock) -> None:
    """APP-08 BP-03"""
    async with open_fake_core() as one, open_fake_core() as other:
        await one.submitter.submit(request(seconds=1, run_id="a"))
        await wait_ended(one, "a")
        with pytest.raises(RunNotFound):
            await other.reader.view("a")


async def test_how_full_everything_is_is_told_at_any_load_without_waiting(
    autojump_clock: Clock,
) -> None:
    """SC-11: nothing else has its turn before the answer, so no load can hold it up."""
    async with (
        open_fake_core(max_concurrent=2, queue_capacity=10) as core,
        trio.open_nursery() as nursery,
    ):
        for number in range(50):
            asked = request(seconds=1000, run_id=f"n{number}")
            nursery.start_soon(partial(core.submitter.submit, asked, wait=True))
        with trio.move_on_after(1):
            await trio.sleep_forever()
        with trio.testing.assert_no_checkpoints():
            told = core.statistics()
        assert (told.running, told.queued, told.waiting_submits) == (2, 10, 38)
        assert told.open_runs == 12
        nursery.cancel_scope.cancel()
