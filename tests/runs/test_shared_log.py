"""Several daemons on one log: what each does of its own, and what it does at the word of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing

from fakes.cores import Nothing, Seconds, kind, wait_ended, whole_log
from fakes.shared_log import (
    LEASE,
    BoxStore,
    open_box,
    open_shared_log,
    open_two_boxes,
    placed,
    submit,
    until,
)
from fakes.stores import append, enqueue
from penstock.log.new_events import new_event
from penstock.log.put_back import one_broken_store
from penstock.log.spans import TraceSpan
from penstock.log.store import Store
from penstock.log.writes import Release, Write
from penstock.pipeline import Run
from penstock.runs.core import Core
from penstock.runs.table import RunTable
from penstock.runs.tracing import attach_spans
from penstock.server.meter import attach_meter
from penstock.testing import FakeProcesses, FakeProgram
from penstock.words.errors import (
    PenstockError,
    QueueFull,
    StoreBroken,
    StoreUnavailable,
)
from penstock.words.events import BoxLost, Log, RunRequeued
from penstock.words.lifecycle import TERMINAL_STATES
from penstock.words.recorded import Recorded

Clock = trio.testing.MockClock


async def check_shared(store: Store) -> None:
    """Dense positions, each sequence whole, and one end a run."""
    facts = await whole_log(store)
    assert [fact.position for fact in facts] == list(range(1, len(facts) + 1))
    ends = [f.run_id for f in facts if f.type.removeprefix("run.") in TERMINAL_STATES]
    assert len(ends) == len(set(ends))


async def test_each_box_executes_what_it_claims_and_all_see_everything(
    autojump_clock: Clock,
) -> None:
    """MB-01: slots are those of a box."""
    async with open_two_boxes(max_concurrent=1) as (a, b):
        for run_id in ("r1", "r2", "r3"):
            await submit(a, run_id)
        wanted = {"r1": "a", "r2": "b"}
        await until(lambda: placed(b) == wanted, b)
        await until(lambda: placed(a) == wanted, a)
        assert set(a.table.executions) == {"r1"}
        assert set(b.table.executions) == {"r2"}
        for core in (a, b):
            await until(lambda core=core: core.table.queue.queued == 1, core)  # type: ignore[misc]
        assert [await core.reader.view("r3") for core in (a, b)]
        await a.control.cancel("r1", "enough", wait=True)
        await until(lambda: placed(b) == {"r2": "b", "r3": "a"}, b)
        await check_shared(a.store)


async def test_a_cancel_acts_where_the_run_is_and_tells_of_it_once_it_is_over(
    autojump_clock: Clock,
) -> None:
    """CN-01: never by what the asking box knows of its own."""
    over: list[float] = []

    async def slow_to_end(run: Run, inputs: Seconds) -> Nothing:
        try:
            await trio.sleep(inputs.seconds)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)
            over.append(trio.current_time())
        return Nothing()

    slow = kind("slow", slow_to_end)
    async with (
        open_shared_log() as log,
        open_box(log, "a", slow) as (a, _),
    ):
        await submit(a, "r1", kind="slow")
        await until(lambda: placed(a) == {"r1": "a"}, a)
        async with open_box(log, "b", slow) as (b, _):
            unwaited = await b.control.cancel("r1", "at once")
            assert (unwaited.outcome, unwaited.gone_at) == ("cancelled", None)
            assert unwaited.under_way
            receipt = await b.control.cancel("r1", "enough", wait=True)
            assert over == [trio.current_time()] or over[0] < trio.current_time()
            assert (receipt.outcome, receipt.box) == ("cancelled", "a")
            assert receipt.gone_at is not None
        # Once, and by nobody else: a start takes nothing of a box that is there.
        told = [fact.type for fact in await whole_log(log.store) if fact.run_id == "r1"]
        assert told.count("run.started") == 1
        assert "run.requeued" not in told
        await check_shared(log.store)


async def test_what_another_box_gave_away_ends_here_and_holds_up_no_stop(
    autojump_clock: Clock,
) -> None:
    """MB-05: our lease was over by its word; what it gave away may even come back before we are gone."""
    ended: list[int] = []

    async def stays(run: Run, inputs: Seconds) -> Nothing:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(run.attempt)
        return Nothing()

    async with (
        open_shared_log() as log,
        open_box(log, "b") as (b, _),
        open_box(log, "a", kind("stays", stays)) as (a, _),
    ):
        await submit(a, "r1", kind="stays")
        await until(lambda: placed(b) == {"r1": "a"}, b)
        first = a.table.executions["r1"]
        away = new_event("r1", RunRequeued(reason="crash"), now=b.now())
        await b.recorder.record(Release(first.fence, away))
        try:
            with trio.fail_after(100):
                await first.concluded.wait()
        finally:
            # A stop waits for it, come what may: who finds a bug here must not wait for ever.
            first.concluded.set()
        await until(lambda: "r1" in a.table.executions, a)
        # It unwinds by itself: what is executed anew may be there before its last step.
        await trio.testing.wait_all_tasks_blocked()
        assert ended == [1]


async def test_who_waits_in_vain_for_another_box_is_told_that_nothing_is_known(
    autojump_clock: Clock,
) -> None:
    """CN-03: the box is cut off, and its lease not over yet."""
    async with (
        open_shared_log() as log,
        open_box(log, "b", cancel_sla=2.0) as (b, _),
        open_box(log, "a") as (a, a_store),
    ):
        await submit(a, "r1")
        await until(lambda: placed(b) == {"r1": "a"}, b)
        a_store.cut = True
        receipt = await b.control.cancel("r1", "enough", wait=True)
        assert (receipt.gone_at, receipt.survivors) == (None, "unknown")
        a_store.cut = False
        await wait_ended(b, "r1")
        await check_shared(log.store)


async def test_slots_of_a_group_are_counted_over_all_boxes(
    autojump_clock: Clock,
) -> None:
    """SC-05"""
    groups = {"g": {"slots": 2}}
    async with (
        open_shared_log() as log,
        open_box(log, "a", groups=groups, max_concurrent=1) as (a, _),
        open_box(log, "b", groups=groups, max_concurrent=5) as (b, _),
    ):
        for n in range(4):
            await submit(a, f"r{n}", group="g")
        await until(lambda: sorted(placed(b).values()) == ["a", "b"], b)
        await until(lambda: "r3" in b.table.views, b)
        mine, theirs = (next(iter(box.table.executions)) for box in (a, b))
        [full] = [r for r in (await b.why("r3")).reasons if r.code == "group_slots"]
        assert full.runs == (theirs, mine)
        taken = f"taken by {theirs} (MEDIUM) and {mine} (MEDIUM) on the box a."
        assert full.text == f"Its group 'g' has 2 slots, {taken}"
        await b.control.cancel(mine, "enough", wait=True)
        await until(lambda: len(placed(b)) == 2 and mine not in placed(b), b)
        await check_shared(log.store)


async def test_a_program_is_paused_and_goes_on_at_the_word_of_another_box(
    autojump_clock: Clock,
) -> None:
    """CN-10"""
    processes = FakeProcesses({"tool": FakeProgram(seconds=60.0)})

    async def program(run: Run, _inputs: Seconds) -> Nothing:
        await run.exec(["tool"])
        return Nothing()

    tool = kind("tool", program)
    async with (
        open_shared_log() as log,
        open_box(log, "a", tool, processes=processes) as (a, _),
        open_box(log, "b", tool, max_concurrent=1) as (b, _),
    ):
        await submit(a, "r1", kind="tool")
        await until(lambda: placed(b) == {"r1": "a"}, b)
        await until(lambda: bool(a.table.executions["r1"].programs), a)
        await b.suspension.pause("r1")
        with trio.fail_after(60):
            while not processes.stopped:  # noqa: ASYNC110  (no fact tells that it was done)
                await trio.sleep(0.1)
        assert not a.table.executions["r1"].going.is_set()
        await b.suspension.resume("r1")
        await wait_ended(b, "r1")
        assert (await b.reader.view("r1")).state == "completed"
        await check_shared(log.store)


async def test_a_question_is_answered_at_another_box(autojump_clock: Clock) -> None:
    """PL-07"""
    answers: list[str] = []

    async def asks(run: Run, _inputs: Seconds) -> Nothing:
        answers.append(await run.ask("which", "Which?"))
        return Nothing()

    asking = kind("asking", asks)
    async with open_two_boxes(asking) as (a, b):
        await submit(a, "r1", kind="asking")
        await until(lambda: "r1" in b.table.views and bool(b.table.views["r1"].asks), b)
        await b.control.answer("r1", "which", "this", "somebody")
        await wait_ended(b, "r1")
        assert answers == ["this"]
        await check_shared(a.store)


async def test_a_terminal_of_a_run_elsewhere_is_refused_with_the_name_of_its_box(
    autojump_clock: Clock,
) -> None:
    async with open_two_boxes() as (a, b):
        await submit(a, "r1")
        await until(lambda: placed(b) == {"r1": "a"}, b)
        assert b.control._box_elsewhere("r1") == "a"
        assert a.control._box_elsewhere("r1") == ""


async def test_a_stop_that_cancels_means_its_own_box(autojump_clock: Clock) -> None:
    """MB-13: the queue is everybody's."""
    async with (
        open_shared_log() as log,
        open_box(log, "b", max_concurrent=1) as (b, _),
    ):
        async with open_box(log, "a", max_concurrent=1) as (a, _):
            for run_id in ("r1", "r2", "r3"):
                await submit(a, run_id)
            await until(lambda: placed(b) == {"r1": "a", "r2": "b"}, b)
            await a.shutdown(cancel_queued=True)
        await until(lambda: placed(b) == {"r2": "b"}, b)
        assert (await b.reader.view("r1")).state == "cancelled"
        assert (await b.reader.view("r3")).state == "queued"
        await check_shared(log.store)


