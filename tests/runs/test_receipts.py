"""A receipt speaks of the whole tree of runs, and claims no more than its weakest proof."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
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
    virtual_now,
    wait_ended,
)
from fakes.stores import append, claim, enqueue, inline_store
from penstock.log.audit import audit_whole
from penstock.log.kept import TreeRun
from penstock.log.results import Claimed
from penstock.log.sqlite.whole_file import WholeFile
from penstock.pipeline import Kind, Run
from penstock.processes.process import Proof
from penstock.runs.core import Core
from penstock.runs.receipts import (
    RunEnd,
    end_of_proofs,
    end_of_row,
    make_receipt,
    merge_ends,
)
from penstock.testing import FakeProgram, memory_environment
from penstock.words.errors import StoreUnavailable
from penstock.words.events import ProcessStarted

Clock = trio.testing.MockClock
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class StubbornProcesses(FakeProcesses):
    """Programs that take two seconds to end, and leave what `proofs_of` says."""

    def __init__(self, prove: Callable[[Proof], Proof] = lambda proof: proof) -> None:
        super().__init__()
        self._prove = prove

    async def __call__(self, program: Any, *, on_proof: Any, **others: Any) -> Any:
        def late(proof: Proof) -> None:
            on_proof(self._prove(proof))

        try:
            return await super().__call__(program, on_proof=late, **others)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)


def nested(depth: int) -> Kind:
    """A kind whose runs have a child below a child; the lowest executes a program."""

    async def pipeline(run: Run, inputs: Seconds) -> Nothing:
        if run.run_id.count(".") < depth:
            await run.spawn_run("child", "nested", {"seconds": inputs.seconds})
        else:
            await run.exec(["program", str(inputs.seconds)])
        return Nothing()

    return kind("nested", pipeline)


async def begin(core: Core, seconds: float = 1000) -> None:
    await core.submitter.submit(request("nested", "top", seconds=seconds))
    await trio.sleep(1)


@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_a_receipt_waits_for_what_runs_below(
    depth: int, autojump_clock: Clock
) -> None:
    """CN-01 CN-06: children and grandchildren are part of the run."""
    processes = StubbornProcesses()
    async with open_fake_core(
        nested(depth), environment=fake_environment(processes)
    ) as core:
        await begin(core)
        assert processes.running == 1
        began = virtual_now()
        receipt = await core.control.cancel("top", "enough", wait=True)
        assert core.table.executions == {}
        assert (receipt.outcome, receipt.method) == ("cancelled", "subreaper")
        assert (receipt.pids, receipt.survivors) == ((1001,), ())
        assert receipt.gone_at is not None
        # When the lowest was gone, and not when the one asked for was.
        assert receipt.gone_at >= began + timedelta(seconds=2)


async def test_a_receipt_that_does_not_wait_claims_no_end_of_what_runs_below(
    autojump_clock: Clock,
) -> None:
    """CN-06: the parent is over at once, its child is not."""
    async with open_fake_core(
        nested(1), environment=fake_environment(StubbornProcesses())
    ) as core:
        await begin(core)
        receipt = await core.control.cancel("top", "enough", wait=False)
        assert receipt.gone_at is None
        await trio.sleep(0.5)
        assert not core.reader.is_open("top")
        again = await core.control.cancel("top", "again", wait=False)
        assert (again.outcome, again.gone_at) == ("already_terminal", None)
        last = await core.control.cancel("top", "at last", wait=True)
        assert (last.outcome, last.pids) == ("already_terminal", (1001,))
        assert last.gone_at is not None
        assert core.table.executions == {}


async def test_what_a_child_may_have_left_is_told_by_every_receipt_above(
    autojump_clock: Clock,
) -> None:
    """CN-06: at once, and later from the log."""
    environment = fake_environment(
        StubbornProcesses(lambda p: replace(p, survivors="unknown"))
    )
    async with open_fake_core(nested(2), environment=environment) as core:
        await begin(core)
        for outcome in ("cancelled", "already_terminal"):
            receipt = await core.control.cancel("top", "enough", wait=True)
            assert receipt.outcome == outcome
            assert (receipt.survivors, receipt.gone_at) == ("unknown", None)
            assert receipt.pids == (1001,)


async def test_what_a_child_left_that_ended_by_itself_is_not_forgotten(
    autojump_clock: Clock,
) -> None:
    """CN-06: a completed child is part of the tree; its end keeps what was not proven gone."""

    async def mother(run: Run, inputs: Seconds) -> Nothing:
        await run.spawn_run("child", "nested", {"seconds": 1})
        await trio.sleep(inputs.seconds)
        return Nothing()

    environment = fake_environment(
        StubbornProcesses(lambda p: replace(p, survivors=(77,)))
    )
    async with open_fake_core(
        nested(0), kind("mother", mother), environment=environment
    ) as core:
        await core.submitter.submit(request("mother", "m", seconds=1000))
        await wait_ended(core, "m.child")
        assert (await core.reader.view("m.child")).state == "completed"
        receipt = await core.control.cancel("m", "enough", wait=True)
        assert (receipt.survivors, receipt.gone_at) == ((77,), None)


async def test_a_tree_that_will_not_unwind_is_told_after_the_sla(
    autojump_clock: Clock,
) -> None:
    """QA-06 CN-06: one limit for the whole tree."""

    async def stubborn(_run: Run, _inputs: Seconds) -> Nothing:
        with trio.CancelScope(shield=True):
            await trio.sleep(60)
        return Nothing()

    async def mother(run: Run, _inputs: Seconds) -> Nothing:
        async with trio.open_nursery() as nursery:
            for name in ("a", "b", "c"):
                nursery.start_soon(run.spawn_run, name, "stubborn", {})
        return Nothing()

    kinds = (kind("stubborn", stubborn), kind("mother", mother))
    async with open_fake_core(*kinds) as core:
        await core.submitter.submit(request("mother", "m"))
        await trio.sleep(1)
        began = trio.current_time()
        receipt = await core.control.cancel("m", "now", wait=True)
        assert trio.current_time() - began <= core.config.cancel_sla + 0.1
        assert receipt.gone_at is None


@pytest.mark.parametrize("wait", [True, False])
async def test_a_program_that_is_not_over_after_the_sla_is_told_as_left(
    autojump_clock: Clock, wait: bool
) -> None:
    """CN-06: as that of a supervisor that stands still; nothing is proven of it by then."""

    async def child(run: Run, _inputs: Seconds) -> Nothing:
        with trio.CancelScope(shield=True):
            await run.exec(["work"])
        return Nothing()

    async def mother(run: Run, _inputs: Seconds) -> Nothing:
        await run.spawn_run("child", "child", {})
        return Nothing()

    processes = FakeProcesses({"work": FakeProgram(seconds=60.0)})
    kinds = (kind("child", child), kind("mother", mother))
    async with open_fake_core(
        *kinds, environment=memory_environment(processes)
    ) as core:
        await core.submitter.submit(request("mother", "m"))
        await trio.sleep(1)
        receipt = await core.control.cancel("m", "now", wait=wait)
        assert receipt.gone_at is None
        told = (receipt.pids, receipt.survivors)
        assert told == (((1001,), (1001,)) if wait else ((), ()))


async def test_a_store_that_cannot_tell_the_tree_proves_nothing(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CN-06 ST-11"""

    async def silent(_run_id: str) -> list[TreeRun]:
        await trio.lowlevel.checkpoint()
        raise StoreUnavailable("a test")

    async with inline_store() as store, open_fake_core(store=store) as core:
        await core.submitter.submit(request(seconds=1000, run_id="a"))
        await trio.sleep(1)
        monkeypatch.setattr(store, "tree", silent)
        receipt = await core.control.cancel("a", "enough", wait=True)
        assert (receipt.outcome, receipt.gone_at) == ("cancelled", None)


