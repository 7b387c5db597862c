"""The recorder: one writer, two doors, nothing seen before its commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing

from fakes.cores import virtual_now
from fakes.stores import enqueue
from penstock.log.kept import Fence
from penstock.log.new_events import new_event
from penstock.log.recorder import Recorder, open_recorder
from penstock.log.results import Appended, Result
from penstock.log.writes import Append, Claim, Complete, Enqueue, Write
from penstock.words.errors import (
    Conflict,
    LogDamaged,
    PenstockError,
    StoreAway,
    StoreBroken,
    StoreUnavailable,
    Terminal,
)
from penstock.words.events import Log, Milestone, RunCompleted, SubscriberLagged
from penstock.words.recorded import Recorded

FENCE = Fence("r", "life", 1)


@dataclass
class ScriptedStore:
    """Commits every decision after `seconds`, unless `fault` has something to say first."""

    seconds: float = 0.0
    fault: Callable[[Sequence[Write[Result]]], Exception | None] = lambda _batch: None
    batches: list[list[Write[Result]]] = field(default_factory=list)
    epoch: str = "epoch"

    async def commit(
        self, batch: Sequence[Write[Result]]
    ) -> list[Result | PenstockError]:
        await trio.sleep(self.seconds)
        if (error := self.fault(batch)) is not None:
            raise error
        self.batches.append(list(batch))
        return [Appended() for _ in batch]

    async def recall(self, head: int) -> list[Result | PenstockError] | None:
        await trio.lowlevel.checkpoint()
        return None


@dataclass
class Witness:
    """A follower that writes down what it is told, and when."""

    told: list[str] = field(default_factory=list)
    wants_claim: bool = False
    abandoned: int = 0
    head: int = 0

    def claim(self, batch: Sequence[Write[Result]], *, forced: bool) -> Claim | None:
        if not (self.wants_claim or forced):
            return None
        return Claim("life", 5, frozenset(), virtual_now())

    def apply(self, write: Write[Result], outcome: object) -> None:
        self.told.append(type(write).__name__)

    def fold(self, facts: Sequence[Recorded]) -> None:
        self.told.append("fold")
        self.head = facts[-1].position if facts else self.head

    def follow(self, facts: Sequence[Recorded]) -> None:
        self.told.append(f"follow {[fact.type for fact in facts]}")
        self.head = facts[-1].position

    def abandon(self) -> None:
        self.abandoned += 1


def recorder(store: Any, witness: Witness | None = None, **others: Any) -> Recorder:
    settings: dict[str, Any] = {
        "capacity": 4,
        "patience": 30.0,
        "coalesce_seconds": 1.0,
    }
    return Recorder(
        store=store,
        projection=witness or Witness(),
        now=virtual_now,
        **settings | others,
    )


def append(event: Any = None, fence: Fence | None = FENCE) -> Append:
    return Append((new_event("r", event or Log(text="x"), now=virtual_now()),), fence)


def complete() -> Complete:
    return Complete(FENCE, new_event("r", RunCompleted(), now=virtual_now()))


async def test_what_is_pending_rides_one_commit(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PF-03 ST-10"""
    store = ScriptedStore(seconds=1)
    async with open_recorder(recorder(store, capacity=100), drain_seconds=5) as rec:
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(rec.record, append())
    assert [len(batch) for batch in store.batches] in ([1, 49], [50])
    assert trio.current_time() <= 2


async def test_a_full_recorder_makes_pipelines_wait_and_drops_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """BP-04"""
    store = ScriptedStore(seconds=1)
    rec = recorder(store)
    most = 0
    async with open_recorder(rec, drain_seconds=5):
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(rec.record, append())
                for _ in range(4):
                    await trio.sleep(0.5)
                    most = max(most, rec.statistics().pending)
    assert most <= 4
    assert sum(len(batch) for batch in store.batches) == 20


