"""Boot repair: what the last life left executing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest
import trio
import trio.testing

from fakes.cores import (
    everything,
    fake_environment,
    open_fake_core,
    request,
    types_of,
    virtual_now,
    wait_ended,
    whole_log,
)
from fakes.stores import START_FACT, crashed, inline_store
from penstock.log.new_events import new_event
from penstock.log.writes import Enqueue
from penstock.runs.repair import end_all, verdict_on
from penstock.words.events import DaemonStarted, ProcessStarted
from penstock.words.wait_reason import RESTART_ASK

Clock = trio.testing.MockClock


async def test_each_run_gets_what_its_on_restart_says(autojump_clock: Clock) -> None:
    """APP-07 law 5"""
    ended: list[Any] = []

    async def end_orphans(started: Any, run_ids: Any) -> list[int]:
        await trio.lowlevel.checkpoint()
        ended.append((list(started), list(run_ids)))
        return [77]

    environment = replace(fake_environment(), end_orphans=end_orphans)
    async with crashed(
        {"on_restart": "requeue"},
        {"on_restart": "fail"},
        {"on_restart": "ask"},
        cancel=None,
    ) as store:
        async with open_fake_core(
            store=store, life="life-2", environment=environment
        ) as core:
            told = [
                f.event for f in await whole_log(store) if f.type == "daemon.started"
            ][-1]
            assert isinstance(told, DaemonStarted)
            assert (told.requeued, told.failed, told.asked) == (
                ("r0",),
                ("r1",),
                ("r2",),
            )
            assert told.ended_pids == (77,)
            assert ended == [([START_FACT], ["r0", "r1", "r2"])]
            await wait_ended(core, "r0", "r1")
            assert (await core.reader.view("r0")).state == "completed"
            failed = await core.reader.view("r1")
            assert (failed.state, failed.reason) == ("failed", "crashed")
            assert [ask.name for ask in await core.reader.asks("r2")] == [RESTART_ASK]


@pytest.mark.parametrize(
    ("answer", "end"), [("requeue", "completed"), ("fail", "failed")]
)
async def test_the_answer_about_a_restart_is_acted_on(
    answer: str, end: str, autojump_clock: Clock
) -> None:
    """Law 5: also when the daemon restarts once more before the answer."""
    async with crashed({"on_restart": "ask"}) as store:
        async with open_fake_core(store=store, life="life-2"):
            pass
        async with open_fake_core(store=store, life="life-3") as core:
            assert [ask.run_id for ask in await core.reader.asks()] == ["r0"]
            await core.control.answer("r0", RESTART_ASK, answer, "me")
            await wait_ended(core, "r0")
            assert (await core.reader.view("r0")).state == end


async def test_a_run_that_is_to_be_repeated_begins_at_once(
    autojump_clock: Clock,
) -> None:
    """Law 5 SC-03: and not with the next thing that happens, which may be a minute away."""
    async with crashed({"on_restart": "ask"}) as store:
        async with open_fake_core(store=store, life="life-2") as core:
            # What the start itself looks for is over.
            await trio.testing.wait_all_tasks_blocked()
            await core.control.answer("r0", RESTART_ASK, "requeue", "me")
            # Of virtual time; retention records something each minute.
            with trio.fail_after(30):
                await wait_ended(core, "r0")


async def test_a_run_whose_cancel_was_requested_ends_cancelled(
    autojump_clock: Clock,
) -> None:
    """Law 5"""
    async with crashed({"on_restart": "requeue"}, cancel="r0") as store:
        async with open_fake_core(store=store, life="life-2") as core:
            await wait_ended(core, "r0")
            assert (await core.reader.view("r0")).state == "cancelled"


@pytest.mark.parametrize("cancel", ["r0", None])
async def test_what_a_crash_left_is_never_told_as_gone(
    cancel: str | None, autojump_clock: Clock
) -> None:
    """CN-06: who could have waited for its processes died; that none is found proves nothing."""
    async with crashed({"on_restart": "fail"}, cancel=cancel) as store:
        async with open_fake_core(store=store, life="life-2") as core:
            await wait_ended(core, "r0")
            receipt = await core.control.cancel("r0", "again", wait=True)
    assert receipt.outcome == "already_terminal"
    assert (receipt.method, receipt.pids) == ("subreaper", (77,))
    assert receipt.survivors == "unknown"
    assert receipt.gone_at is None


@pytest.mark.parametrize("on_restart", ["fail", "requeue"])
async def test_what_a_supervisor_proved_after_the_crash_is_told_as_gone(
    on_restart: str, autojump_clock: Clock
) -> None:
    """CN-06: whether the run ended with it or goes on."""
    asked: list[list[ProcessStarted]] = []

    async def proven_gone(
        started: Collection[ProcessStarted],
    ) -> frozenset[ProcessStarted]:
        await trio.lowlevel.checkpoint()
        asked.append(list(started))
        return frozenset(started)

    environment = replace(fake_environment(), proven_gone=proven_gone)
    async with crashed({"on_restart": on_restart}) as store:
        async with open_fake_core(
            store=store, life="life-2", environment=environment
        ) as core:
            receipt = await core.control.cancel("r0", "again", wait=True)
    assert asked == [[START_FACT]]
    assert receipt.survivors == ()
    assert receipt.gone_at is not None


async def test_crashing_again_and_again_fails_the_run(autojump_clock: Clock) -> None:
    """Law 5: max_attempts."""
    async with inline_store(life="life-1") as store:
        from fakes.stores import at, claim, spec
        from penstock.log.writes import Release
        from penstock.words.events import RunRequeued
        from penstock.words.values import new_event_id

        made = spec("r", kind="sleep", inputs={"seconds": 1.0}, on_restart="requeue")
        await store.commit([Enqueue(made, at(), new_event_id(), 100, 64, 8)])
        for _ in range(2):
            await store.commit([claim(kinds=("sleep",), life="life-1")])
            (row,) = await store.open_runs()
            made_draft = new_event("r", RunRequeued(reason="crash"), now=at())
            await store.commit([Release(row.fence, made_draft)])
        await store.commit([claim(kinds=("sleep",), life="life-1")])
        async with open_fake_core(store=store, life="life-2") as core:
            view = await core.reader.view("r")
            assert (view.state, view.reason) == ("failed", "crashed")
            assert "3 times" in (view.error or "")


async def test_queued_runs_are_left_alone_and_start(autojump_clock: Clock) -> None:
    """D-14: a stop never loses queued work."""
    async with inline_store() as store:
        async with open_fake_core(store=store, life="life-1", max_concurrent=1) as core:
            await core.submitter.submit(
                request(seconds=99, run_id="a", on_restart="requeue")
            )
            await core.submitter.submit(request(seconds=2, run_id="b"))
        async with open_fake_core(store=store, life="life-2") as core:
            await wait_ended(core, "a", "b")
            assert (await types_of(core, "b")) == [
                "run.queued",
                "run.started",
                "run.completed",
            ]
            assert (await types_of(core, "a"))[2:] == [
                "run.requeued",
                "run.resumed",
                "run.completed",
            ]


async def test_views_after_a_restart_equal_those_before(autojump_clock: Clock) -> None:
    """VW-08 RS-01"""
    async with inline_store() as store:
        async with open_fake_core(store=store, life="life-1", max_concurrent=1) as core:
            await core.submitter.submit(
                request(seconds=99, run_id="a", on_restart="fail")
            )
            await core.submitter.submit(
                request(seconds=2, run_id="b", labels={"k": "v"})
            )
            before = (await core.reader.view("b")).to_json()
        async with open_fake_core(store=store, life="life-2", max_concurrent=1) as core:
            core.table.claiming = False
            after = (await core.reader.view("b")).to_json()
            assert {
                k: after[k] for k in ("kind", "labels", "priority", "created_at")
            } == {k: before[k] for k in ("kind", "labels", "priority", "created_at")}


async def test_a_row_of_this_life_or_in_line_is_left_alone() -> None:
    """Law 5: touched by boot repair only if it is of an earlier life."""
    async with inline_store() as store:
        from fakes.stores import at, claim, spec
        from penstock.words.values import new_event_id

        await store.commit([Enqueue(spec("q"), at(), new_event_id(), 100, 64, 8)])
        (row,) = await store.open_runs()
        assert verdict_on(row, "life-2", 3) == "leave"
        await store.commit([claim(life="life-1")])
        (row,) = await store.open_runs()
        assert verdict_on(row, "life-1", 3) == "leave"
        assert verdict_on(row, "life-2", 3) == "fail"


async def test_a_log_that_nobody_goes_on_with_has_no_open_runs(
    autojump_clock: Clock,
) -> None:
    """Law 1 law 5: whatever a life to come would have made of them."""
    asked: list[Any] = []

    async def end_orphans(started: Any, run_ids: Any) -> list[int]:
        await trio.lowlevel.checkpoint()
        asked.append((list(started), list(run_ids)))
        return []

    runs: list[dict[str, Any]] = [
        {"on_restart": "requeue"},
        {"on_restart": "fail"},
        {"on_restart": "ask"},
        {"on_restart": "requeue", "parent_id": "r0"},
        {"on_restart": "requeue", "kind": "other"},
        {"on_restart": "requeue", "after": ("r4",)},
    ]
    async with crashed(*runs, cancel="r1") as store:
        for _ in range(2):
            await end_all(store, now=virtual_now, end_orphans=end_orphans)
        assert await store.open_runs() == []
        ends = {row.run_id: row.state for row in await store.runs(everything())}
        assert ends == {
            "r0": "failed", "r1": "cancelled", "r2": "failed", "r3": "cancelled",
            "r4": "cancelled", "r5": "cancelled",
        }  # fmt: skip
        assert asked == [([START_FACT], [f"r{number}" for number in range(6)])]
        (tree, *_) = await store.tree("r0")
        # Nobody saw the end of its process.
        assert tree.receipt is not None
        assert (tree.receipt["pids"], tree.receipt["survivors"]) == ([77], "unknown")


async def test_a_crash_proves_no_end_of_processes(autojump_clock: Clock) -> None:
    """CN-06 law 5: what is looked for and not found may be hidden."""
    async with crashed({"on_restart": "fail"}) as store:
        async with open_fake_core(store=store, life="life-2") as core:
            receipt = await core.control.cancel("r0", "is it gone?", wait=True)
            assert (receipt.outcome, receipt.gone_at) == ("already_terminal", None)
            assert (receipt.survivors, receipt.pids) == ("unknown", (77,))
