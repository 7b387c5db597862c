"""Preemption: who gives way to whom, and what of the interrupted run stays."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
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
    slow_to_leave,
    types_of,
    virtual_now,
    wait_ended,
)
from fakes.few_numbers import some_fast
from fakes.stores import at, inline_store
from penstock.log.kept import Fence
from penstock.log.writes import Complete, Release
from penstock.pipeline import Run
from penstock.runs.core import Core
from penstock.runs.execution import Execution, open_execution
from penstock.runs.queue import (
    Candidate,
    ClaimRules,
    Preemption,
    SlotHolder,
    choose_preemption,
    grant,
    in_order,
)
from penstock.words.config import Group
from penstock.words.priority import Priority

Clock = trio.testing.MockClock
NOW: datetime = at(1000)
RULES = ClaimRules(slots=2, kinds=frozenset({"k"}))
CRITICAL, HIGH, MEDIUM, LOW, BACKGROUND = Priority


def candidate(run_id: str, priority: int, place: int = 50, **others: Any) -> Candidate:
    fields = {"kind": "k", "since": at(), **others}
    return Candidate(run_id=run_id, priority=priority, place=place, **fields)


def holder(run_id: str, priority: int, place: int = 1, **others: Any) -> SlotHolder:
    told = {n: others.pop(n) for n in ("leaving", "returning") if n in others}
    may = others.pop("preemptible", True)
    return SlotHolder(candidate(run_id, priority, place, **others), may, **told)


def chosen(
    candidates: list[Candidate],
    slot_holders: list[SlotHolder],
    rules: ClaimRules = RULES,
) -> Preemption | None:
    return choose_preemption(candidates, slot_holders, rules, NOW)


# -- the decision


@pytest.mark.parametrize("running", list(Priority))
@pytest.mark.parametrize("waiting", list(Priority))
def test_only_twenty_points_and_more_interrupt(
    waiting: Priority, running: Priority
) -> None:
    """PR-03"""
    found = chosen([candidate("w", waiting)], [holder("a", 0), holder("b", running)])
    assert (found is not None) == (running - waiting >= 20)


def test_the_least_important_goes_and_the_latest_of_equals() -> None:
    """SC-13"""
    slot_holders = [holder("a", LOW, 1), holder("b", BACKGROUND, 2)]
    assert chosen([candidate("w", HIGH)], slot_holders) == Preemption("b", "w")
    slot_holders = [holder("late", LOW, 9), holder("early", LOW, 2)]
    assert chosen([candidate("w", CRITICAL)], slot_holders) == Preemption("late", "w")


def test_what_may_not_be_interrupted_is_passed_over() -> None:
    """SC-13"""
    fixed = holder("fixed", BACKGROUND, 1, preemptible=False)
    assert chosen([candidate("w", CRITICAL)], [fixed, fixed]) is None
    found = chosen([candidate("w", CRITICAL)], [fixed, holder("b", MEDIUM)])
    assert found == Preemption("b", "w")


def test_nobody_is_interrupted_while_a_slot_is_free_or_soon_will_be() -> None:
    """SC-13"""
    waiting = [candidate("w", CRITICAL)]
    assert chosen(waiting, [holder("a", LOW)]) is None
    assert chosen(waiting, [holder("a", LOW), holder("b", LOW, leaving=True)]) is None


def test_one_waiting_run_interrupts_one_run_and_two_interrupt_two() -> None:
    """SC-13: the run that gives way already is not counted twice, nor taken for a waiting one."""
    first = holder("a", LOW, leaving=True, returning=True)
    waiting = [candidate("w", CRITICAL)]
    assert chosen(waiting, [first, holder("b", LOW)]) is None
    waiting.append(candidate("x", CRITICAL, 51))
    assert chosen(waiting, [first, holder("b", LOW)]) == Preemption("b", "x")


@pytest.mark.parametrize(
    "hindrance",
    [
        {"prerequisites": ("other",)},
        {"kind": "gone"},
        {"group": "paused"},
    ],
)
def test_a_run_that_could_not_start_interrupts_nobody(
    hindrance: dict[str, Any],
) -> None:
    """SC-13"""
    rules = ClaimRules(2, frozenset({"k"}), paused={"paused": ""})
    slot_holders = [holder("a", LOW), holder("b", LOW)]
    assert chosen([candidate("w", CRITICAL, **hindrance)], slot_holders, rules) is None


def test_in_a_full_group_a_member_gives_way() -> None:
    """SC-13: a slot outside the group would not help."""
    rules = ClaimRules(3, frozenset({"k"}), group_slots={"g": 1})
    slot_holders = [holder("other", BACKGROUND), holder("member", LOW, group="g")]
    found = chosen([candidate("w", CRITICAL, group="g")], slot_holders, rules)
    assert found == Preemption("member", "w")


def test_an_interrupted_run_that_would_go_first_again_is_not_interrupted() -> None:
    """SC-13 SC-14: with aging, an old run may stand before a more important new one."""
    rules = ClaimRules(1, frozenset({"k"}), aging=10)
    old, new = holder("old", LOW, 1), candidate("new", CRITICAL, 2, since=at(999))
    assert chosen([new], [old], rules) is None
    young = holder("young", LOW, 1, since=at(990))
    assert chosen([new], [young], rules) == Preemption("young", "new")


def test_a_run_that_gave_way_stands_in_line_again() -> None:
    """SC-13: the slot that it leaves may be its own again, and is then no other's."""
    back = holder("back", MEDIUM, 1, leaving=True, returning=True)
    found = chosen([candidate("w", MEDIUM)], [back, holder("b", BACKGROUND, 2)])
    assert found == Preemption("b", "w")