# -- merging


def test_several_ends_are_over_when_the_last_one_is() -> None:
    """CN-06"""
    later = NOON + timedelta(seconds=9)
    assert merge_ends([RunEnd(NOON), RunEnd(later)]).over_at == later
    assert merge_ends([RunEnd(NOON), RunEnd(None)]).over_at is None
    assert merge_ends([]).over_at is None


def test_survivors_and_pids_are_joined_and_unknown_wins() -> None:
    """CN-06"""
    one = RunEnd(NOON, "cgroup", (1, 2), (2,))
    other = RunEnd(NOON, "cgroup", (2, 3), (3,))
    assert merge_ends([one, other]) == RunEnd(NOON, "cgroup", (1, 2, 3), (2, 3))
    lost = replace(other, survivors="unknown")
    for ends in ([one, lost], [lost, one]):
        assert merge_ends(ends).survivors == "unknown"


def test_a_joined_proof_is_named_after_its_weakest() -> None:
    """CN-06: a run without processes weakens nothing."""
    ends = [RunEnd(NOON, "cgroup"), RunEnd(NOON), RunEnd(NOON, "session")]
    assert merge_ends(ends).method == "session"
    assert merge_ends(ends[:2]).method == "cgroup"
    assert merge_ends(ends[1:2]).method == "none"


