"""Schedules: one run for each due time, whatever happens to the daemon and to the clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import trio

from fakes.cores import open_fake_core, request, types_of, virtual_now
from penstock.log.filters import RunFilter
from penstock.runs.core import Core
from penstock.runs.schedules import run_id_of
from penstock.testing import memory_environment, open_memory_store
from penstock.testing.fake_programs import FakeProcesses
from penstock.words.api import RunRequest, ScheduleRequest
from penstock.words.errors import Conflict, Refused, ScheduleNotFound
from penstock.words.surroundings import Surroundings, pack_environ


def wanted(name: str = "tick", timing: str = "1h", **others: Any) -> ScheduleRequest:
    """A schedule of runs that sleep."""
    run = {"kind": "sleep", **others.pop("run", {})}
    return ScheduleRequest(
        name=name, timing=timing, run=RunRequest.model_validate(run), **others
    )


async def made(core: Core) -> list[str]:
    """The ids of all runs, in the order in which they came."""
    rows = await core.store.runs(RunFilter(limit=1000))
    return [row.run_id for row in reversed(rows)]


async def test_each_due_time_makes_one_run(autojump_clock: Any) -> None:
    """DU-04: under an id that says which; found by the name of the schedule."""
    async with open_fake_core() as core:
        row = await core.schedules.set(wanted(), None)
        await trio.sleep(3 * 3600 + 60)
        expected = [
            run_id_of("tick", row.made_at + timedelta(hours=n)) for n in (1, 2, 3)
        ]
        assert await made(core) == expected
        view = await core.reader.view(expected[0])
        assert view.state == "completed"
        assert view.labels == {"schedule": "tick"}
        assert view.created_at == row.made_at + timedelta(hours=1)
        [kept] = await core.schedules.rows()
        assert (kept.due, kept.last_run) == (
            row.made_at + timedelta(hours=4),
            expected[-1],
        )


async def test_due_times_without_a_daemon_are_made_up_for_by_one_run(
    autojump_clock: Any,
) -> None:
    """DU-04: the first of them, at the start; then it goes on in its own time."""
    async with open_memory_store() as store:
        async with open_fake_core(store=store) as core:
            row = await core.schedules.set(wanted(), None)
        await trio.sleep(5.5 * 3600)
        async with open_fake_core(store=store, life="life-2") as core:
            await trio.sleep(60)
            assert await made(core) == [run_id_of("tick", row.due)]
            await trio.sleep(3600)
            assert (await made(core))[1:] == [
                run_id_of("tick", row.made_at + timedelta(hours=6))
            ]


async def test_a_death_between_the_run_and_the_next_due_time_makes_none_twice(
    autojump_clock: Any,
) -> None:
    """DU-04: the run is in the log, and the schedule has not moved on."""
    async with open_memory_store() as store:
        async with open_fake_core(store=store) as core:
            row = await core.schedules.set(wanted(), None)
            await core.submitter.submit(request(run_id=run_id_of("tick", row.due)))
        async with open_fake_core(store=store, life="life-2") as core:
            await trio.sleep(3700)
            assert await made(core) == [run_id_of("tick", row.due)]
            [kept] = await core.schedules.rows()
            assert kept.due == row.due + timedelta(hours=1)


@pytest.mark.parametrize("hours", [-5, -1, 2, 30])
async def test_a_clock_that_is_set_makes_no_run_twice(
    autojump_clock: Any, hours: int
) -> None:
    """DU-04: set back, it comes once more to what was due, and that is made already."""
    ahead = [timedelta()]
    world = replace(
        memory_environment(FakeProcesses()), now=lambda: virtual_now() + ahead[0]
    )
    async with open_fake_core(environment=world) as core:
        await core.schedules.set(wanted(), None)
        await trio.sleep(2.5 * 3600)
        before = await made(core)
        assert len(before) == 2
        ahead[0] = timedelta(hours=hours)
        await trio.sleep(60)
        after = await made(core)
        # Forwards, one run makes up for what was left out.
        assert len(after) == (3 if hours > 0 else 2)
        assert len(set(after)) == len(after)
        await trio.sleep(8 * 3600)
        all_of_them = await made(core)
        assert len(set(all_of_them)) == len(all_of_them)
        assert len(all_of_them) > len(after)


async def test_a_due_time_is_passed_over_while_its_last_run_is_open(
    autojump_clock: Any,
) -> None:
    """DU-04: as a timer of systemd does; that it was is a fact."""
    async with open_fake_core() as core:
        run = {"inputs": {"seconds": 2.5 * 3600}}
        await core.schedules.set(wanted(run=run), None)
        await trio.sleep(4 * 3600 + 60)
        assert len(await made(core)) == 2
        [kept] = await core.schedules.rows()
        assert kept.skipped == 2
        assert (await types_of(core, "daemon")).count("schedule.skipped") == 2


async def test_a_full_queue_makes_a_due_time_wait(autojump_clock: Any) -> None:
    """DU-04, SC-01: it is not lost."""
    async with open_fake_core(max_concurrent=1, queue_capacity=1) as core:
        await core.schedules.set(wanted(), None)
        await core.submitter.submit(request(run_id="long", seconds=2 * 3600.0))
        await trio.sleep(1)
        await core.submitter.submit(request(run_id="behind"))
        await trio.sleep(1.5 * 3600)
        assert await made(core) == ["long", "behind"]
        await trio.sleep(0.6 * 3600)
        assert len(await made(core)) == 3


async def test_a_schedule_that_cannot_be_holds_up_no_other(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """DU-04: one whose zone the box has lost waits, and says so once; one of an older daemon is passed over."""
    async with open_memory_store() as store:
        async with open_fake_core(store=store) as core:
            for name in ("a-zone", "b-request", "c"):
                await core.schedules.set(wanted(name, "0 * * * *"), None)
        for column, name in (("zone", "a-zone"), ("request", "b-request")):
            sql = f"UPDATE schedules SET {column} = 'gone' WHERE name = ?"
            store._db.execute(sql, (name,))
            store._db.commit()
        async with open_fake_core(store=store, life="life-2") as core:
            await trio.sleep(2.5 * 3600)
            assert {run_id.partition("@")[0] for run_id in await made(core)} == {"c"}
            assert len(await made(core)) == 2
            zone, request, _ = await core.schedules.rows()
            assert (zone.skipped, request.skipped) == (0, 2)
    told = [r.getMessage() for r in caplog.records if "a-zone" in r.getMessage()]
    assert told == [
        "the schedule a-zone waits: zone: there is no time zone 'gone' here"
    ]


async def test_a_schedule_is_changed_only_if_that_is_wanted(
    autojump_clock: Any,
) -> None:
    """DU-04: and begins anew then; removed, it makes no more runs."""
    async with open_fake_core() as core:
        await core.schedules.set(wanted(), None)
        with pytest.raises(Conflict, match="already"):
            await core.schedules.set(wanted(timing="2h"), None)
        await core.schedules.set(wanted(timing="2h", replace=True), None)
        await trio.sleep(1.5 * 3600)
        assert await made(core) == []
        await core.schedules.remove("tick")
        with pytest.raises(ScheduleNotFound):
            await core.schedules.remove("tick")
        await trio.sleep(10 * 3600)
        assert await made(core) == []
        told = await types_of(core, "daemon")
        assert told.count("schedule.set") == 2
        assert told.count("schedule.removed") == 1


async def test_of_two_of_one_name_the_second_is_told(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DU-04: however near each other they are; and of more than there may be the last one."""
    monkeypatch.setattr("penstock.runs.schedules.MOST_SCHEDULES", 2)
    refused: list[str] = []
    async with open_fake_core() as core:

        async def ask(name: str, timing: str) -> None:
            try:
                await core.schedules.set(wanted(name, timing), None)
            except Conflict as error:
                refused.append(str(error))

        async with trio.open_nursery() as nursery:
            for asked in ("a", "1h"), ("a", "2h"), ("b", "1h"), ("c", "1h"):
                nursery.start_soon(ask, *asked)
        assert len(await core.schedules.rows()) == 2
        assert len(refused) == 2
        told = await types_of(core, "daemon")
        assert told.count("schedule.set") == 2