def test_nobody_gives_way_for_one_who_is_not_next() -> None:
    """SC-13 SC-14: the slot would go to the run that has waited long."""
    rules = ClaimRules(2, frozenset({"k"}), aging=10)
    young = {"since": at(990)}
    slot_holders = [holder("a", BACKGROUND, 1, **young), holder("b", LOW, 2, **young)]
    waiting = [
        candidate("aged", BACKGROUND),
        candidate("new", CRITICAL, 51, since=at(999)),
    ]
    assert chosen(waiting, slot_holders, rules) is None


# -- in a core


class Worker:
    """A kind of ten steps of a second each; notes what was computed when."""

    def __init__(self) -> None:
        self.done: list[tuple[str, int]] = []
        self.computing = self.peak = 0

    async def work(self, run: Run, inputs: Seconds) -> Nothing:
        self.computing += 1
        self.peak = max(self.peak, self.computing)
        try:
            for number in range(int(inputs.seconds)):
                await run.step(f"step {number}", partial(self._unit, run, number))
        finally:
            self.computing -= 1
        return Nothing()

    async def _unit(self, run: Run, number: int) -> int:
        await trio.sleep(1)
        self.done.append((run.run_id, number))
        return number


async def submit(core: Core, run_id: str, priority: Priority, **others: Any) -> None:
    what = others.pop("kind", "work")
    await core.submitter.submit(request(what, run_id, priority=priority, **others))


async def state(core: Core, run_id: str) -> str | None:
    return (await core.reader.view(run_id)).state


async def test_an_interrupted_run_goes_on_where_it_was(autojump_clock: Clock) -> None:
    """SC-13 QA-07: it is the same run, and recorded steps are not computed again."""
    worker = Worker()
    kinds = kind("work", worker.work, preemptible=True)
    async with open_fake_core(kinds, max_concurrent=1) as core:
        await submit(core, "low", LOW, seconds=5)
        await trio.sleep(2.5)
        await submit(core, "now", CRITICAL, seconds=2)
        await wait_ended(core, "now", "low")
        assert await types_of(core, "low") == [
            "run.queued",
            "run.started",
            "step.completed",
            "step.completed",
            "run.preempted",
            "run.resumed",
            "step.completed",
            "step.completed",
            "step.completed",
            "run.completed",
        ]
        assert [n for run_id, n in worker.done if run_id == "low"] == [0, 1, 2, 3, 4]
        view = await core.reader.view("low")
        assert (view.state, view.attempt) == ("completed", 2)
        # Half a second of the third step was lost, and nothing else.
        assert trio.current_time() == pytest.approx(7.5)
        assert worker.peak == 1


