"""What is said to one box of a log holds at all of them, and over their restarts: dismissals and drains."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from fakes.cores import open_fake_core, request, whole_log
from fakes.shared_log import open_box, open_shared_log, open_two_boxes, until
from fakes.stores import inline_store
from penstock.runs.core import Core
from penstock.words.errors import NotAvailable
from penstock.words.events import FailuresDismissed, QueueDrained

Clock = trio.testing.MockClock


async def drain(core: Core, ended: trio.Event) -> None:
    """Drain the queue, and say when that is over."""
    await core.queue.drain()
    ended.set()


async def settle(*cores: Core) -> None:
    """Until nothing is open, and each of them knows all that was recorded."""
    for core in cores:
        await until(lambda core=core: not core.table.views, core)  # type: ignore[misc]
        head = (await core.store.bounds()).head
        await until(lambda core=core, head=head: core.bus.head >= head, core)  # type: ignore[misc]


async def test_a_failure_that_was_seen_at_one_box_is_so_at_all(
    autojump_clock: Clock,
) -> None:
    """MB-15 DU-06: also when both have started again."""
    async with open_shared_log() as log:
        async with open_box(log, "a") as (a, _), open_box(log, "b") as (b, _):
            await a.submitter.submit(request(run_id="r", fail=True))
            await until(lambda: b.bus.head > 3 and not b.table.views, b)
            await a.control.dismiss(["r"])
            await until(lambda: b.table.dismissed.run_ids == ("r",), b)
            assert a.table.dismissed.run_ids == ("r",)
            await b.control.dismiss(["r"])
        for box in ("a", "b"):
            async with open_box(log, box, life=f"{box}-2") as (core, _):
                assert core.table.dismissed.run_ids == ("r",)
        seen = [f.event for f in await whole_log(log.store) if f.type == "failures.dismissed"]  # fmt: skip
        assert seen == [FailuresDismissed(runs=("r",), box="a")]


async def test_a_retry_that_fails_is_news(autojump_clock: Clock) -> None:
    """MB-15 DU-06: it is another failure, though the first was seen."""
    async with open_two_boxes() as (a, b):
        await a.submitter.submit(request(run_id="r", fail=True))
        await until(lambda: b.bus.head > 3 and not b.table.views, b)
        await a.control.dismiss(["r"])
        again = (await b.submitter.retry("r")).view.run_id
        await until(lambda: again in a.table.views, a)
        await settle(a, b)
        assert a.table.dismissed.run_ids == b.table.dismissed.run_ids == ("r",)
        assert (await a.reader.view(again)).state == "failed"


async def test_another_run_of_a_forgotten_ones_id_is_news(
    autojump_clock: Clock,
) -> None:
    """MB-15 DU-06: at the boxes too that did not forget it themselves."""
    async with open_two_boxes() as (a, b):
        for _ in range(2):
            await a.submitter.submit(request(run_id="r", fail=True))
            await settle(a, b)
            await a.control.dismiss(["r"])
            await until(lambda: b.table.dismissed.run_ids == ("r",), b)
            assert await a.retention.prune(older_than=0, keep=0) == ["r"]
        await a.submitter.submit(request(run_id="r", fail=True))
        await settle(a, b)
        assert a.table.dismissed.run_ids == b.table.dismissed.run_ids == ()


async def test_a_drain_of_the_queue_is_everybodys(autojump_clock: Clock) -> None:
    """MB-15 SC-02: no box takes a new run, so that its end can be waited for; any box ends it."""
    async with (
        open_two_boxes() as (a, b),
        trio.open_nursery() as nursery,
    ):
        await b.submitter.submit(request(run_id="r", seconds=50))
        await until(lambda: "r" in a.table.views, a)
        nursery.start_soon(drain, a, waited := trio.Event())
        await until(lambda: b.statistics().draining == (None,), b)
        with pytest.raises(NotAvailable, match="the queue is drained"):
            await b.submitter.submit(request(run_id="new"))
        with trio.fail_after(60):
            await waited.wait()
        assert not b.table.views
        await b.queue.resume()
        await until(lambda: a.statistics().draining == (), a)
        await a.submitter.submit(request(run_id="new"))
        said = [f.event for f in await whole_log(a.store) if f.type == "queue.drained"]  # fmt: skip
        assert said == [QueueDrained(box="a")]


async def test_a_box_that_has_not_heard_of_a_drain_takes_nothing_in(
    autojump_clock: Clock,
) -> None:
    """MB-15 SC-02: whoever waited for the drain may rely on it."""
    async with open_two_boxes() as (a, b):
        await a.queue.drain()
        assert b.statistics().draining == ()
        with pytest.raises(NotAvailable, match="the queue is drained"):
            await b.submitter.submit(request(run_id="new"))


async def test_a_drain_that_is_resumed_elsewhere_is_waited_for_no_longer(
    autojump_clock: Clock,
) -> None:
    """MB-15 SC-02"""
    async with (
        open_two_boxes() as (a, b),
        trio.open_nursery() as nursery,
    ):
        await a.submitter.submit(request(run_id="r", seconds=10**6))
        nursery.start_soon(drain, a, waited := trio.Event())
        await until(lambda: b.statistics().draining == (None,), b)
        await b.queue.resume()
        with trio.fail_after(60):
            await waited.wait()
        assert "r" in a.table.views


async def test_a_drain_stands_where_several_share_the_log(
    autojump_clock: Clock,
) -> None:
    """MB-15: whichever daemon starts again, since it is not that one's; `resume` ends it."""
    async with open_shared_log() as log:
        async with open_box(log, "a") as (a, _), open_box(log, "b"):
            await a.queue.drain()
        async with (
            open_box(log, "a", life="a-2") as (a, _),
            open_box(log, "b", life="b-2") as (b, _),
        ):
            assert a.statistics().draining == b.statistics().draining == (None,)
            await b.queue.resume()
            await until(lambda: not a.table.draining, a)
            await a.submitter.submit(request(run_id="r"))


async def test_a_daemon_that_has_its_log_alone_takes_runs_again_when_it_starts(
    autojump_clock: Clock,
) -> None:
    """SC-02: and what was paused stays so."""
    async with inline_store() as store:
        async with open_fake_core(store=store) as core:
            await core.queue.drain()
            await core.queue.pause()
        async with open_fake_core(store=store, life="life-2") as core:
            assert core.statistics().draining == ()
            assert core.table.paused == {None: ""}
            await core.submitter.submit(request(run_id="r"))


async def test_a_drain_of_before_a_log_was_shared_ends_at_a_start(
    autojump_clock: Clock,
) -> None:
    """MB-15: as it would have at the file; `drain`, `shutdown`, `migrate` come one after the other."""
    async with open_shared_log() as log:
        async with open_fake_core(store=log.store) as core:
            await core.queue.drain()
        async with open_box(log, "a") as (a, _):
            assert a.statistics().draining == ()
            await a.submitter.submit(request(run_id="r"))


async def test_a_box_tells_how_many_execute_at_others(autojump_clock: Clock) -> None:
    """MB-15: the queue is everybody's, and a count of its own slots says half of that."""
    async with (
        open_shared_log() as log,
        open_box(log, "a") as (a, _),
        open_box(log, "b") as (b, _),
    ):
        b.table.claiming = False
        await a.submitter.submit(request(run_id="r", seconds=60.0))
        await until(lambda: b.table.elsewhere == 1, b)
        counts = [(c.statistics().running, c.statistics().elsewhere) for c in (a, b)]
        assert counts == [(1, 0), (0, 1)]
        await settle(a, b)
        assert b.statistics().elsewhere == 0