@pytest.mark.parametrize(
    ("run", "field"),
    [
        ({"kind": "nothing"}, "kind"),
        ({"inputs": {"seconds": "x"}}, "inputs.seconds"),
        ({"group": "none"}, "group"),
        ({"run_id": "mine"}, "run.run_id"),
        ({"not_before": "2030-01-01T00:00:00Z"}, "run.not_before"),
        ({"after": ["x"]}, "run.after"),
    ],
)
async def test_what_no_run_could_be_is_refused_at_once(
    autojump_clock: Any, run: dict[str, Any], field: str
) -> None:
    """DU-04: and not at night."""
    async with open_fake_core() as core:
        with pytest.raises(Refused) as refused:
            await core.schedules.set(wanted(run=run), None)
        assert refused.value.facts["field"] == field
        assert await core.schedules.rows() == []


async def test_its_runs_have_the_environment_of_who_made_it(
    autojump_clock: Any,
) -> None:
    """DU-04, PT-05: which nothing tells of."""
    given = Surroundings(pack_environ({"SECRET": "hunter2"}), 0o27)
    async with open_memory_store() as store:
        async with open_fake_core(store=store) as core:
            row = await core.schedules.set(wanted(), given)
        async with open_fake_core(store=store, life="life-2") as core:
            await trio.sleep(3700)
            [run_id] = await made(core)
            found = await core.store.surroundings(run_id)
            assert found is not None
            assert (found.environ, found.umask) == (given.environ, 0o27)
            told = [fact.body for fact in await core.store.read_all(0, 1000)]
            assert not any(b"hunter2" in body for body in told)
            assert row.due < virtual_now()


async def test_nothing_is_made_while_the_daemon_has_no_schedule(
    autojump_clock: Any,
) -> None:
    """PF-06: nor is anything asked again and again."""
    async with open_fake_core() as core:
        asked = []
        schedules = core.store.schedules

        async def counted() -> Any:
            asked.append(1)
            return await schedules()

        core.store.schedules = counted  # type: ignore[method-assign]
        await trio.sleep(10_000)
        assert asked == []


async def test_a_schedule_is_due_though_who_set_it_has_gone(
    autojump_clock: Any,
) -> None:
    """DU-04: it is in the log, so it is heeded, whenever the caller was cut off."""
    for steps in range(1, 12, 3):
        async with open_memory_store(delay=lambda: 0.02) as store:
            async with open_fake_core(store=store) as core:
                with trio.move_on_after(steps * 0.005):
                    await core.schedules.set(wanted(), None)
                await trio.sleep(3700)
                rows = await core.schedules.rows()
                assert len(await made(core)) == len(rows), f"after {steps} steps"