async def test_the_slot_stays_taken_until_the_release_is_committed(
    autojump_clock: Clock,
) -> None:
    """SC-13 SC-03: a run that takes its time to unwind holds its slot meanwhile."""
    computing: list[str] = []

    async def slow_to_leave(run: Run, _inputs: Seconds) -> Nothing:
        computing.append(run.run_id)
        try:
            await trio.sleep(100)
        finally:
            with trio.move_on_after(3, shield=True):
                await trio.sleep(3)
            computing.remove(run.run_id)
        return Nothing()

    kinds = kind("slow", slow_to_leave, preemptible=True)
    async with open_fake_core(kinds, max_concurrent=1) as core:
        await submit(core, "low", LOW, kind="slow")
        await trio.sleep(1)
        await submit(core, "now", CRITICAL, kind="slow")
        await trio.sleep(2)
        assert computing == ["low"]
        assert await state(core, "now") == "queued"
        await trio.sleep(1.5)
        assert computing == ["now"]
        assert await state(core, "low") == "preempted"


async def test_the_interrupted_run_keeps_its_place(autojump_clock: Clock) -> None:
    """SC-13: it goes on before runs of its priority that came later, and after the cause."""
    worker = Worker()
    kinds = kind("work", worker.work, preemptible=True)
    async with open_fake_core(kinds, max_concurrent=1) as core:
        await submit(core, "victim", LOW, seconds=2)
        await submit(core, "later", LOW, seconds=1)
        await trio.sleep(0.5)
        await submit(core, "now", CRITICAL, seconds=1)
        await wait_ended(core, "now", "victim", "later")
    assert [run_id for run_id, _ in worker.done] == ["now", "victim", "victim", "later"]


async def test_one_waiting_run_interrupts_one_run_once(autojump_clock: Clock) -> None:
    """SC-13: whatever else is recorded meanwhile."""
    worker = Worker()
    kinds = kind("work", worker.work, preemptible=True)
    async with open_fake_core(kinds) as core:
        for number in range(5):
            await submit(core, f"low{number}", LOW, seconds=6)
        await trio.sleep(0.5)
        await submit(core, "now", CRITICAL, seconds=3)
        for _ in range(10):
            await core.control.intervene("low0", "a fact that makes a commit")
        await wait_ended(core, "now", *(f"low{number}" for number in range(5)))
        facts = await core.store.read_all(0, 500)
        released = [fact.run_id for fact in facts if fact.type == "run.preempted"]
        # Of equals, the one that came last.
        assert released == ["low4"]


async def test_an_important_run_is_not_held_up_by_unimportant_ones(
    autojump_clock: Clock,
) -> None:
    """SC-13: priority inversion. Five long BACKGROUND runs delay five CRITICAL ones by nothing."""
    worker = Worker()
    kinds = kind("work", worker.work, preemptible=True)
    async with open_fake_core(kinds) as core:
        for number in range(5):
            await submit(core, f"b{number}", BACKGROUND, seconds=1000)
        await trio.sleep(10)
        for number in range(5):
            await submit(core, f"c{number}", CRITICAL, seconds=2)
        await wait_ended(core, *(f"c{number}" for number in range(5)))
        assert trio.current_time() == pytest.approx(12)
        assert worker.peak == 5
        await trio.testing.wait_all_tasks_blocked()
        assert [await state(core, f"b{number}") for number in range(5)] == [
            "running"
        ] * 5


async def test_a_kind_that_is_not_preemptible_is_left_alone(
    autojump_clock: Clock,
) -> None:
    """SC-13"""
    async with open_fake_core(max_concurrent=1) as core:
        await submit(core, "low", BACKGROUND, kind="sleep", seconds=10)
        await trio.sleep(1)
        await submit(core, "now", CRITICAL, kind="sleep", seconds=1)
        await wait_ended(core, "now")
        assert trio.current_time() == pytest.approx(11)
        assert "run.preempted" not in await types_of(core, "low")


async def test_a_run_with_open_children_is_left_alone(autojump_clock: Clock) -> None:
    """SC-13: resumed after a stop, it computes while its child of the first life is open."""

    async def parent(run: Run, _inputs: Seconds) -> Nothing:
        if run.attempt > 1:
            await trio.sleep(10)
        await run.spawn_run("child", "sleep", {"seconds": 20})
        return Nothing()

    kinds = kind("parent", parent, preemptible=True)
    settings: dict[str, Any] = {"max_concurrent": 2}
    async with inline_store() as store:
        async with open_fake_core(kinds, store=store, **settings) as core:
            await submit(core, "p", LOW, kind="parent")
            await trio.sleep(1)
        async with open_fake_core(
            kinds, store=store, life="life-2", **settings
        ) as core:
            await trio.sleep(1)
            assert [await state(core, r) for r in ("p", "p.child")] == ["running"] * 2
            await submit(core, "now", CRITICAL, kind="sleep", seconds=1)
            await trio.sleep(1)
            assert [await state(core, r) for r in ("p", "now")] == ["running", "queued"]
            await wait_ended(core, "now", "p")
            assert "run.preempted" not in await types_of(core, "p")


