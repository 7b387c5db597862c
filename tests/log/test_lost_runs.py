"""Open runs whose rows or facts are not what was written: their own affair, and nobody else's."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from fakes.cores import Nothing, Seconds, kind, open_fake_core, request, wait_ended
from fakes.stores import append, claim, crashed, enqueue, inline_store, start
from penstock.log.results import Appended, CancelAnswer, Claimed, Result
from penstock.log.sqlite.store import SqliteStore
from penstock.log.writes import (
    Continue,
    Edit,
    Park,
    Rearrange,
    RequestCancel,
    RequestPreempt,
    Suspend,
    Unpark,
    Write,
)
from penstock.pipeline import Run
from penstock.runs.core import Core
from penstock.words.errors import LogDamaged
from penstock.words.events import Log
from penstock.words.values import utc_now
from penstock.words.wait_reason import Waiting

#: What a row may hold that nobody wrote, and where; `{}` is the key of the run.
DAMAGE = [
    "UPDATE runs SET clock = '[[[[' WHERE key = {}",
    "UPDATE runs SET clock = '[1]' WHERE key = {}",
    "UPDATE runs SET state = 'walking' WHERE key = {}",
    "UPDATE runs SET priority = 'high' WHERE key = {}",
    "UPDATE runs SET place = x'00ff' WHERE key = {}",
    "UPDATE runs SET open_prerequisites = 0.5 WHERE key = {}",
    "UPDATE specs SET labels = '{{{{' WHERE key = {}",
    "UPDATE runs SET created_at = 'never' WHERE key = {}",
    "UPDATE specs SET shown = '[[[[' WHERE key = {}",
    "UPDATE specs SET inputs = x'ff' WHERE key = {}",
]


def harm(store: SqliteStore, run_id: str, sql: str) -> None:
    """Change the row of a run as a disk may, and have the store read its tables again."""
    [(key,)] = store._db.execute("SELECT key FROM runs WHERE run_id = ?", (run_id,))
    store._db.execute(sql.format(key))
    store._db.commit()
    store._transaction.forget()


@pytest.mark.parametrize("sql", DAMAGE)
async def test_a_damaged_row_of_a_queued_run_fails_that_run_alone(sql: str) -> None:
    """ST-08: the others are claimed, written to and cancelled; of it nothing is recorded."""
    async with inline_store() as store:
        await start(store, "runs")
        await store.commit([enqueue("bad", priority=0), enqueue("good")])
        harm(store, "bad", sql)
        assert [row.run_id for row in await store.open_runs()] == ["runs", "good"]
        [said, claimed] = await store.commit([append("runs", Log(text="x")), claim()])
        assert isinstance(said, Appended)
        assert isinstance(claimed, Claimed)
        assert [row.run_id for row in claimed.started] == ["good"]
        with pytest.raises(LogDamaged, match="'bad'"):
            await store.commit([append("bad", Log(text="x"))])
        with pytest.raises(LogDamaged, match="'bad'"):
            await store.commit([RequestCancel("bad", "", utc_now())])
        [every] = await store.commit([RequestCancel("", "", utc_now(), all_open=True)])
        assert isinstance(every, CancelAnswer)
        assert set(every.signalled) == {"runs", "good"}
        assert "'bad'" in (store.damage or "")


@pytest.mark.parametrize("sql", DAMAGE)
async def test_a_damaged_row_of_a_run_that_waits_fails_that_run_alone(sql: str) -> None:
    """ST-08: its slot goes to the next one."""
    async with inline_store() as store:
        row = await start(store, "bad", priority=0)
        parked = Park(row.fence, Waiting("ask", "x"), utc_now())
        await store.commit([parked, enqueue("good")])
        await store.commit([Unpark(row.fence)])
        harm(store, "bad", sql)
        [claimed] = await store.commit([claim(slots=1)])
        assert isinstance(claimed, Claimed)
        assert [row.run_id for row in claimed.started] == ["good"]
        assert claimed.unparked == ()
        assert "'bad'" in (store.damage or "")


async def test_a_damaged_row_is_passed_over_where_another_run_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-08: the end of what it waits for is recorded, and so is the end of its parent."""
    async with inline_store() as store:
        await start(store, "first")
        await store.commit(
            [
                enqueue("bad", after=("first",)),
                enqueue("child", parent_id="first", capacity=None),
                enqueue("next", after=("first",)),
            ]
        )
        harm(store, "bad", DAMAGE[0])
        harm(store, "child", DAMAGE[0])
        [answer] = await store.commit([RequestCancel("first", "", utc_now())])
        assert isinstance(answer, CancelAnswer)
        await store.commit([append("first", Log(text="x"))])


