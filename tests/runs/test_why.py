"""Why a run is where it is: every answer that can be given."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
import trio.testing

from fakes.cores import Nothing, Seconds, kind, open_fake_core, request, wait_ended
from fakes.stores import at, enqueue, inline_store
from penstock.log.projections import RunView
from penstock.pipeline import Run
from penstock.runs.core import Core
from penstock.runs.queue import Candidate, ClaimRules, QueueSnapshot, SlotHolder
from penstock.runs.whereabouts import SeenBox
from penstock.runs.why import explain
from penstock.words.box_standing import BoxStanding
from penstock.words.config import Group
from penstock.words.errors import RunNotFound
from penstock.words.lifecycle import State
from penstock.words.placement import place_of
from penstock.words.wait_reason import Waiting

Clock = trio.testing.MockClock


async def submit(core: Core, run_id: str, **others: Any) -> None:
    await core.submitter.submit(request(run_id=run_id, **others))


async def told(core: Core, run_id: str) -> list[tuple[str, str]]:
    """The codes and sentences of a run's explanation."""
    why = await core.why(run_id)
    told = why.to_json()
    assert json.loads(json.dumps(told)) == told
    assert told["text"] == " ".join(reason.text for reason in why.reasons)
    return [(reason.code, reason.text) for reason in why.reasons]


async def test_an_unknown_id_is_not_found(autojump_clock: Clock) -> None:
    """SC-14"""
    async with open_fake_core() as core:
        with pytest.raises(RunNotFound):
            await core.why("nobody")


async def test_slots_and_place_are_told(autojump_clock: Clock) -> None:
    """SC-14"""
    async with open_fake_core(max_concurrent=2) as core:
        for name in ("a", "b"):
            await submit(core, name, seconds=10)
        await submit(core, "low", seconds=1, priority="LOW")
        await submit(core, "high", seconds=1, priority="HIGH")
        await submit(core, "new", seconds=1)
        taken = ("slots", "Both slots are taken, by a (MEDIUM) and b (MEDIUM).")
        assert await told(core, "high") == [
            taken,
            ("first", "It is the first in line."),
        ]
        assert await told(core, "low") == [
            taken,
            ("ahead", "2 runs go first: high (HIGH) and new (MEDIUM)."),
        ]
        why = await core.why("low")
        assert [reason.runs for reason in why.reasons] == [("a", "b"), ("high", "new")]


async def test_what_runs_and_what_has_ended_say_so(autojump_clock: Clock) -> None:
    """SC-14"""
    async with open_fake_core() as core:
        await submit(core, "r", seconds=10)
        await submit(core, "bad", fail=True)
        await trio.sleep(4)
        assert await told(core, "r") == [
            ("running", "It has a slot and executes; it began 4 s ago.")
        ]
        await wait_ended(core, "r", "bad")
        assert await told(core, "r") == [("ended", "It ended completed.")]
        assert await told(core, "bad") == [
            ("ended", "It ended failed: ValueError: asked to fail.")
        ]


async def test_prerequisites_are_told_with_their_state(autojump_clock: Clock) -> None:
    """SC-14 SC-09"""
    async with open_fake_core(max_concurrent=1) as core:
        await submit(core, "one", seconds=10)
        await submit(core, "two", seconds=10)
        await submit(core, "r", after=("one", "two"))
        assert await told(core, "r") == [
            ("prerequisites", "It comes after one (running) and two (queued).")
        ]
        await wait_ended(core, "one")
        assert await told(core, "r") == [
            ("prerequisites", "It comes after two (running).")
        ]


async def test_pauses_and_groups_are_told(autojump_clock: Clock) -> None:
    """SC-14"""
    groups = {"gpu": Group(slots=1)}
    async with open_fake_core(groups=groups) as core:
        await submit(core, "a", seconds=100, group="gpu", priority="HIGH")
        await submit(core, "b", seconds=1, group="gpu")
        full = "Its group 'gpu' has one slot, taken by a (HIGH)."
        assert await told(core, "b") == [
            ("group_slots", full),
            ("first", "It is the first in line."),
        ]
        await core.queue.pause("gpu", "driver update")
        await core.queue.pause()
        assert await told(core, "b") == [
            ("paused", "The queue is paused."),
            ("group_paused", "Its group 'gpu' is paused (driver update)."),
        ]