async def test_cancel_of_a_run_that_gives_way_ends_it_cancelled(
    autojump_clock: Clock,
) -> None:
    """CN-05 DT-02: while it unwinds, and while it stands in line again."""

    kinds = kind("slow", slow_to_leave, preemptible=True)
    async with open_fake_core(kinds, max_concurrent=1) as core:
        await submit(core, "one", LOW, kind="slow")
        await trio.sleep(1)
        await submit(core, "now", CRITICAL, kind="sleep", seconds=10)
        await trio.sleep(1)
        receipt = await core.control.cancel("one", "no more", wait=True)
        assert receipt.gone_at is not None
        assert (await types_of(core, "one"))[-1] == "run.cancelled"
        assert "run.preempted" not in await types_of(core, "one")
        assert await state(core, "now") == "running"
        await wait_ended(core, "now")

        await submit(core, "two", LOW, kind="slow")
        await trio.sleep(1)
        await submit(core, "again", CRITICAL, kind="sleep", seconds=10)
        await trio.sleep(3)
        assert await state(core, "two") == "preempted"
        await core.control.cancel("two", "no more", wait=True)
        assert (await types_of(core, "two"))[-2:] == ["run.preempted", "run.cancelled"]


async def test_a_run_whose_cause_is_cancelled_goes_on_at_once(
    autojump_clock: Clock,
) -> None:
    """SC-13 CN-05"""

    kinds = kind("slow", slow_to_leave, preemptible=True)
    async with open_fake_core(kinds, max_concurrent=1) as core:
        await submit(core, "low", LOW, kind="slow")
        await trio.sleep(1)
        await submit(core, "now", CRITICAL, kind="sleep", seconds=10)
        await trio.sleep(1)
        await core.control.cancel("now", "changed my mind", wait=True)
        await wait_ended(core, "low")
        assert trio.current_time() == pytest.approx(3)
        assert (await types_of(core, "low"))[-3:] == [
            "run.preempted",
            "run.resumed",
            "run.completed",
        ]


async def test_what_an_interrupted_run_had_started_is_gone(
    autojump_clock: Clock,
) -> None:
    """SC-13 QA-10: its processes end before its slot is given on."""

    async def launch(run: Run, _inputs: Seconds) -> Nothing:
        await run.exec(["sleep", "50"])
        return Nothing()

    processes = FakeProcesses()
    kinds = kind("launch", launch, preemptible=True)
    environment = fake_environment(processes)
    async with open_fake_core(kinds, environment=environment, max_concurrent=1) as core:
        await submit(core, "low", LOW, kind="launch")
        await trio.sleep(1)
        assert processes.running == 1
        await submit(core, "now", CRITICAL, kind="sleep", seconds=10)
        await trio.sleep(1)
        assert await state(core, "now") == "running"
        assert processes.running == 0


async def test_a_stream_of_important_runs_does_not_make_slots_flutter(
    autojump_clock: Clock,
) -> None:
    """SC-13: each CRITICAL run costs one interruption at most, and none while one slot is theirs."""
    worker = Worker()
    kinds = kind("work", worker.work, preemptible=True)
    async with open_fake_core(kinds, max_concurrent=2) as core:
        for name in ("a", "b"):
            await submit(core, name, LOW, seconds=40)
        names = [f"c{number}" for number in range(10)]
        for name in names:
            await trio.sleep(1.5)
            await submit(core, name, CRITICAL, seconds=1)
        await wait_ended(core, *names, "a", "b")
        facts = await core.store.read_all(0, 500)
    moves = [
        (f.run_id, f.type)
        for f in facts
        if f.type in ("run.preempted", "run.started", "run.resumed")
    ]
    preempted = [run_id for run_id, type_ in moves if type_ == "run.preempted"]
    assert len(preempted) == len(names)
    for (victim, move), (following, started) in pairwise(moves):
        if move == "run.preempted":
            assert (following[0], started) == ("c", "run.started"), victim