async def test_what_a_silent_box_executed_is_taken_over_when_its_lease_is_over(
    autojump_clock: Clock,
) -> None:
    """MB-03 MB-05: not before; and the box that was cut off writes nothing more when it is back."""
    async with open_shared_log() as log, open_box(log, "b", max_concurrent=5) as (b, _):
        with pytest.raises(StoreBroken), one_broken_store():
            async with open_box(log, "a", max_concurrent=5) as (a, a_store):
                await b.queue.pause()
                await b.queue.resume()
                for n, on_restart in enumerate(("requeue", "fail", "ask")):
                    await submit(a, f"r{n}", on_restart=on_restart)
                await until(lambda: set(placed(b).values()) == {"a"}, b)
                await until(lambda: len(placed(b)) == 3, b)
                cut_at, a_store.cut = trio.current_time(), True
                await until(lambda: placed(b) == {"r0": "b"}, b)
                assert trio.current_time() - cut_at >= LEASE * 3 / 4
                await until(lambda: len(b.table.views) == 2, b)
                a_store.cut = False
                await trio.sleep_forever()
        states = [(await b.reader.view(f"r{n}")).state for n in range(3)]
        assert states == ["running", "failed", "waiting"]
        # It is looked for some more times, and told once.
        await trio.sleep(LEASE)
        lost = [f.event for f in await whole_log(log.store) if f.type == "box.lost"]
        [told] = lost
        assert isinstance(told, BoxLost)
        assert (told.box, told.life) == ("a", "a-1")
        assert told.silent_seconds >= LEASE
        await check_shared(log.store)


