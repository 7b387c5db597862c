"""Every store: accepting and claiming runs (ST-12)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from fakes.contract import AnyStore, completed, failed, get, one, types
from fakes.stores import (
    append,
    at,
    claim,
    enqueue,
    fact,
    start,
)
from penstock.log.results import Accepted, Appended, Claimed, Existing
from penstock.log.writes import (
    Park,
    Release,
    RequestCancel,
    RequestPreempt,
    SetPause,
    Unpark,
)
from penstock.words.errors import (
    Conflict,
    Fenced,
    OtherInputs,
    QueueFull,
    Refused,
    TreeTooLarge,
    UnknownPrerequisite,
)
from penstock.words.events import (
    DAEMON_STREAM,
    Log,
    RunPreempted,
)
from penstock.words.wait_reason import Waiting


async def _states(store: AnyStore) -> Counter[str]:
    """How many open runs are in which state."""
    return Counter(row.state for row in await store.open_runs())


async def test_a_run_is_accepted_once(store: AnyStore) -> None:
    """SC-12"""
    first = enqueue("r1")
    accepted = await one(store, first)
    assert isinstance(accepted, Accepted)
    row = await get(store, "r1")
    assert (row.state, row.place) == ("queued", 1)
    again = await one(store, first)
    assert isinstance(again, Accepted)
    assert again.recorded == accepted.recorded
    assert isinstance(await one(store, enqueue("r1", capacity=0)), Existing)
    with pytest.raises(OtherInputs) as refused:
        await one(store, enqueue("r1", inputs={"argv": ["false"]}))
    # PT-07: it says what differs, by name and never by value.
    assert refused.value.facts == {"run_id": "r1", "field": "inputs.argv"}
    assert "(inputs.argv)" in str(refused.value)
    assert "false" not in str(refused.value)
    # And not what makes it no other run.
    manner = {"stderr": ("stdout",)}
    other = {"argv": ["false"], "stderr": "stdout"}
    with pytest.raises(OtherInputs) as refused:
        await one(store, enqueue("r1", inputs=other, manner=manner))
    assert "(inputs.argv)" in str(refused.value)
    with pytest.raises(OtherInputs) as refused:
        await one(store, enqueue("r1", kind="other"))
    assert refused.value.facts["field"] == "kind"
    await one(store, RequestCancel("r1", "no", at()))
    assert isinstance(await one(store, enqueue("r1")), Existing)
    assert (await get(store, "r1")).state == "cancelled"


async def test_the_queue_is_bounded_exactly(store: AnyStore) -> None:
    """ST-10"""
    outcomes = await store.commit([enqueue(f"r{n}", capacity=3) for n in range(5)])
    assert [type(o) for o in outcomes] == [Accepted] * 3 + [QueueFull] * 2
    await one(store, enqueue("child", parent_id="r0", capacity=None))
    assert await _states(store) == {"queued": 4}
    await one(store, claim(1))
    assert isinstance(await one(store, enqueue("r5", capacity=3)), Accepted)


async def test_facts_show_inputs_without_secrets(store: AnyStore) -> None:
    write = enqueue("r1", inputs={"env": {"KEY": "secret"}})
    write = replace(write, spec=replace(write.spec, shown={"env": ["KEY"]}))
    _, claimed = await store.commit([write, claim()])
    assert isinstance(claimed, Claimed)
    assert b"secret" in claimed.started[0].inputs
    queued, started = await store.read("r1")
    assert queued.event.inputs == {"env": ["KEY"]}  # type: ignore[union-attr]
    assert b"inputs" not in started.body


async def test_inputs_that_are_shown_whole_are_stored_once(store: AnyStore) -> None:
    """What surfaces show is kept beside the inputs only where it differs from them."""
    whole = enqueue("whole", inputs={"b": 1, "a": [2]})
    whole = replace(whole, spec=replace(whole.spec, shown={"b": 1, "a": [2]}))
    secret = enqueue("secret", inputs={"key": "hunter2"})
    secret = replace(secret, spec=replace(secret.spec, shown={"key": "…"}))
    await store.commit([whole, secret])
    db = store._db
    kept = db.execute("SELECT shown FROM specs ORDER BY key").fetchall()
    assert [text for (text,) in kept if text] == ['{"key":"…"}']
    assert (await get(store, "whole")).shown == {"b": 1, "a": [2]}
    assert (await get(store, "secret")).shown == {"key": "…"}


async def test_a_run_without_time_fails_at_once(store: AnyStore) -> None:
    accepted = await one(store, enqueue("r1", timeout=0))
    row = await get(store, "r1")
    assert (row.state, row.reason) == ("failed", "timeout")
    assert [f.type for f in accepted.recorded] == ["run.queued", "run.failed"]


async def test_an_unknown_prerequisite_is_refused(store: AnyStore) -> None:
    """SC-09"""
    for after in (("none",), ("r1",), (DAEMON_STREAM,)):
        with pytest.raises(UnknownPrerequisite):
            await one(store, enqueue("r1", after=after))
    assert await store.run("r1") is None


async def test_a_run_waits_for_its_prerequisites(store: AnyStore) -> None:
    """SC-09"""
    await store.commit(
        [enqueue("a"), enqueue("b"), enqueue("c", after=("a", "b", "a"))]
    )
    claimed = await one(store, claim())
    assert [row.run_id for row in claimed.started] == ["a", "b"]
    await one(store, completed(claimed.started[0]))
    assert (await one(store, claim())).started == ()
    await one(store, completed(claimed.started[1]))
    assert [row.run_id for row in (await one(store, claim())).started] == ["c"]


async def test_dependants_of_a_failed_run_end_cancelled_with_theirs(
    store: AnyStore,
) -> None:
    """SC-09"""
    row = await start(store, "a")
    await store.commit([enqueue("b", after=("a",)), enqueue("c", after=("b",))])
    concluded = await one(store, failed(row))
    assert concluded.ended == ("b", "c")
    b, c = await get(store, "b"), await get(store, "c")
    assert (b.state, c.state) == ("cancelled", "cancelled")
    assert "a" in b.reason.split()
    assert "b" in c.reason.split()
    await one(store, enqueue("d", after=("c",)))
    late = await get(store, "d")
    assert late.state == "cancelled"
    assert "c" in late.reason.split()


async def test_a_tree_is_bounded_in_size_and_depth(store: AnyStore) -> None:
    await one(store, enqueue("r"))
    await one(store, enqueue("r.a", parent_id="r", max_tree_depth=1))
    with pytest.raises(TreeTooLarge):
        await one(store, enqueue("r.a.b", parent_id="r.a", max_tree_depth=1))
    with pytest.raises(TreeTooLarge):
        await one(store, enqueue("r.c", parent_id="r", max_tree_runs=2))
    assert (await get(store, "r.a")).root_id == "r"
    with pytest.raises(Refused):
        await one(store, enqueue("x", parent_id="none"))


async def test_the_important_go_first_then_the_older(store: AnyStore) -> None:
    await store.commit(
        [
            enqueue("low", priority=30),
            enqueue("m1"),
            enqueue("m2"),
            enqueue("top", priority=0),
        ]
    )
    order = []
    for slots in range(1, 5):
        claimed = await one(store, claim(slots))
        order += [row.run_id for row in claimed.started]
    assert order == ["top", "m1", "m2", "low"]


async def test_no_run_is_claimed_twice_and_no_slot_given_twice(
    store: AnyStore,
) -> None:
    """RS-03"""
    outcomes = await store.commit(
        [*(enqueue(f"r{n}") for n in range(4)), claim(3), claim(3)]
    )
    first, second = outcomes[-2:]
    assert isinstance(first, Claimed)
    assert isinstance(second, Claimed)
    assert len(first.started) == 3
    assert second.started == ()
    assert await _states(store) == {"queued": 1, "running": 3}


async def test_waiting_adds_importance(store: AnyStore) -> None:
    await store.commit([enqueue("old", priority=30), enqueue("new", seconds=100)])
    assert [
        r.run_id for r in (await one(store, claim(1, seconds=100, aging=10.0))).started
    ] == ["old"]
    await one(store, enqueue("new2", seconds=100, priority=29))
    await one(store, enqueue("old2", seconds=99, priority=30))
    assert (await one(store, claim(2, seconds=100, aging=10.0))).started[
        0
    ].run_id == "new"


async def test_groups_have_slots_of_their_own_and_can_be_paused(
    store: AnyStore,
) -> None:
    await store.commit(
        [enqueue(f"g{n}", group="g") for n in range(3)] + [enqueue("x", priority=40)]
    )
    paused = await one(store, SetPause(True, at(), group="g", reason="holiday"))
    assert [f.type for f in paused.recorded] == ["queue.paused"]
    assert (await one(store, SetPause(True, at(), group="g"))).recorded == ()
    assert await store.paused() == {"g": "holiday"}
    assert [r.run_id for r in (await one(store, claim())).started] == ["x"]
    await one(store, SetPause(False, at(), group="g"))
    claimed = await one(store, claim(group_slots={"g": 2}))
    assert [r.run_id for r in claimed.started] == ["g0", "g1"]
    await one(store, SetPause(True, at()))
    assert (await one(store, claim())).started == ()
    assert await store.paused() == {None: ""}


async def test_only_installed_kinds_start(store: AnyStore) -> None:
    await one(store, enqueue("r1", kind="gone"))
    assert (await one(store, claim())).started == ()
    assert len((await one(store, claim(kinds=("gone",)))).started) == 1


async def test_a_parked_run_gets_its_slot_before_queued_ones_of_its_priority(
    store: AnyStore,
) -> None:
    row = await start(store, "parked")
    await one(store, Park(row.fence, Waiting("ask", "x"), at()))
    with pytest.raises(Conflict):
        await one(store, Park(row.fence, Waiting("ask", "x"), at()))
    await store.commit([enqueue("equal"), enqueue("better", priority=10)])
    assert await _states(store) == {"queued": 2, "waiting": 1}
    assert (await one(store, claim(0))).unparked == ()
    await one(store, Unpark(row.fence))
    claimed = await one(store, claim(2))
    assert [r.run_id for r in claimed.started] == ["better"]
    assert [r.run_id for r in claimed.unparked] == ["parked"]
    back = claimed.unparked[0]
    assert (back.state, back.fence, back.attempt) == ("running", row.fence, 1)
    assert (await types(store, "parked"))[-2:] == ["run.waiting", "run.resumed"]


async def test_a_released_run_keeps_its_place_and_gets_a_new_fence(
    store: AnyStore,
) -> None:
    """RS-02 RS-03"""
    row = await start(store, "r1")
    await one(store, enqueue("r2"))
    assert await one(store, RequestPreempt("r1", "r9", at())) == Appended()
    new_event = fact("r1", RunPreempted(by="r9"))
    released = await one(store, Release(row.fence, new_event, 2.5))
    kept = await get(store, "r1")
    assert (kept.state, kept.place, kept.used_seconds) == (
        "preempted",
        1,
        2.5,
    )
    assert (
        await one(store, Release(row.fence, new_event, 2.5))
    ).recorded == released.recorded
    again = (await one(store, claim(1))).started[0]
    assert (again.run_id, again.attempt, again.token) == ("r1", 2, 2)
    assert await types(store, "r1") == [
        "run.queued",
        "run.started",
        "run.preempted",
        "run.resumed",
    ]
    for write in (
        append("r1", Log(text="x"), fence=row.fence),
        completed(row),
        Park(row.fence, Waiting("ask", "x"), at()),
    ):
        with pytest.raises(Fenced):
            await one(store, write)
    await one(store, completed(again, used_seconds=1.5))
    assert (await get(store, "r1")).used_seconds == 4.0