# -- the preempt cells of the precedence matrix, through the real scope

#: All that an execution reads of its row.
ROW: Any = SimpleNamespace(
    outcome=None,
    run_id="r",
    kind="sleep",
    on_restart="requeue",
    timeout=10.0,
    used_seconds=0.0,
)
ASKED = {
    "cancel": lambda e: e.cancel("no"),
    "stop": lambda e: e.stop(),
    "preempt": lambda e: e.preempt("other"),
}
CELLS = {
    "cancel": "run.cancelled",
    "stop": "run.requeued",
    "fail": "run.failed",
    "return": "run.completed",
    "finish": "run.completed",
    "deadline": "run.failed",
    "nothing": "run.preempted",
}


async def ended(first: str, second: str, *, at_once: bool) -> Complete | Release:
    """The conclusion of an execution that meets `first`, then `second`."""
    conclusions: list[Complete | Release] = []
    execution = Execution(ROW, Fence("r", "life", 1))

    async def body() -> None:
        for what in (first, second):
            if what in ASKED:
                ASKED[what](execution)
            elif what == "finish":
                execution.finish_reason = "stop"
            elif what == "deadline":
                await trio.sleep(11)
            if not at_once:
                with trio.move_on_after(1, shield=True):
                    await trio.sleep(0.1)
        if "fail" in (first, second):
            raise ValueError("broken")
        if "return" in (first, second):
            execution.returned = True
            return
        await trio.sleep_forever()

    async with open_execution(
        execution, conclude_with=conclusions.append, now=virtual_now
    ):
        await body()
    (conclusion,) = conclusions
    return conclusion


#: The pair in order, and how it ends. Nothing can follow a deadline, and after an interruption the
#: deadline is never reached.
PAIRS = [
    (pair, end)
    for cell, end in CELLS.items()
    for pair in ((cell, "preempt"), ("preempt", cell))
    if cell != "deadline"
] + [(("preempt", "deadline"), "run.preempted")]


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(("pair", "expected"), PAIRS)
async def test_everything_else_goes_before_a_preemption(
    pair: tuple[str, str], expected: str, at_once: bool, autojump_clock: Clock
) -> None:
    """DT-01 DT-02: in both orders and at once."""
    conclusion = await ended(*pair, at_once=at_once)
    assert conclusion.new_event.type == expected
    released = expected in ("run.preempted", "run.requeued")
    assert isinstance(conclusion, Release) == released


# -- at random


@pytest.mark.parametrize("seed", some_fast(range(25), 8))
async def test_nothing_is_left_to_interrupt_once_all_is_quiet(
    seed: int, autojump_clock: Clock
) -> None:
    """SC-03 SC-04 SC-13: random work; each quiet moment is checked, and everything ends."""
    rng = random.Random(seed)
    worker = Worker()
    kinds = (kind("work", worker.work, preemptible=True), kind("firm", worker.work))
    groups = {"g": Group(slots=1)}
    aging = rng.choice([None, 5.0])
    async with open_fake_core(
        *kinds, max_concurrent=3, groups=groups, aging_seconds=aging
    ) as core:
        table = core.table
        names = [f"r{number}" for number in range(25)]
        for number, name in enumerate(names):
            await trio.sleep(rng.choice([0, 0.3, 2]))
            await submit(
                core,
                name,
                rng.choice(list(Priority)),
                kind=rng.choice(["work", "work", "firm"]),
                seconds=rng.randint(0, 6),
                group=rng.choice([None, None, "g"]),
                after=rng.sample(names[:number], min(number, rng.choice([0, 0, 1]))),
            )
            if rng.random() < 0.1:
                await core.control.cancel(rng.choice(names[: number + 1]), "no")
            await trio.testing.wait_all_tasks_blocked()
            assert table.interrupting == set()
            queue = table.snapshot()
            line, slot_holders = queue.candidates, queue.slot_holders
            assert not any(holder.leaving for holder in slot_holders)
            rules, now = queue.rules, queue.now
            assert choose_preemption(line, slot_holders, rules, now) is None
            held = Counter(holder.candidate.group for holder in slot_holders)
            assert grant(in_order(line, rules, now), held, rules) == []
        await wait_ended(core, *names)
        assert worker.peak <= 3
        # Nothing was computed twice, however often its run gave way.
        assert len(worker.done) == len(set(worker.done))