async def test_a_cut_that_is_shorter_than_the_lease_ends_nothing(
    autojump_clock: Clock,
) -> None:
    """MB-06"""
    async with (
        open_shared_log() as log,
        open_box(log, "b") as (b, _),
        open_box(log, "a") as (a, a_store),
    ):
        await submit(a, "r1", seconds=30)
        await until(lambda: placed(b) == {"r1": "a"}, b)
        for _ in range(3):
            a_store.cut = True
            # It was renewed a quarter of it ago, and is asked again a second later.
            await trio.sleep(LEASE * 0.5)
            a_store.cut = False
            await trio.sleep(LEASE * 0.5)
        await wait_ended(b, "r1")
        view = await b.reader.view("r1")
        assert (view.state, view.attempt) == ("completed", 1)
        assert {row.state for row in await a_store.boxes()} == {"here"}


async def test_whoever_dies_while_it_takes_over_is_followed_by_the_next(
    autojump_clock: Clock,
) -> None:
    """MB-03: lost is who has open runs and no lease, not who was told to be."""
    async with open_shared_log() as log:
        with pytest.raises(StoreBroken), one_broken_store():
            async with open_box(log, "a") as (a, _):
                await submit(a, "r1", on_restart="requeue")
                await until(lambda: placed(a) == {"r1": "a"}, a)
                # As a box leaves it that noted the loss, and nothing more.
                log.execute("UPDATE boxes SET state = 'lost' WHERE box = 'a'")
                await trio.sleep_forever()
        async with open_box(log, "b") as (b, _):
            await until(lambda: placed(b) == {"r1": "b"}, b)
            assert (await b.reader.view("r1")).attempt == 2
        await check_shared(log.store)


async def test_every_decision_is_made_once_though_answers_are_lost_and_others_write(
    autojump_clock: Clock,
) -> None:
    """MB-09: no run fails, none is executed twice, and each has one end."""
    async with (
        open_shared_log() as log,
        open_box(log, "a", max_concurrent=3) as (a, a_store),
        open_box(log, "b", max_concurrent=3) as (b, b_store),
    ):
        stores: tuple[BoxStore, BoxStore] = (a_store, b_store)
        for store in stores:
            store.lose_every = 3
        ids = [f"r{n}" for n in range(60)]
        async with trio.open_nursery() as nursery:
            for n, run_id in enumerate(ids):
                nursery.start_soon(_submit_surely, (a, b)[n % 2], run_id)
        for run_id in ids:
            await wait_ended(a, run_id)
            await wait_ended(b, run_id)
        for store in stores:
            assert store.lost_answers >= 5
        views = [await b.reader.view(run_id) for run_id in ids]
        assert {(v.state, v.attempt) for v in views} == {("completed", 1)}
        assert {v.box for v in views} == {"a", "b"}
        assert a.table.executions == b.table.executions == {}
        await check_shared(log.store)