async def test_concluding_needs_no_room_and_no_checkpoint(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """CC-05: with a full recorder and a cancelled scope."""
    store = ScriptedStore(seconds=10)
    rec = recorder(store)
    async with open_recorder(rec, drain_seconds=500):
        async with trio.open_nursery() as nursery:
            for _ in range(9):
                nursery.start_soon(rec.record, append())
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            rec.conclude(complete())
    flat = [type(d).__name__ for batch in store.batches for d in batch]
    assert flat.count("Complete") == 1


async def test_a_conclusion_follows_what_was_queued_and_closes_the_door(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """CC-04 CC-05 law 1"""
    store = ScriptedStore(seconds=1)
    rec = recorder(store)
    refused: list[str] = []

    async def say(number: int) -> None:
        try:
            await rec.record(append(Milestone(name=str(number))))
        except Terminal:
            refused.append(str(number))

    async with open_recorder(rec, drain_seconds=50):
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            # Four are being committed, four stand in the channel, and four wait for room.
            for number in range(12):
                nursery.start_soon(say, number)
            await trio.testing.wait_all_tasks_blocked()
            rec.conclude(complete())
            await trio.testing.wait_all_tasks_blocked()
            assert len(refused) == 4
            assert trio.current_time() < 1
    assert [len(batch) for batch in store.batches] == [4, 5]
    assert isinstance(store.batches[-1][-1], Complete)
    assert len(refused) == 4


async def test_a_waiter_cancelled_before_it_was_queued_wrote_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """SC-15 ST-08"""
    store = ScriptedStore(seconds=1)
    rec = recorder(store)
    async with open_recorder(rec, drain_seconds=50):
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            # Four are being committed, and four stand in the channel.
            for _ in range(8):
                nursery.start_soon(rec.record, append())
            await trio.testing.wait_all_tasks_blocked()
            with trio.move_on_after(0.1):
                await rec.record(append())
    assert sum(len(batch) for batch in store.batches) == 8


async def test_a_waiter_cancelled_later_loses_only_the_acknowledgement(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """CN-04"""
    store = ScriptedStore(seconds=1)
    rec = recorder(store)
    async with open_recorder(rec, drain_seconds=50):
        with trio.move_on_after(0.1):
            await rec.record(append())
    assert sum(len(batch) for batch in store.batches) == 1


async def test_waiters_wake_after_outcomes_and_views(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-11: outcome, fold, and only then the waiter."""
    witness = Witness()
    rec = recorder(ScriptedStore(), witness)
    async with open_recorder(rec, drain_seconds=5):
        await rec.record(append())
        witness.told.append("woken")
    assert witness.told == ["Append", "fold", "woken"]


async def test_every_batch_ends_with_the_claim(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """SC-03: end and next start share a commit."""
    store = ScriptedStore()
    rec = recorder(store, Witness(wants_claim=True))
    async with open_recorder(rec, drain_seconds=5):
        await rec.record(append())
        rec.kick()
        await trio.testing.wait_all_tasks_blocked()
    assert [[type(d).__name__ for d in batch] for batch in store.batches] == [
        ["Append", "Claim"],
        ["Claim"],
    ]


async def test_an_unavailable_store_is_asked_again_with_the_same_facts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-06 D-16"""
    store = ScriptedStore()
    store.fault = lambda _batch: (
        StoreUnavailable("disk full") if trio.current_time() < 5 else None
    )
    rec = recorder(store)
    write = append()
    async with open_recorder(rec, drain_seconds=5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rec.record, write)
            await trio.sleep(1)
            assert rec.statistics().unavailable == "disk full"
    assert store.batches == [[write]]
    assert rec.unavailable is None


class RecallingStore(ScriptedStore):
    """Loses the answer to its first commit, and tells later what that did."""

    lost: list[Result | PenstockError] | None = None

    async def commit(
        self, batch: Sequence[Write[Result]]
    ) -> list[Result | PenstockError]:
        results = await super().commit(batch)
        if len(self.batches) == 1:
            self.lost = results
            raise StoreUnavailable("reset")
        return results

    async def recall(self, head: int) -> list[Result | PenstockError] | None:
        await super().recall(head)
        lost, self.lost = self.lost, None
        return lost


async def test_a_commit_that_is_recalled_is_settled_as_if_its_answer_had_come(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """MB-09: its claim too, and nothing of it is written again."""
    store, witness = RecallingStore(), Witness(wants_claim=True)
    rec = recorder(store, witness)
    first, second = append(), append()
    async with open_recorder(rec, drain_seconds=5):
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(rec.record, first)
                await trio.sleep(0.01)
                witness.wants_claim = False
                nursery.start_soon(rec.record, second)
    assert [[type(w) for w in batch] for batch in store.batches] == [
        [Append, Claim],
        [Append],
    ]
    assert store.batches[1] == [second]
    assert witness.told == ["Append", "Claim", "fold", "Append", "fold"]
    assert rec.unavailable is None


async def test_after_its_patience_logs_are_dropped_and_facts_fail(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """D-16 WF-04: and a conclusion waits for ever."""
    store = ScriptedStore()
    store.fault = lambda _batch: (
        StoreUnavailable("disk full") if trio.current_time() < 100 else None
    )
    rec = recorder(store)
    async with open_recorder(rec, drain_seconds=500):
        rec.conclude(complete())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rec.record, append(Log(text="x"), None))
            with pytest.raises(StoreUnavailable):
                await rec.record(append(Milestone(name="m"), None))
        assert 30 <= trio.current_time() < 40
        assert rec.statistics().dropped == 1
        await trio.sleep(100)
    assert [type(d) for d in store.batches[0]] == [Complete]


async def test_facts_that_come_while_the_store_is_away_are_judged_by_their_own_age(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """D-16"""
    store = ScriptedStore()
    store.fault = lambda _batch: (
        StoreUnavailable("x") if trio.current_time() < 45 else None
    )
    rec = recorder(store)
    async with open_recorder(rec, drain_seconds=500):
        rec.conclude(complete())
        await trio.sleep(20)
        await rec.record(append(Milestone(name="late"), None))
    assert len(store.batches[0]) == 2


async def test_an_outage_holds_no_more_than_a_batch_and_a_full_channel(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """BP-04 D-16 CC-05: the others wait for room, and an end behind what was sent before it."""
    tried: list[int] = []

    def fault(batch: Sequence[Write[Result]]) -> Exception | None:
        tried.append(len(batch))
        return StoreUnavailable("x") if trio.current_time() < 5 else None

    store = ScriptedStore(fault=fault)
    rec = recorder(store)
    other = Fence("other", "life", 1)
    async with open_recorder(rec, drain_seconds=500):
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(rec.record, append())
            await trio.sleep(1)
            assert rec.statistics().pending == 4
            assert rec.statistics().waiting == 12
            rec.conclude(
                Complete(other, new_event("other", RunCompleted(), now=virtual_now()))
            )
    assert max(tried) <= 5
    assert [type(d) for d in store.batches[1]] == [Append] * 4 + [Complete]
    assert sum(len(batch) for batch in store.batches) == 21


async def test_a_new_run_is_refused_at_once_while_the_store_is_away(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-06 API-04: nothing hangs unasked; a child run waits with its parent."""
    store = ScriptedStore()
    store.fault = lambda _batch: (
        StoreUnavailable("disk full") if trio.current_time() < 5 else None
    )
    rec = recorder(store)
    async with open_recorder(rec, drain_seconds=5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rec.record, enqueue("child", capacity=None))
            with pytest.raises(StoreUnavailable):
                await rec.record(enqueue("run"))
            assert trio.current_time() < 1
    assert [d.spec.run_id for d in store.batches[0] if isinstance(d, Enqueue)] == [
        "child"
    ]


async def test_an_idle_recorder_probes_an_unavailable_store_every_second(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-06: new runs are refused while it is unavailable, so nothing else would ask it again."""
    asked: list[float] = []

    def fault(batch: Sequence[Write[Result]]) -> Exception | None:
        asked.append(trio.current_time())
        return StoreUnavailable("disk full") if trio.current_time() < 20.5 else None

    store = ScriptedStore(fault=fault)
    rec = recorder(store)
    async with open_recorder(rec, drain_seconds=5):
        with pytest.raises(StoreUnavailable):
            await rec.record(enqueue("run"))
        assert rec.unavailable == "disk full"
        await trio.sleep(30)
        assert rec.unavailable is None
        waits = [later - earlier for earlier, later in pairwise(asked[1:])]
        assert waits == pytest.approx([1.0] * 20)
        assert 20.5 <= asked[-1] < 21.6
        await rec.record(enqueue("run"))
    assert [len(batch) for batch in store.batches] == [0, 1]


async def test_a_recorder_that_probes_has_nothing_pending(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """SY-01: a stop does not wait for a store that nobody wants anything of."""
    store = ScriptedStore(fault=lambda _batch: StoreUnavailable("disk full"))
    rec = recorder(store)
    async with open_recorder(rec, drain_seconds=50):
        with pytest.raises(StoreUnavailable):
            await rec.record(enqueue("run"))
        await trio.sleep(3)
        stopped = trio.current_time()
    assert trio.current_time() - stopped < 2


@pytest.mark.parametrize("error", [StoreAway, StoreUnavailable])
async def test_only_what_may_have_been_written_is_said_to_be_unknown(
    autojump_clock: trio.testing.MockClock, error: type[StoreUnavailable]
) -> None:
    """ST-06: a store that was busy before the commit has written nothing."""
    store = ScriptedStore(fault=lambda _batch: error("busy"))
    rec = recorder(store)
    async with open_recorder(rec, drain_seconds=5):
        with pytest.raises(StoreUnavailable) as first:
            await rec.record(enqueue("run"))
        assert type(first.value) is error
        with pytest.raises(StoreUnavailable) as late:
            await rec.record(append(Milestone(name="m"), None))
        assert type(late.value) is error


async def test_damage_ends_the_daemon_only_for_what_is_open(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-08: a new run or a prune that meets it is refused, alone."""
    store = ScriptedStore()
    store.fault = lambda batch: (
        LogDamaged("a page") if any(isinstance(d, Enqueue) for d in batch) else None
    )
    rec = recorder(store)
    async with open_recorder(rec, drain_seconds=5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rec.record, append())
            with pytest.raises(LogDamaged):
                await rec.record(enqueue("run"))
    assert sum(len(batch) for batch in store.batches) == 1
    store.fault = lambda _batch: LogDamaged("a page")
    with pytest.RaisesGroup(StoreBroken):
        async with open_recorder(rec := recorder(store), drain_seconds=5):
            rec.conclude(complete())
            await trio.sleep_forever()


async def test_only_the_guilty_decision_of_a_batch_fails(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ER-03 ST-10"""
    guilty = append(Milestone(name="guilty"))
    store = ScriptedStore(seconds=0.1)
    store.fault = lambda batch: TypeError("a bug") if guilty in batch else None
    rec = recorder(store)
    async with open_recorder(rec, drain_seconds=5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rec.record, append())
            nursery.start_soon(rec.record, append())
            with pytest.raises(PenstockError, match="TypeError"):
                await rec.record(guilty)
    assert sum(len(batch) for batch in store.batches) == 2


@pytest.mark.parametrize(
    ("lost", "error"),
    [(0, StoreUnavailable("reset")), (1, StoreUnavailable("reset"))],
)
async def test_a_store_that_goes_away_amid_a_split_batch_ends_the_daemon(
    autojump_clock: trio.testing.MockClock, lost: int, error: StoreUnavailable
) -> None:
    """MB-09: what may have been written cannot be asked for again, since nobody knows of which write it was."""
    store = ScriptedStore()

    def fault(batch: Sequence[Write[Result]]) -> Exception | None:
        if len(batch) > 1:
            return ValueError("one of them")
        return error if len(store.batches) == lost else None

    store.fault = fault
    broken = pytest.RaisesExc(StoreBroken, match="written in part")
    with trio.fail_after(60), pytest.RaisesGroup(*[broken] * 3, flatten_subgroups=True):
        async with open_recorder(recorder(store), drain_seconds=5) as rec:
            async with trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(rec.record, append())
    assert len(store.batches) == lost


async def test_what_a_store_did_not_take_of_a_split_batch_waits_for_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-10: what was taken before is told to who asked for it, and is not done again."""
    store = ScriptedStore()
    away = True

    def fault(batch: Sequence[Write[Result]]) -> Exception | None:
        if len(batch) > 1:
            return ValueError("one of them")
        return StoreAway("off") if away and store.batches else None

    store.fault = fault
    with trio.fail_after(60):
        async with open_recorder(rec := recorder(store), drain_seconds=5):
            async with trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(rec.record, append())
                await trio.sleep(3)
                assert len(nursery.child_tasks) == 1
                assert rec.unavailable == "off"
                away = False
    assert [len(batch) for batch in store.batches] == [1, 1]


async def test_a_broken_store_ends_the_daemon_and_frees_who_waits_for_conclusions(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-08 ER-03: a failed fsync must not go unnoticed."""
    witness = Witness()
    store = ScriptedStore(fault=lambda _batch: StoreBroken("fsync"))
    rec = recorder(store, witness)
    with pytest.RaisesGroup(StoreBroken):
        async with open_recorder(rec, drain_seconds=5):
            rec.conclude(complete())
            await trio.sleep_forever()
    assert witness.abandoned
    rec.conclude(complete())
    assert witness.abandoned > 1


async def test_who_records_into_a_broken_store_is_told_and_does_not_wait(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-08 ER-03: those of the batch, those behind it, those in line for room, and whoever comes."""
    store = ScriptedStore(fault=lambda _batch: StoreBroken("fsync"))
    rec = recorder(store, capacity=2)
    told: list[str] = []

    async def record() -> None:
        try:
            await rec.record(append())
        except StoreBroken as error:
            told.append(str(error))

    with pytest.RaisesGroup(StoreBroken), trio.fail_after(5):
        async with open_recorder(rec, drain_seconds=60):
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as nursery:
                    for _ in range(9):
                        nursery.start_soon(record)
                await record()
    assert told == ["fsync"] * 10


async def test_notes_come_once_per_key_and_second_and_the_newest_wins(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """BP-02"""
    store = ScriptedStore()
    rec = recorder(store)
    async with open_recorder(rec, drain_seconds=5):
        for number in range(35):
            rec.coalesce("lag", SubscriberLagged(subscriber="s", dropped=number))
            await trio.sleep(0.1)
        await trio.sleep(2)
    dropped = [
        d.new_events[0].body
        for batch in store.batches
        for d in batch
        if isinstance(d, Append)
    ]
    assert 3 <= len(dropped) <= 5
    assert b'"dropped":34' in dropped[-1]


async def test_what_is_pending_is_committed_before_the_recorder_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """APP-06"""
    store = ScriptedStore(seconds=1)
    rec = recorder(store)
    async with open_recorder(rec, drain_seconds=5):
        rec.conclude(complete())
        rec.conclude(complete())
    assert sum(len(batch) for batch in store.batches) == 2


async def test_a_refusal_reaches_its_own_waiter_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-10"""

    class Refusing(ScriptedStore):
        async def commit(
            self, batch: Sequence[Write[Result]]
        ) -> list[Result | PenstockError]:
            await super().commit(batch)
            return [
                Conflict("stale") if n == 0 else Appended() for n in range(len(batch))
            ]

    rec = recorder(Refusing(seconds=1))
    async with open_recorder(rec, drain_seconds=5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_expect_conflict, rec)
            await trio.testing.wait_all_tasks_blocked()
            await trio.sleep(2)
        # Alone in its batch it would be the first: so this one is refused as well.
        with pytest.raises(Conflict):
            await rec.record(append())


async def _expect_conflict(rec: Recorder) -> None:
    with pytest.raises(Conflict):
        await rec.record(append())


async def test_a_worker_thread_records_through_the_loop() -> None:
    """BUS-01: a thread has one way in, and what it records is ordered with all else."""
    store = ScriptedStore()
    rec = recorder(store, capacity=100)

    def work(write: Append) -> None:
        trio.from_thread.run(rec.record, write)

    with trio.fail_after(30):
        async with open_recorder(rec, drain_seconds=5):
            async with trio.open_nursery() as nursery:
                for number in range(10):
                    told = append(Milestone(name=str(number)), None)
                    nursery.start_soon(trio.to_thread.run_sync, work, told)
    assert sum(len(batch) for batch in store.batches) == 10