async def test_runs_of_a_full_group_do_not_stand_before_others(
    autojump_clock: Clock,
) -> None:
    """SC-14: they could not take the next free slot."""
    groups = {"gpu": Group(slots=1)}
    async with open_fake_core(groups=groups, max_concurrent=2) as core:
        await submit(core, "g1", seconds=100, group="gpu")
        await submit(core, "g2", seconds=100, group="gpu", priority="HIGH")
        await submit(core, "a", seconds=100)
        await submit(core, "b", seconds=100)
        assert (await told(core, "b"))[-1] == ("first", "It is the first in line.")


async def test_a_kind_that_is_gone_is_told(autojump_clock: Clock) -> None:
    """SC-14"""
    async with inline_store() as store:
        await store.commit([enqueue("old", kind="uninstalled")])
        async with open_fake_core(store=store) as core:
            assert await told(core, "old") == [
                ("kind", "Its kind 'uninstalled' is not installed.")
            ]


async def test_waiting_for_people_and_children_is_told(autojump_clock: Clock) -> None:
    """SC-14"""

    async def wait_for_both(run: Run, _inputs: Seconds) -> Nothing:
        await run.spawn_run("part", "sleep", {"seconds": 10})
        await run.ask("which", "Which one?")
        return Nothing()

    async with open_fake_core(kind("both", wait_for_both), max_concurrent=1) as core:
        await submit(core, "r", kind="both")
        await trio.sleep(1)
        assert await told(core, "r") == [
            ("child", "It waits, without a slot, for its child r.part (running).")
        ]
        await wait_ended(core, "r.part")
        await trio.sleep(1)
        assert await told(core, "r") == [
            ("ask", "It waits, without a slot, for an answer to 'which'.")
        ]
        await submit(core, "other", seconds=5)
        await core.control.answer("r", "which", "this", "test")
        await trio.testing.wait_all_tasks_blocked()
        assert await told(core, "r") == [
            ("slots", "The only slot is taken, by other (MEDIUM)."),
            ("first", "It is the first in line."),
        ]


async def test_preemption_is_told_on_both_sides(autojump_clock: Clock) -> None:
    """SC-14 SC-13"""

    async def slow_to_leave(run: Run, _inputs: Seconds) -> Nothing:
        try:
            await trio.sleep(100)
        finally:
            with trio.move_on_after(2, shield=True):
                await trio.sleep(2)
        return Nothing()

    slow = kind("slow", slow_to_leave, preemptible=True)
    async with open_fake_core(slow, max_concurrent=1) as core:
        await submit(core, "low", kind="slow", priority="LOW")
        await trio.sleep(1)
        await submit(core, "now", seconds=10, priority="CRITICAL")
        await trio.sleep(1)
        assert await told(core, "now") == [
            ("slots", "The only slot is taken, by low (LOW)."),
            ("leaving", "Slots will soon be given up by low (LOW)."),
            ("first", "It is the first in line."),
        ]
        await trio.sleep(2)
        assert await told(core, "low") == [
            ("preempted", "It gave its slot to now and goes on later."),
            ("slots", "The only slot is taken, by now (CRITICAL)."),
            ("first", "It is the first in line."),
        ]
        await core.control.cancel("now", "enough", wait=True)
        await trio.sleep(3)
        assert await told(core, "low") == [
            (
                "running",
                "It has a slot and executes; it began 7 s ago. This is its execution number 2.",
            )
        ]


async def test_who_may_not_be_interrupted_is_told(autojump_clock: Clock) -> None:
    """SC-14 SC-13"""
    async with open_fake_core(max_concurrent=1) as core:
        await submit(core, "low", seconds=10, priority="BACKGROUND")
        await submit(core, "now", seconds=1, priority="CRITICAL")
        assert (await told(core, "now"))[-1] == (
            "not_preemptible",
            "It is far more important than low (BACKGROUND), but may not interrupt.",
        )