async def test_a_daemon_starts_and_works_beside_a_damaged_row(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-08 law 5"""
    async with crashed({"on_restart": "requeue"}, {"on_restart": "requeue"}) as store:
        harm(store, "r0", DAMAGE[0])
        async with open_fake_core(store=store, life="life-2") as core:
            await wait_ended(core, "r1")
            await core.submitter.submit(request(run_id="new"))
            await wait_ended(core, "new")
            with pytest.raises(LogDamaged):
                await core.control.cancel("r0", "it is of no use")
            assert "'r0'" in (store.damage or "")


async def test_whoever_changes_a_damaged_run_hears_of_it_and_ends_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-08: none of the writes about one run is the end of the daemon."""
    async with crashed({"on_restart": "requeue"}, {"on_restart": "requeue"}) as store:
        harm(store, "r0", DAMAGE[0])
        now = utc_now()
        async with open_fake_core(store=store, life="life-2") as core:
            writes: list[Write[Result]] = [
                Rearrange("r0", now, move="first"),
                Edit("r0", now, b"{}", b"", {}),
                Suspend("r0", now),
                Continue("r0", now),
                RequestPreempt("r0", "r1", now),
            ]
            for write in writes:
                with pytest.raises(LogDamaged):
                    await core.recorder.record(write)
            await wait_ended(core, "r1")


async def test_a_daemon_starts_beside_a_damaged_fact_of_an_open_run(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-08 law 5"""
    async with crashed({"on_restart": "requeue"}, {"on_restart": "requeue"}) as store:
        sql = "UPDATE events SET body = '{{' WHERE run = {} AND type = 'run.queued'"
        harm(store, "r0", sql.replace("{{", "{{{{"))
        async with open_fake_core(store=store, life="life-2") as core:
            await wait_ended(core, "r1")
            assert core.table.snapshot().slot_holders == []
            with pytest.raises(LogDamaged):
                await core.control.cancel("r0", "it is of no use")


async def test_the_end_of_a_run_whose_row_is_damaged_frees_its_slot(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-08: it is not recorded, and the daemon goes on."""
    async with inline_store() as store:
        async with open_fake_core(store=store, max_concurrent=1) as core:
            await core.submitter.submit(request(run_id="bad", seconds=5.0))
            with trio.fail_after(60):
                assert "bad" in core.table.executions
                await core.submitter.submit(request(run_id="later"))
                harm(store, "bad", DAMAGE[0])
                await wait_ended(core, "later")
            assert core.table.queue.running == 0
            assert "bad" not in core.table.views


async def ask(run: Run, inputs: Seconds) -> Nothing:
    """Wait for an answer; with `seconds`, for that long, and then go on."""
    await run.ask("q", "?", default="no", expires=inputs.seconds or None)
    return Nothing()


async def is_over(core: Core, run_id: str) -> None:
    """Until nothing of the run is executed any more."""
    if (execution := core.table.executions.get(run_id)) is not None:
        with trio.fail_after(60):
            await execution.concluded.wait()


async def test_a_run_that_is_lost_when_it_wants_its_slot_back_does_not_wait_for_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-08: nobody would ever give it one."""
    async with inline_store() as store:
        async with open_fake_core(
            kind("ask", ask), store=store, max_concurrent=1
        ) as core:
            await core.submitter.submit(request("ask", "bad", seconds=5.0))
            await core.submitter.submit(request(run_id="first", seconds=9.0))
            await trio.sleep(7)
            assert core.table.unparking == {"bad"}
            harm(store, "bad", DAMAGE[6])
            await wait_ended(core, "first")
            await core.submitter.submit(request(run_id="later"))
            await wait_ended(core, "later")
            await is_over(core, "bad")
            assert "bad" not in core.table.views


async def test_a_run_that_is_lost_while_it_waits_for_an_answer_is_ended(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-08: by the next claim, since no answer can be recorded; and one in line leaves the line."""
    async with inline_store() as store:
        async with open_fake_core(kind("ask", ask), store=store) as core:
            await core.submitter.submit(request("ask", "bad"))
            await core.submitter.submit(request(run_id="held", stashed=True))
            await trio.sleep(1)
            for run_id in ("bad", "held"):
                harm(store, run_id, DAMAGE[0])
            await core.submitter.submit(request(run_id="later"))
            await wait_ended(core, "later")
            await is_over(core, "bad")
            assert core.table.views == {}
            assert core.table.queue.queued == 0


async def test_a_cancel_of_a_lost_run_ends_it_though_it_is_not_recorded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-08 CN-01: before anything else has found it out."""
    async with inline_store() as store:
        async with open_fake_core(store=store) as core:
            await core.submitter.submit(request(run_id="bad", seconds=1000.0))
            await trio.sleep(1)
            harm(store, "bad", DAMAGE[0])
            with pytest.raises(LogDamaged):
                await core.control.cancel("bad", "enough")
            await is_over(core, "bad")
