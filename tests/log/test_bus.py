"""The bus: one ring, a cursor per subscriber, no seam between history and live."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import accumulate
from typing import Any

import pytest
import trio
import trio.testing

from penstock.log.bus import Bus, Gap, Lagged, Overflow
from penstock.log.kept import RunRow
from penstock.testing.virtual_time import START
from penstock.words.events import Log, RunCompleted, RunQueued, encode_event
from penstock.words.recorded import Recorded
from penstock.words.values import new_event_id


class LogHistory:
    """A store that answers after a checkpoint, with what was committed by then."""

    def __init__(self) -> None:
        self.facts: list[Recorded] = []
        self.rows: dict[str, RunRow] = {}
        self.reads = 0

    async def read(
        self, run_id: str, after: int, limit: int, *, max_bytes: int
    ) -> list[Recorded]:
        self.reads += 1
        await trio.lowlevel.checkpoint()
        found = [f for f in self.facts if f.run_id == run_id and f.position > after]
        await trio.lowlevel.checkpoint()
        return found[:limit]

    async def read_all(
        self, after: int, limit: int, *, max_bytes: int
    ) -> list[Recorded]:
        self.reads += 1
        await trio.lowlevel.checkpoint()
        found = [f for f in self.facts if f.position > after]
        await trio.lowlevel.checkpoint()
        return found[:limit]

    async def run(self, run_id: str) -> RunRow | None:
        await trio.lowlevel.checkpoint()
        return self.rows.get(run_id)


class Log4:
    """A bus with a tiny ring over a log that grows by `add`."""

    def __init__(self, ring: int = 8, **limits: int) -> None:
        self.history = LogHistory()
        self.drops: list[tuple[str, int]] = []
        self.bus = Bus(
            self.history,
            head=0,
            floor=1,
            ring_events=ring,
            ring_bytes=limits.get("ring_bytes", 1_000_000),
            frame_events=limits.get("frame_events", 5),
            frame_bytes=limits.get("frame_bytes", 1_000_000),
            now=lambda: START,
            on_drop=lambda name, count: self.drops.append((name, count)),
        )

    def add(self, run_id: str, *events: Any) -> None:
        """Commit and publish in one step, as the recorder does."""
        facts = self.commit(run_id, *events)
        self.bus.publish(facts)

    def commit(self, run_id: str, *events: Any) -> list[Recorded]:
        facts = []
        for event in events:
            position = len(self.history.facts) + 1
            sequence = sum(f.run_id == run_id for f in self.history.facts) + 1
            fact = Recorded(
                position, run_id, sequence, new_event_id(), START + timedelta(seconds=position),
                {}, None, 0, event.type, encode_event(event),
            )  # fmt: skip
            self.history.facts.append(fact)
            facts.append(fact)
        return facts


def ended(run_id: str, last_position: int) -> RunRow:
    """The row of a run that has ended."""
    return RunRow(
        key=1, run_id=run_id, kind="x", inputs=b"{}", digest=b"", shown={}, priority=20, place=1,
        state="completed", reason="", life=None, token=1, attempt=1, group=None, parent_id=None,
        root_id=run_id, retry_of=None, after=(), open_prerequisites=0, timeout=None,
        used_seconds=0, code_version=0, cancel_requested=None, sequence=1,
        last_position=last_position, host="", labels={}, on_restart="fail", preemptible=False,
        needs={}, origin="",
        created_at=START, started_at=START, ended_at=START, outcome={},
    )  # fmt: skip


def lines(count: int) -> list[Log]:
    return [Log(text=str(n)) for n in range(count)]


async def positions(subscription: Any, until: int) -> list[int]:
    """Positions until one reaches `until`, or the stream ends."""
    seen: list[int] = []
    async for batch in subscription:
        seen += [fact.position for fact in batch.facts]
        if seen and seen[-1] >= until:
            break
    return seen


DONE = RunCompleted()


async def test_history_then_live_has_no_gap_and_no_repeat(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """BUS-06 BUS-03: with publishing at every checkpoint of the reader."""
    log = Log4()
    log.add("a", *lines(50))

    async def publish() -> None:
        for _ in range(100):
            log.add("a", *lines(1))
            await trio.lowlevel.checkpoint()

    with log.bus.subscribe(None, 0) as subscription:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish)
            assert await positions(subscription, 150) == list(range(1, 151))
    assert log.history.reads > 0


async def test_all_subscribers_of_a_run_see_the_same_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """BUS-02 WS-01 QA-01"""
    log = Log4(ring=4)
    seen: list[list[int]] = []

    async def read(delay: float) -> None:
        mine: list[int] = []
        with log.bus.subscribe("a", 0) as subscription:
            async for batch in subscription:
                mine += [fact.position for fact in batch.facts]
                await trio.sleep(delay)
        seen.append(mine)

    async with trio.open_nursery() as nursery:
        for delay in (0, 0.5, 3):
            nursery.start_soon(read, delay)
        for _ in range(30):
            log.add("a", *lines(2))
            log.add("b", *lines(1))
            await trio.sleep(0.1)
        log.add("a", DONE)
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == 61


@pytest.mark.parametrize("when", ["before", "during", "after"])
async def test_a_stream_ends_with_the_terminal_whenever_it_was_opened(
    when: str, autojump_clock: trio.testing.MockClock
) -> None:
    """BUS-04"""
    log = Log4(ring=2)
    story: list[Any] = [RunQueued(kind="x", priority=0), *lines(5), DONE]

    async def tell() -> None:
        for event in story:
            log.add("a", event)
            await trio.sleep(1)
        log.add("b", *lines(10))

    async def read() -> list[int]:
        with log.bus.subscribe("a", 0) as subscription:
            return await positions(subscription, 10**9)

    with trio.fail_after(100):
        async with trio.open_nursery() as nursery:
            if when != "before":
                nursery.start_soon(tell)
            await trio.sleep({"before": 0, "during": 3, "after": 50}[when])
            if when == "before":
                nursery.start_soon(tell)
            assert await read() == list(range(1, 8))


async def test_subscribing_after_the_terminal_position_ends_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """BUS-04: the store alone knows of a run that ended long ago."""
    log = Log4()
    log.add("a", DONE)
    log.history.rows["a"] = ended("a", 1)
    with trio.fail_after(10), log.bus.subscribe("a", 1) as subscription:
        assert await positions(subscription, 10**9) == []


async def test_subscribing_before_the_run_exists_waits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """WS-08"""
    log = Log4()
    log.add("other", *lines(3))
    got: list[int] = []

    async def read() -> None:
        with log.bus.subscribe("a", 0) as subscription:
            got.extend(await positions(subscription, 10**9))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.sleep(5)
        log.add("a", RunQueued(kind="x", priority=0), DONE)
    assert got == [4, 5]


@pytest.mark.parametrize("overflow", ["catch_up", "drop_oldest", "disconnect"])
async def test_a_slow_reader_gets_what_its_policy_says(
    overflow: Overflow, autojump_clock: trio.testing.MockClock
) -> None:
    """WS-09 BUS-03"""
    log = Log4(ring=10)
    seen: list[int] = []
    gaps: list[tuple[int, int]] = []

    async def read() -> None:
        with log.bus.subscribe(None, 0, overflow=overflow, name="slow") as subscription:
            async for batch in subscription:
                seen.extend(fact.position for fact in batch.facts)
                if batch.gap is not None:
                    gaps.append((batch.gap.first, batch.gap.last))
                if seen and seen[-1] >= 1000:
                    return
                await trio.sleep(1)

    async def flood() -> None:
        for _ in range(200):
            log.add("a", *lines(5))
            await trio.sleep(0.01)

    async def both() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.sleep(0.5)
            nursery.start_soon(flood)

    if overflow == "disconnect":
        with pytest.RaisesGroup(Lagged):
            await both()
        return
    await both()
    missing = {p for first, last in gaps for p in range(first, last + 1)}
    assert sorted(missing | set(seen)) == list(range(1, 1001))
    assert not missing & set(seen)
    assert bool(gaps) == (overflow == "drop_oldest")
    # What is told is how many are missing by now, and not how often some were.
    counts = [last - first + 1 for first, last in gaps]
    assert log.drops == [("slow", total) for total in accumulate(counts)]
    assert log.bus.statistics().dropped == sum(counts)


async def test_a_cursor_below_the_floor_gets_a_gap_and_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """BUS-07"""
    log = Log4(ring=2)
    log.add("a", *lines(600))
    log.bus.forget_below(401)
    log.history.facts = log.history.facts[400:]
    with log.bus.subscribe(None, 10) as subscription:
        first = await anext(subscription)
        assert first.gap is not None
        assert (first.gap.first, first.gap.last, first.gap.count) == (11, 400, 390)
        assert await positions(subscription, 600) == list(range(401, 601))


@pytest.mark.parametrize("run_id", [None, "a"])
async def test_a_cursor_above_the_head_is_told_and_goes_on_from_the_head(
    autojump_clock: trio.testing.MockClock, run_id: str | None
) -> None:
    """BUS-07: the log was put back, or the place is of another one."""
    log = Log4()
    log.add("a", *lines(3))
    with log.bus.subscribe(run_id, 5) as subscription:
        first = await anext(subscription)
        assert (first.facts, first.gap) == ((), Gap(4, 5, put_back=True))
        log.add("a", *lines(4))
        assert await positions(subscription, 7) == [4, 5, 6, 7]


@pytest.mark.parametrize("ring", [8, 1])
async def test_a_place_that_holds_another_fact_is_told_and_read_again(
    autojump_clock: trio.testing.MockClock, ring: int
) -> None:
    """BUS-07: a log that was put back may be as long as before."""
    log = Log4(ring=ring)
    log.add("a", *lines(4))
    mine = log.history.facts[1].event_id
    with log.bus.subscribe(None, 2, after_id=mine) as subscription:
        assert await positions(subscription, 4) == [3, 4]
    with log.bus.subscribe("a", 2, after_id=new_event_id()) as subscription:
        assert (await anext(subscription)).gap == Gap(2, 2, put_back=True)
        assert await positions(subscription, 4) == [2, 3, 4]


async def test_a_place_is_looked_at_again_after_a_wait_that_was_cut_short(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """BUS-07: a heartbeat cuts waits short."""
    log = Log4()
    log.add("a", *lines(2))
    with log.bus.subscribe(None, 2, after_id=new_event_id()) as subscription:
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(subscription)
        assert (await anext(subscription)).gap == Gap(2, 2, put_back=True)


async def test_a_place_that_was_pruned_is_taken_as_it_is_said(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """BUS-07: what is not kept says nothing of what it was."""
    log = Log4()
    log.add("a", *lines(4))
    del log.history.facts[:3]
    log.bus.forget_below(4)
    with log.bus.subscribe(None, 2, after_id=new_event_id()) as subscription:
        assert (await anext(subscription)).gap == Gap(3, 3)


async def test_a_drop_that_hides_the_terminal_still_ends_the_stream(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """BUS-04 WS-09: the gap may hold the last fact of the run."""
    log = Log4(ring=4)
    log.add("a", *lines(1))
    with (
        trio.fail_after(50),
        log.bus.subscribe("a", 0, overflow="drop_oldest") as subscription,
    ):
        await anext(subscription)
        log.add("a", DONE)
        log.add("b", *lines(600))
        log.history.rows["a"] = ended("a", 2)
        async for batch in subscription:
            assert not batch.facts


async def test_batches_hold_at_most_a_frame_and_at_least_one_fact(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """WS-05"""
    log = Log4(ring=100, frame_events=5, frame_bytes=150)
    log.add("a", *lines(12), Log(text="x" * 1000), *lines(2))
    sizes: list[int] = []
    with log.bus.subscribe(None, 0) as subscription:
        async for batch in subscription:
            sizes.append(len(batch.facts))
            assert len(batch.facts) == 1 or sum(len(f.body) for f in batch.facts) <= 150
            if subscription.cursor == 15:
                break
    assert max(sizes) <= 5


async def test_the_ring_is_bounded_in_events_and_bytes() -> None:
    """QA-05 BP-04"""
    log = Log4(ring=100, ring_bytes=5000)
    for _ in range(20):
        log.add("a", *lines(50))
    assert log.bus.statistics().ring_events <= 100
    log.add("a", *[Log(text="x" * 900)] * 20)
    assert log.bus.statistics().ring_bytes <= 5000
    assert log.bus.first + log.bus.statistics().ring_events == log.bus.head + 1


async def test_nothing_of_a_reader_stays_when_it_leaves(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """BUS-05 WS-02: cancelled, crashed, or simply gone."""
    log = Log4()

    async def read(run_id: str | None) -> None:
        with log.bus.subscribe(run_id, 0) as subscription:
            async for _ in subscription:
                pass

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(read, f"r{number}")
        nursery.start_soon(read, None)
        await trio.testing.wait_all_tasks_blocked()
        assert len(log.bus.subscribers()) == 101
        nursery.cancel_scope.cancel()
    assert log.bus.subscribers() == []
    assert log.bus._lots == {}


async def test_what_is_committed_but_not_published_is_seen_by_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-11"""
    log = Log4(ring=1)
    log.add("a", *lines(600))
    hidden: Sequence[Recorded] = log.commit("a", *lines(1))
    with log.bus.subscribe(None, 0) as subscription:
        assert await positions(subscription, 600) == list(range(1, 601))
        with trio.move_on_after(1) as scope:
            while True:
                assert (await anext(subscription)).facts == ()
        assert scope.cancelled_caught
        log.bus.publish(hidden)
        assert await positions(subscription, 601) == [601]