def test_no_receipt_says_gone_while_anything_is_open() -> None:
    """CN-06: for 500 trees, however they are taken together."""
    rng = random.Random(6)
    for _ in range(500):
        ends = [
            RunEnd(
                rng.choice([NOON, NOON + timedelta(seconds=rng.random()), None]),
                rng.choice(["cgroup", "subreaper", "session", "none"]),
                (rng.randrange(9),),
                rng.choice([(), (), (), (rng.randrange(9),), "unknown"]),
            )
            for _ in range(rng.randrange(1, 6))
        ]
        cut = rng.randrange(len(ends))
        together = merge_ends(ends)
        in_parts = [*ends[:cut], merge_ends(ends[cut:])]
        assert merge_ends(in_parts) == together
        receipt = make_receipt("r", "cancelled", NOON, ends)
        proven = all(end.over_at and end.survivors == () for end in ends)
        assert (receipt.gone_at is not None) == proven


def test_an_execution_without_processes_is_proven_by_its_scope_alone() -> None:
    """CN-06"""
    assert end_of_proofs([], NOON) == RunEnd(NOON)
    assert end_of_proofs([], None) == RunEnd(None)


def test_a_kept_receipt_is_read_as_it_was_written() -> None:
    """CN-06"""
    for end in (
        RunEnd(NOON, "session", (4, 5), (5,)),
        RunEnd(NOON, "cgroup", (4,), "unknown"),
    ):
        assert end_of_row(TreeRun("r", NOON, end.to_json())) == end
    assert end_of_row(TreeRun("r", NOON, None)) == RunEnd(NOON)


def worker() -> Kind:
    async def pipeline(run: Run, inputs: Seconds) -> Nothing:
        await run.exec(["program", str(inputs.seconds)])
        return Nothing()

    return kind("work", pipeline, preemptible=True)


@dataclass
class OneLeaver:
    """Proves the end of every program but the first, which is not to be found."""

    survivors: Any
    seen: int = 0

    def __call__(self, proof: Proof) -> Proof:
        self.seen += 1
        if self.seen > 1:
            return proof
        return replace(proof, survivors=self.survivors)


@pytest.mark.parametrize("survivors", [(77,), "unknown"], ids=str)
@pytest.mark.parametrize("paused", [False, True], ids=["executing", "preempted"])
async def test_what_an_earlier_execution_left_is_told_by_a_later_receipt(
    autojump_clock: Clock, survivors: Any, paused: bool
) -> None:
    """CN-06: the end of the second execution proves nothing of what the first one started."""
    environment = fake_environment(StubbornProcesses(OneLeaver(survivors)))
    async with (
        inline_store(life="life-1") as store,
        open_fake_core(worker(), store=store, environment=environment) as core,
    ):
        await core.submitter.submit(request("work", "a", seconds=1000))
        await trio.sleep(1)
        if paused:
            await core.queue.pause()
        core.table.executions["a"].preempt("somebody")
        await trio.sleep(10)
        expected = "preempted" if paused else "running"
        assert (await core.reader.view("a")).state == expected
        assert audit_whole(WholeFile(store._db)).findings == []
        for outcome in ("cancelled", "already_terminal"):
            receipt = await core.control.cancel("a", "enough", wait=True)
            assert receipt.outcome == outcome
            assert (receipt.survivors, receipt.gone_at) == (survivors, None)
            assert 1001 in receipt.pids
        assert audit_whole(WholeFile(store._db)).findings == []


async def test_what_a_crash_cut_off_is_told_by_the_receipt_of_what_came_after(
    autojump_clock: Clock,
) -> None:
    """CN-06 RS-02: nobody saw the end of what the last life started."""
    async with inline_store(life="life-1") as store:
        wanted = enqueue(
            "a", kind="work", inputs={"seconds": 1000}, on_restart="requeue"
        )
        _, claimed = await store.commit([wanted, claim(1000, kinds=("work",))])
        event = ProcessStarted(pid=55, start_time=1, boot_id="b", method="subreaper")
        assert isinstance(claimed, Claimed)
        fence = claimed.started[0].fence
        await store.commit([append("a", event, fence=fence)])
        environment = fake_environment(StubbornProcesses())
        async with open_fake_core(
            worker(), store=store, life="life-2", environment=environment
        ) as core:
            await trio.sleep(5)
            assert (await core.reader.view("a")).state == "running"
            receipt = await core.control.cancel("a", "enough", wait=True)
            assert (receipt.survivors, receipt.gone_at) == ("unknown", None)
            assert set(receipt.pids) == {55, 1001}