async def _submit_surely(core: Core, run_id: str) -> None:
    """As a client does: who is told that the log is away comes again under the same id."""
    while True:
        try:
            await submit(core, run_id, seconds=1)
        except PenstockError as error:
            if not isinstance(error, StoreUnavailable | QueueFull):
                raise
            await trio.sleep(0.05)
        else:
            return


async def test_a_run_is_counted_and_traced_by_the_box_that_executes_it(
    autojump_clock: Clock,
) -> None:
    """TR-06: all boxes see it; sums over them must be true."""
    async with open_two_boxes(max_concurrent=1) as (a, b):
        meters = {"a": attach_meter(a), "b": attach_meter(b)}
        spans: dict[str, list[TraceSpan]] = {"a": [], "b": []}
        attach_spans(a.table, spans["a"].append)
        attach_spans(b.table, spans["b"].append)
        for run_id in ("r1", "r2"):
            await submit(a, run_id, seconds=5)
        for core in (a, b):
            await wait_ended(core, "r1")
            await wait_ended(core, "r2")
        views = [await a.reader.view(run_id) for run_id in ("r1", "r2")]
        assert {view.box for view in views} == {"a", "b"}
        for name in ("a", "b"):
            assert sum(meters[name].ended.values()) == 1
            runs = [span for span in spans[name] if span.name.startswith("run")]
            assert len(runs) == 1


def positions_read(store: BoxStore) -> list[list[int]]:
    """Where the facts of each page stand that a box reads from now on."""
    pages: list[list[int]] = []
    read = store.read_all

    async def noted(*args: Any, **named: Any) -> list[Recorded]:
        facts = await read(*args, **named)
        pages.append([fact.position for fact in facts])
        return facts

    store.read_all = noted  # type: ignore[method-assign]
    return pages


async def test_what_others_wrote_is_read_to_its_end_and_no_further(
    autojump_clock: Clock,
) -> None:
    """MB-01: one word of it is enough, however much it was; the last page is known as such."""
    async with open_shared_log() as log, open_box(log, "b") as (b, b_store):
        await trio.testing.wait_all_tasks_blocked()
        a_store = log.join("a")
        await a_store.commit([enqueue("many")])
        with trio.fail_after(1):
            await b.bus.wait_published("many")
        pages = positions_read(b_store)
        await a_store.commit([append("many", *[Log(text="x")] * 1200)])
        (head,) = log.execute("SELECT max(position) FROM events").fetchone()
        # Well before it looks by itself.
        with trio.fail_after(1):
            await until(lambda: b.table.head == head, b)
            await trio.sleep(0.5)
        assert [len(page) for page in pages] == [500, 500, 200]


async def test_a_box_reads_what_others_wrote_before_it_and_not_its_own(
    autojump_clock: Clock,
) -> None:
    """PF-02: its own facts are at hand."""
    async with open_shared_log() as log, open_box(log, "b") as (b, b_store):
        await trio.testing.wait_all_tasks_blocked()
        # Nobody tells of these.
        log.store._commit([enqueue("far", capacity=None)])
        pages = positions_read(b_store)
        await submit(b, "near")
        facts = await whole_log(log.store)
        (far,) = [f.position for f in facts if f.run_id == "far"]
        # A word of its own commit may have it look in vain.
        assert [page for page in pages if page] == [[far]]
        assert b.table.head >= facts[-1].position


async def test_what_others_wrote_within_a_batch_that_went_one_by_one_is_folded(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MB-01: a batch that fails as a whole is as many commits, and others have turns between them."""
    folded: list[int] = []
    fold = RunTable.fold

    def noted(table: RunTable, facts: Sequence[Recorded]) -> None:
        folded.extend(fact.position for fact in facts)
        fold(table, facts)

    async with open_shared_log() as log, open_box(log, "b") as (b, b_store):
        await trio.testing.wait_all_tasks_blocked()
        log.store._commit([enqueue("far", capacity=None, kind="nobodys")])
        commit = b_store.commit

        async def split(batch: Sequence[Write[Any]]) -> list[Any]:
            if len(batch) > 1:
                raise RuntimeError("not as a whole")
            results = await commit(batch)
            log.store._commit([append("far", Log(text="between"))])
            return results

        monkeypatch.setattr(b_store, "commit", split)
        monkeypatch.setattr(RunTable, "fold", noted)
        async with trio.open_nursery() as nursery:
            for run_id in ("r1", "r2", "r3"):
                nursery.start_soon(submit, b, run_id)
        assert folded == list(range(folded[0], folded[-1] + 1))
        assert len({"r1", "r2", "r3"} & b.table.views.keys()) == 3