async def test_each_of_many_that_wait_for_one_run_is_woken_each_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """BUS-04: one that waits again at once is not forgotten with those that woke after it."""
    log = Log4()
    heard = [0, 0, 0]

    async def listen(number: int) -> None:
        while heard[number] < 20:
            await log.bus.wait_published("a")
            heard[number] += 1

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for number in range(len(heard)):
                nursery.start_soon(listen, number)
            for _ in range(20):
                await trio.testing.wait_all_tasks_blocked()
                log.add("a", *lines(1))
    assert log.bus._lots == {}


async def test_readers_at_the_same_place_get_the_same_batch(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PF-04: what is made of it for one of them is made for all; of another run it is another."""
    log = Log4()
    with (
        trio.fail_after(10),
        log.bus.subscribe(None, 0) as one,
        log.bus.subscribe(None, 0) as two,
        log.bus.subscribe("a", 0) as of_run,
    ):
        log.add("a", *lines(2))
        log.add("b", *lines(1))
        first = await anext(one)
        assert first is await anext(two)
        assert (first.live, first.last) == (True, False)
        own = await anext(of_run)
        assert [fact.position for fact in own.facts] == [1, 2]
        # The cursor of one run's reader stands behind the facts of the others, too.
        assert own.live
        log.add("a", DONE)
        more = await anext(one)
        assert more is await anext(two)
        assert more is not first
        assert (more.live, more.last) == (True, False)
        end = await anext(of_run)
        assert (end.live, end.last) == (True, True)
        with pytest.raises(StopAsyncIteration):
            await anext(of_run)


@pytest.mark.parametrize("ring", [8, 20])
async def test_a_batch_is_live_only_if_nothing_recorded_is_still_to_come(
    ring: int,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """WS-05: for a reader of the store as for one of the ring."""
    log = Log4(ring=ring, frame_events=3)
    log.add("a", *lines(12))
    with trio.fail_after(10), log.bus.subscribe(None, 0) as subscription:
        told = [await anext(subscription) for _ in range(4)]
    assert [batch.live for batch in told] == [False, False, False, True]
    assert [len(batch.facts) for batch in told] == [3, 3, 3, 3]


async def test_a_batch_that_was_live_is_not_shared_with_who_comes_after_more(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """WS-05"""
    log = Log4()
    with (
        trio.fail_after(10),
        log.bus.subscribe(None, 0) as early,
        log.bus.subscribe(None, 0) as late,
    ):
        log.add("a", *lines(2))
        first = await anext(early)
        log.add("a", *lines(1))
        second = await anext(late)
    assert (len(first.facts), first.live) == (2, True)
    assert (len(second.facts), second.live) == (3, True)