async def test_a_cancel_under_way_is_told(autojump_clock: Clock) -> None:
    """SC-14"""

    async def stubborn(_run: Run, _inputs: Seconds) -> Nothing:
        with trio.move_on_after(3, shield=True):
            await trio.sleep(3)
        return Nothing()

    async with open_fake_core(kind("stubborn", stubborn)) as core:
        await submit(core, "r", kind="stubborn")
        await trio.sleep(1)
        await core.control.cancel("r", "enough")
        assert (await told(core, "r"))[0] == (
            "cancelling",
            "It was asked to end: enough.",
        )


def line(
    candidates: list[Candidate], slot_holders: list[SlotHolder], **others: Any
) -> QueueSnapshot:
    fields: dict[str, Any] = {
        "rules": ClaimRules(1, frozenset({"k"})),
        "now": at(),
        "claiming": True,
        "states": {},
    }
    return QueueSnapshot(candidates, slot_holders, **{**fields, **others})


def test_a_stop_and_a_free_slot_are_told() -> None:
    """SC-14"""
    candidate = Candidate("r", "k", 20, 1, at())
    view = RunView("r", kind="k", state="queued")
    why = explain(view, line([candidate], []))
    assert [reason.code for reason in why.reasons] == ["next"]
    why = explain(view, line([candidate], [], claiming=False))
    assert [reason.code for reason in why.reasons] == ["stopping"]


def test_a_log_that_takes_nothing_is_told_first() -> None:
    """SC-14 ST-05: of every run that is open, whatever else it waits for."""
    candidate = Candidate("r", "k", 20, 1, at())
    view = RunView("r", kind="k", state="queued")
    why = explain(view, line([candidate], []), log_away="disk full")
    assert [reason.code for reason in why.reasons] == ["log", "next"]
    assert "(disk full)" in why.reasons[0].text
    ended = RunView("r", kind="k", state="completed")
    assert [r.code for r in explain(ended, line([], []), log_away="x").reasons] == [
        "ended"
    ]


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        ("silent", "is silent for 50 s"),
        ("lost", "is lost: silent for 50 s"),
        ("left", "has no daemon now"),
        ("ok", ""),
        ("draining", ""),
    ],
)
def test_what_executes_on_a_box_that_is_not_heard_is_told_with_that(
    standing: BoxStanding, said: str
) -> None:
    """SC-14 MB-03: before its lease is over nobody here knows whether it still executes."""
    place = place_of("ann", {}, team=True, shared=True)
    bob = SeenBox(place_of("bob", {}, team=True, shared=True), standing, 50.0)
    there = line([], [], rules=ClaimRules(1, frozenset({"k"}), place=place), boxes=[bob])  # fmt: skip
    doubt = f"Its box bob {said}; how it has been since then is not known."
    codes: dict[State, str] = {"running": "running", "paused": "program_paused"}
    codes["waiting"] = (
        "ask"  # Whose answer is taken, and changes nothing before its box is heard.
    )
    asks = Waiting("ask", "which")
    for state, code in codes.items():
        view = RunView("r", kind="k", state=state, box="bob", waiting=asks)
        reasons = explain(view, there).reasons
        assert [r.code for r in reasons] == (["box", code] if said else [code])
        assert not said or reasons[0].text == doubt
    own = explain(RunView("r", kind="k", state="running", box="ann"), there)
    assert [reason.code for reason in own.reasons] == ["running"]


def test_long_lists_are_cut() -> None:
    candidates = [Candidate(f"r{n}", "k", 20, n, at()) for n in range(9)]
    slot_holders = [SlotHolder(Candidate("h", "k", 20, 0, at()))]
    why = explain(
        RunView("r8", kind="k", state="queued"), line(candidates, slot_holders)
    )
    assert why.reasons[-1].text.endswith("r3 (MEDIUM), r4 (MEDIUM) and 3 more.")
    assert len(why.reasons[-1].runs) == 8
