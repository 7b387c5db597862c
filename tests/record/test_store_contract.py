"""What every store promises, run on each adapter (ST-12)."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio

from fakes.stores import (
    LIFE,
    append,
    at,
    claim,
    enqueue,
    fact,
    inline_store,
    start,
)
from penstock.clocks import happens_before
from penstock.errors import (
    AlreadyAnswered,
    AskNotFound,
    Conflict,
    Fenced,
    OtherInputs,
    QueueFull,
    Refused,
    RunNotFound,
    Terminal,
    TreeTooLarge,
    UnknownPrerequisite,
)
from penstock.events import (
    DAEMON_STREAM,
    AskRaised,
    CodeGenerated,
    DaemonStopping,
    Log,
    Progress,
    RunPreempted,
    RunRequeued,
    RunWaiting,
    new_event_id,
)
from penstock.lifecycle import RESTART_ASK, terminal
from penstock.record.sqlite import SqliteStore, open_sqlite, threads
from penstock.record.store import (
    Accepted,
    Answer,
    Append,
    Appended,
    CancelAnswer,
    Claimed,
    Complete,
    Concluded,
    Decision,
    Existing,
    Fence,
    Outcome,
    Park,
    Prune,
    Pruned,
    Release,
    RequestCancel,
    RequestPreempt,
    RunFilter,
    RunRow,
    SetPause,
    Unpark,
)


@asynccontextmanager
async def file_store(path: Path) -> AsyncIterator[SqliteStore]:
    """SQLite as the daemon uses it: a file, threads, the real clock."""
    with trio.fail_after(30):
        async with open_sqlite(
            path / "p.db", life=LIFE, run_blocking=threads(1), run_reading=threads(4)
        ) as store:
            yield store


@pytest.fixture(params=["sqlite-memory", "sqlite-file"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[SqliteStore]:
    async with AsyncExitStack() as stack:
        if request.param == "sqlite-file":
            yield await stack.enter_async_context(file_store(tmp_path))
        else:
            yield await stack.enter_async_context(inline_store())


async def one(store: SqliteStore, decision: Decision) -> Any:
    """The outcome of a commit of one decision; a refusal is raised."""
    (outcome,) = await store.commit([decision])
    if isinstance(outcome, Exception):
        raise outcome
    assert isinstance(outcome, Outcome)
    await check_log(store)
    return outcome


async def check_log(store: SqliteStore) -> None:
    """Laws 1 and 3, whatever was done: dense, and one terminal fact, the last of its run."""
    facts = await store.read_all(0, 10_000)
    bounds = await store.bounds()
    assert [f.position for f in facts if f.position >= bounds.floor] == list(
        range(bounds.floor, bounds.head + 1)
    )
    for run_id in {f.run_id for f in facts}:
        own = [f for f in facts if f.run_id == run_id]
        assert [f.sequence for f in own] == list(range(1, len(own) + 1))
        ends = [f.type in ("run.completed", "run.failed", "run.cancelled") for f in own]
        assert not any(ends[:-1])
        row = await store.run(run_id)
        if row is not None:
            assert (row.ended_at is not None) == ends[-1]
            assert (row.sequence, row.last_position) == (
                own[-1].sequence,
                own[-1].position,
            )


async def types(store: SqliteStore, run_id: str) -> list[str]:
    return [f.type for f in await store.read(run_id)]


async def get(store: SqliteStore, run_id: str) -> RunRow:
    row = await store.run(run_id)
    assert row is not None
    return row


def completed(row: RunRow, result: Any = None, used_seconds: float = 0.0) -> Complete:
    return Complete(
        row.fence, fact(row.run_id, terminal("completed", result=result)), used_seconds
    )


def failed(row: RunRow) -> Complete:
    return Complete(
        row.fence, fact(row.run_id, terminal("failed", reason="error", error="x"))
    )


# -- the log


async def test_facts_of_a_run_are_numbered_from_one(store: SqliteStore) -> None:
    """ST-01 EV-08"""
    row = await start(store)
    for n in range(3):
        await one(store, append("r1", Progress(step=str(n)), fence=row.fence))
    assert [f.sequence for f in await store.read("r1")] == [1, 2, 3, 4, 5]
    assert [f.position for f in await store.read_all()] == [1, 2, 3, 4, 5]


async def test_a_hundred_simultaneous_appends_lose_and_repeat_nothing(
    store: SqliteStore,
) -> None:
    """ST-02 WF-07"""
    fences = [(await start(store, f"r{n}")).fence for n in range(10)]

    async def write(fence: Fence, n: int) -> None:
        await store.commit([append(fence.run_id, Log(text=str(n)), fence=fence)])

    async with trio.open_nursery() as nursery:
        for fence in fences:
            for n in range(10):
                nursery.start_soon(write, fence, n)
    await check_log(store)
    for fence in fences:
        logs = [f for f in await store.read(fence.run_id) if f.type == "log"]
        assert Counter(f.body for f in logs) == Counter(
            append("x", Log(text=str(n))).drafts[0].body for n in range(10)
        )


async def test_a_run_reads_its_own_facts_only(store: SqliteStore) -> None:
    """ST-04 ST-05"""
    assert await store.read("none") == [] == await store.read_all()
    await start(store, "a")
    await start(store, "b")
    assert {f.run_id for f in await store.read("a")} == {"a"}
    assert [f.position for f in await store.read("b", after=3)] == [4]
    assert await store.read("b", after=4) == []
    assert [f.position for f in await store.read_all(after=-7, limit=3)] == [1, 2, 3]
    assert [
        f.type for f in await store.read("b", types=frozenset({"run.started"}))
    ] == ["run.started"]


async def test_a_page_is_bounded_in_bytes_but_never_empty(store: SqliteStore) -> None:
    """ST-05"""
    row = await start(store)
    await one(
        store, append("r1", *(Log(text="x" * 1000) for _ in range(5)), fence=row.fence)
    )
    assert len(await store.read("r1", after=2, max_bytes=2500)) == 2
    assert len(await store.read_all(after=2, max_bytes=1)) == 1


async def test_the_same_facts_again_are_recorded_once(store: SqliteStore) -> None:
    """ST-09"""
    row = await start(store)
    decision = append("r1", Log(text="a"), Log(text="b"), fence=row.fence)
    first = await one(store, decision)
    again, within = await store.commit([decision, decision])
    for outcome in (again, within):
        assert isinstance(outcome, Appended)
        assert outcome.duplicate
        assert outcome.recorded == first.recorded
    await one(store, completed(row))
    assert (await one(store, decision)).duplicate


async def test_the_same_facts_twice_in_one_commit_are_recorded_once(
    store: SqliteStore,
) -> None:
    """ST-09"""
    row = await start(store)
    decision = append("r1", Log(text="a"), fence=row.fence)
    first, second = await store.commit([decision, decision])
    assert isinstance(first, Appended)
    assert isinstance(second, Appended)
    assert (first.duplicate, second.duplicate) == (False, True)
    assert first.recorded == second.recorded
    await check_log(store)


async def test_a_known_id_with_other_content_is_a_conflict(store: SqliteStore) -> None:
    """ST-09"""
    row = await start(store)
    decision = append("r1", Log(text="a"), fence=row.fence)
    await one(store, decision)
    other = replace(decision.drafts[0], body=b'{"type":"log","text":"b"}')
    for drafts in ((other,), (decision.drafts[0], fact("r1", Log(text="c")))):
        with pytest.raises(Conflict):
            await one(store, Append(drafts, row.fence))
    twin = fact("r1", Log(text="d"))
    with pytest.raises(Conflict):
        await one(store, Append((twin, twin), row.fence))


async def test_refused_decisions_leave_the_others_of_the_batch_whole(
    store: SqliteStore,
) -> None:
    """ST-10"""
    row = await start(store)
    stale = replace(row.fence, token=0)
    outcomes = await store.commit(
        [
            append("r1", Log(text="a"), fence=row.fence),
            append("r1", Log(text="b"), Log(text="c"), fence=stale),
            append("none", Log(text="d")),
            enqueue("r2", capacity=0),
            append("r1", CodeGenerated(), fence=row.fence, code_version=3),
            append(
                "r1", Log(text="e"), CodeGenerated(), fence=row.fence, code_version=3
            ),
            completed(row),
            append("r1", Log(text="f"), fence=row.fence),
        ]
    )
    kinds = [type(o) for o in outcomes]
    assert kinds == [
        Appended,
        Fenced,
        RunNotFound,
        QueueFull,
        Appended,
        Conflict,
        Concluded,
        Terminal,
    ]
    assert await types(store, "r1") == [
        "run.queued", "run.started", "log", "code.generated", "run.completed",
    ]  # fmt: skip
    await check_log(store)


async def test_facts_about_the_daemon_stand_in_their_own_stream(
    store: SqliteStore,
) -> None:
    await one(store, append(DAEMON_STREAM, DaemonStopping()))
    assert await types(store, DAEMON_STREAM) == ["daemon.stopping"]
    assert await store.run(DAEMON_STREAM) is None
    assert await store.runs(RunFilter()) == [] == await store.open_runs()
    with pytest.raises(Refused):
        await one(store, enqueue(DAEMON_STREAM))
    with pytest.raises(Refused):
        await one(store, RequestCancel(DAEMON_STREAM, "x", at()))


async def test_facts_of_a_run_are_in_causal_order(store: SqliteStore) -> None:
    """VC-07"""
    row = await start(store)
    await one(store, append("r1", Log(text="a"), fence=row.fence, clock={"client": 4}))
    await one(store, append("r1", Log(text="b"), fence=row.fence))
    clocks = [f.clock for f in await store.read("r1")]
    assert all(happens_before(a, b) for a, b in pairwise(clocks))
    assert clocks[-1] == {LIFE: 4, "client": 4}


async def test_a_clients_clock_cannot_stop_a_run(store: SqliteStore) -> None:
    """VC-07"""
    row = await start(store)
    await one(store, append("r1", Log(text="a"), clock={LIFE: 2**63 - 1}))
    await one(store, append("r1", Log(text="b"), fence=row.fence))
    with pytest.raises(Refused):
        await one(
            store, append("r1", Log(text="c"), clock={f"p{n}": 1 for n in range(1000)})
        )


# -- versions


async def test_code_versions_only_grow(store: SqliteStore) -> None:
    """VS-01 VS-03"""
    row = await start(store)
    for version, fine in (
        (0, True),
        (0, False),
        (1, True),
        (3, True),
        (2, False),
        (2**63 - 1, True),
    ):
        decision = append("r1", CodeGenerated(), fence=row.fence, code_version=version)
        if fine:
            await one(store, decision)
            assert (await get(store, "r1")).code_version == version
        else:
            with pytest.raises(Conflict):
                await one(store, decision)
    for version in (-1, 2**63):
        with pytest.raises(Refused):
            await one(
                store,
                append("r1", CodeGenerated(), fence=row.fence, code_version=version),
            )


async def test_of_two_simultaneous_versions_one_wins(store: SqliteStore) -> None:
    """VS-02"""
    row = await start(store)
    batch = [
        append("r1", CodeGenerated(), fence=row.fence, code_version=2) for _ in range(2)
    ]
    outcomes = await store.commit(batch)
    assert [type(o) for o in outcomes] == [Appended, Conflict]


async def test_facts_carry_the_version_of_the_code_they_are_about(
    store: SqliteStore,
) -> None:
    row = await start(store)
    await one(store, append("r1", CodeGenerated(), fence=row.fence, code_version=7))
    await one(store, append("r1", Log(text="now"), fence=row.fence))
    await one(store, append("r1", Log(text="then"), fence=row.fence, code_version=2))
    assert [f.code_version for f in await store.read("r1")] == [0, 0, 7, 7, 2]
    assert (await get(store, "r1")).code_version == 7


# -- accepting


async def test_a_run_is_accepted_once(store: SqliteStore) -> None:
    """SC-12"""
    first = enqueue("r1")
    accepted = await one(store, first)
    assert isinstance(accepted, Accepted)
    assert (accepted.row.state, accepted.row.place) == ("queued", 1)
    again = await one(store, first)
    assert isinstance(again, Accepted)
    assert again.recorded == accepted.recorded
    assert isinstance(await one(store, enqueue("r1", capacity=0)), Existing)
    with pytest.raises(OtherInputs):
        await one(store, enqueue("r1", inputs={"argv": ["false"]}))
    await one(store, RequestCancel("r1", "no", at()))
    assert (await one(store, enqueue("r1"))).row.state == "cancelled"


async def test_the_queue_is_bounded_exactly(store: SqliteStore) -> None:
    """ST-10"""
    outcomes = await store.commit([enqueue(f"r{n}", capacity=3) for n in range(5)])
    assert [type(o) for o in outcomes] == [Accepted] * 3 + [QueueFull] * 2
    await one(store, enqueue("child", parent_id="r0", capacity=None))
    assert await store.depth() == (4, 0)
    await one(store, claim(1))
    assert isinstance(await one(store, enqueue("r5", capacity=3)), Accepted)


async def test_facts_show_inputs_without_secrets(store: SqliteStore) -> None:
    decision = enqueue("r1", inputs={"env": {"KEY": "secret"}})
    decision = replace(decision, spec=replace(decision.spec, shown={"env": ["KEY"]}))
    _, claimed = await store.commit([decision, claim()])
    assert isinstance(claimed, Claimed)
    assert b"secret" in claimed.started[0].inputs
    for recorded in await store.read("r1"):
        assert recorded.event.inputs == {"env": ["KEY"]}  # type: ignore[union-attr]


async def test_a_run_without_time_fails_at_once(store: SqliteStore) -> None:
    accepted = await one(store, enqueue("r1", timeout=0))
    assert (accepted.row.state, accepted.row.reason) == ("failed", "timeout")
    assert [f.type for f in accepted.recorded] == ["run.queued", "run.failed"]


async def test_an_unknown_prerequisite_is_refused(store: SqliteStore) -> None:
    """SC-09"""
    for after in (("none",), ("r1",), (DAEMON_STREAM,)):
        with pytest.raises(UnknownPrerequisite):
            await one(store, enqueue("r1", after=after))
    assert await store.run("r1") is None


async def test_a_run_waits_for_its_prerequisites(store: SqliteStore) -> None:
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
    store: SqliteStore,
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
    late = await one(store, enqueue("d", after=("c",)))
    assert late.row.state == "cancelled"
    assert "c" in late.row.reason.split()


async def test_a_tree_is_bounded_in_size_and_depth(store: SqliteStore) -> None:
    await one(store, enqueue("r"))
    await one(store, enqueue("r.a", parent_id="r", max_tree_depth=1))
    with pytest.raises(TreeTooLarge):
        await one(store, enqueue("r.a.b", parent_id="r.a", max_tree_depth=1))
    with pytest.raises(TreeTooLarge):
        await one(store, enqueue("r.c", parent_id="r", max_tree_runs=2))
    assert (await get(store, "r.a")).root_id == "r"
    with pytest.raises(Refused):
        await one(store, enqueue("x", parent_id="none"))


# -- claiming


async def test_the_important_go_first_then_the_older(store: SqliteStore) -> None:
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
    store: SqliteStore,
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
    assert await store.depth() == (1, 3)


async def test_waiting_adds_importance(store: SqliteStore) -> None:
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
    store: SqliteStore,
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


async def test_only_installed_kinds_start(store: SqliteStore) -> None:
    await one(store, enqueue("r1", kind="gone"))
    assert (await one(store, claim())).started == ()
    assert len((await one(store, claim(kinds=("gone",)))).started) == 1


async def test_a_parked_run_gets_its_slot_before_queued_ones_of_its_priority(
    store: SqliteStore,
) -> None:
    row = await start(store, "parked")
    await one(store, Park(row.fence, "ask", at()))
    with pytest.raises(Conflict):
        await one(store, Park(row.fence, "ask", at()))
    await store.commit([enqueue("equal"), enqueue("better", priority=10)])
    assert await store.depth() == (2, 0)
    assert (await one(store, claim(0))).unparked == ()
    await one(store, Unpark(row.fence))
    claimed = await one(store, claim(2))
    assert [r.run_id for r in claimed.started] == ["better"]
    assert [r.run_id for r in claimed.unparked] == ["parked"]
    back = claimed.unparked[0]
    assert (back.state, back.fence, back.attempt) == ("running", row.fence, 1)
    assert (await types(store, "parked"))[-2:] == ["run.waiting", "run.resumed"]


async def test_a_released_run_keeps_its_place_and_gets_a_new_fence(
    store: SqliteStore,
) -> None:
    """RS-02 RS-03"""
    row = await start(store, "r1")
    await one(store, enqueue("r2"))
    assert await one(store, RequestPreempt("r1", "r9", at())) == Appended()
    draft = fact("r1", RunPreempted(by="r9"))
    released = await one(store, Release(row.fence, draft, 2.5))
    assert (released.row.state, released.row.place, released.row.used_seconds) == (
        "preempted",
        1,
        2.5,
    )
    assert (
        await one(store, Release(row.fence, draft, 2.5))
    ).recorded == released.recorded
    again = (await one(store, claim(1))).started[0]
    assert (again.run_id, again.attempt, again.token) == ("r1", 2, 2)
    assert await types(store, "r1") == [
        "run.queued",
        "run.started",
        "run.preempted",
        "run.resumed",
    ]
    for decision in (
        append("r1", Log(text="x"), fence=row.fence),
        completed(row),
        Park(row.fence, "x", at()),
    ):
        with pytest.raises(Fenced):
            await one(store, decision)
    await one(store, completed(again, used_seconds=1.5))
    assert (await get(store, "r1")).used_seconds == 4.0


# -- ends


async def test_a_run_ends_once(store: SqliteStore) -> None:
    """Law 1"""
    row = await start(store)
    decision = completed(row, {"n": 1})
    concluded = await one(store, decision)
    assert (concluded.row.state, concluded.row.outcome) == (
        "completed",
        {"result": {"n": 1}},
    )
    assert (await one(store, decision)).recorded == concluded.recorded
    for other in (
        completed(row),
        failed(row),
        Release(row.fence, fact("r1", RunRequeued(reason="crash"))),
    ):
        with pytest.raises(Terminal):
            await one(store, other)
    assert (await types(store, "r1"))[-1] == "run.completed"
    assert await store.open_runs() == []


async def test_an_end_in_another_batch_or_the_same_tells_the_same(
    store: SqliteStore,
) -> None:
    """ST-09: a conclusion whose fate was unknown is told whole when it is tried again."""
    row = await start(store, "a")
    await store.commit(
        [
            enqueue("b", after=("a",)),
            enqueue("a.c", parent_id="a"),
            claim(),
            enqueue("z"),
        ]
    )
    decision = failed(row)
    first = await one(store, decision)
    await one(store, append("z", Log(text="later")))
    again = await one(store, decision)
    assert (again.recorded, again.ended, again.signalled) == (
        first.recorded,
        ("b",),
        ("a.c",),
    )


async def test_moving_facts_need_a_decision_of_their_own(store: SqliteStore) -> None:
    row = await start(store)
    with pytest.raises(Conflict):
        await one(store, append("r1", terminal("completed"), fence=row.fence))
    with pytest.raises(Conflict):
        await one(store, Complete(row.fence, fact("r1", Log(text="x"))))
    with pytest.raises(Conflict):
        await one(store, Release(row.fence, fact("r1", terminal("completed"))))
    assert (await get(store, "r1")).state == "running"


async def test_a_queued_run_is_cancelled_where_it_stands(store: SqliteStore) -> None:
    """CN-02 CN-03"""
    await one(store, enqueue())
    answer = await one(store, RequestCancel("r1", "no need", at()))
    assert isinstance(answer, CancelAnswer)
    assert (answer.outcome, answer.ended) == ("cancelled", ("r1",))
    again = await one(store, RequestCancel("r1", "no need", at()))
    assert (again.outcome, again.recorded) == ("already_terminal", ())
    assert (await one(store, claim())).started == ()
    assert (await get(store, "r1")).reason == "no need"


async def test_an_executing_run_is_asked_to_end_once(store: SqliteStore) -> None:
    """CN-03"""
    row = await start(store)
    answer = await one(store, RequestCancel("r1", "stop", at()))
    assert (answer.outcome, answer.signalled) == ("signalled", ("r1",))
    again = await one(store, RequestCancel("r1", "stop!", at()))
    assert (again.outcome, again.recorded) == ("signalled", ())
    assert (await get(store, "r1")).cancel_requested == "stop"
    released = await one(
        store, Release(row.fence, fact("r1", RunRequeued(reason="shutdown")))
    )
    assert (released.row.state, released.row.reason) == ("cancelled", "stop")


async def test_a_cancel_before_the_submit_is_remembered(store: SqliteStore) -> None:
    """CN-02"""
    assert (
        await one(store, RequestCancel("r1", "early", at()))
    ).outcome == "tombstoned"
    accepted = await one(store, enqueue("r1", capacity=0))
    assert (accepted.row.state, accepted.row.reason) == ("cancelled", "early")
    assert await types(store, "r1") == ["run.queued", "run.cancelled"]


async def test_cancel_and_failure_reach_all_children(store: SqliteStore) -> None:
    row = await start(store, "p")
    await store.commit(
        [enqueue("p.a", parent_id="p"), claim(), enqueue("p.a.b", parent_id="p.a")]
    )
    answer = await one(store, RequestCancel("p", "stop", at()))
    assert answer.signalled == ("p", "p.a")
    assert answer.ended == ("p.a.b",)
    assert (await one(store, enqueue("p.c", parent_id="p"))).row.state == "cancelled"
    await one(
        store, Complete(row.fence, fact("p", terminal("cancelled", reason="stop")))
    )
    assert (await one(store, enqueue("p.d", parent_id="p"))).row.state == "cancelled"


async def test_everything_can_be_cancelled_at_once(store: SqliteStore) -> None:
    await start(store, "a")
    await store.commit([enqueue("b"), enqueue("c", after=("b",))])
    answer = await one(store, RequestCancel("", "end", at(), all_open=True))
    assert (answer.signalled, answer.ended) == (("a",), ("b", "c"))
    quiet = await one(store, RequestCancel("", "end", at(), all_open=True))
    assert quiet.recorded == ()


# -- questions


def answer_to(name: str, text: str) -> Answer:
    return Answer("r1", name, text, "me", at(), new_event_id())


async def test_a_question_is_answered_once(store: SqliteStore) -> None:
    row = await start(store)
    ask = AskRaised(name="q", question="Which?", choices=("a", "b"), default="a")
    await one(store, append("r1", ask, fence=row.fence))
    assert [(a.name, a.choices, a.default) for a in await store.asks()] == [
        ("q", ("a", "b"), "a")
    ]
    with pytest.raises(Refused):
        await one(store, answer_to("q", "c"))
    with pytest.raises(AskNotFound):
        await one(store, answer_to("p", "a"))
    decision = answer_to("q", "b")
    first = await one(store, decision)
    assert (await one(store, decision)).recorded == first.recorded
    with pytest.raises(AlreadyAnswered):
        await one(store, answer_to("q", "a"))
    with pytest.raises(Conflict):
        await one(store, append("r1", ask, fence=row.fence))
    assert await store.asks() == []
    (kept,) = await store.asks("r1", only_open=False)
    assert (kept.state, kept.answer, kept.answered_by) == ("answered", "b", "me")


async def test_an_ended_run_has_no_open_questions(store: SqliteStore) -> None:
    row = await start(store)
    await one(store, append("r1", AskRaised(name="q", question="?"), fence=row.fence))
    await one(store, completed(row))
    assert await store.asks() == []
    with pytest.raises(AlreadyAnswered):
        await one(store, answer_to("q", "a"))


@pytest.mark.parametrize(("text", "state"), [("requeue", "queued"), ("fail", "failed")])
async def test_a_person_decides_about_an_interrupted_run(
    store: SqliteStore, text: str, state: str
) -> None:
    """Law 5"""
    row = await start(store)
    released = await one(
        store, Release(row.fence, fact("r1", RunWaiting(reason=RESTART_ASK)))
    )
    assert [f.type for f in released.recorded] == ["run.waiting", "ask.raised"]
    assert [a.name for a in await store.asks()] == [RESTART_ASK]
    assert (await get(store, "r1")).life is None
    await one(store, answer_to(RESTART_ASK, text))
    assert (await get(store, "r1")).state == state


async def test_a_parked_run_can_be_left_to_a_person(store: SqliteStore) -> None:
    """Law 5: a stop or a restart may find it parked."""
    row = await start(store)
    await store.commit([Park(row.fence, "ask", at()), Unpark(row.fence)])
    await one(store, Release(row.fence, fact("r1", RunWaiting(reason=RESTART_ASK))))
    assert (await one(store, claim())).unparked == ()
    assert (await get(store, "r1")).reason == RESTART_ASK


async def test_a_run_that_waits_for_a_person_can_be_cancelled(
    store: SqliteStore,
) -> None:
    row = await start(store)
    await one(store, Release(row.fence, fact("r1", RunWaiting(reason=RESTART_ASK))))
    assert (await one(store, RequestCancel("r1", "no", at()))).outcome == "cancelled"
    assert await store.asks() == []


# -- lists and retention


async def test_lists_are_filtered_and_newest_first(store: SqliteStore) -> None:
    await store.commit(
        [
            enqueue("alpha", labels={"team": "Grün", "x": "1"}, priority=10),
            enqueue("beta", kind="coding", group="g"),
            enqueue("100%", parent_id="beta"),
        ]
    )

    async def ids(**wanted: Any) -> list[str]:
        return [row.run_id for row in await store.runs(RunFilter(**wanted))]

    assert await ids() == ["100%", "beta", "alpha"]
    assert await ids(limit=1, before=3) == ["beta"]
    assert await ids(labels={"team": "Grün"}) == ["alpha"]
    assert await ids(labels={"team": "1"}) == []
    assert await ids(words=("GRÜN",)) == ["alpha"]
    assert await ids(words=("%",)) == ["100%"]
    assert await ids(words=("_",)) == []
    assert await ids(without=("a",)) == ["100%"] or await ids(without=("eta",)) == [
        "100%",
        "alpha",
    ]
    assert await ids(kinds=frozenset({"coding"}), states=frozenset({"queued"})) == [
        "beta"
    ]
    assert await ids(priorities=frozenset({10})) == ["alpha"]
    assert await ids(groups=frozenset({"g"})) == ["beta"]
    assert await ids(parents=frozenset({"beta"})) == ["100%"]
    assert await ids(words=("' OR 1=1 --",)) == []


def prune(**wanted: Any) -> Prune:
    long_ago = at() - timedelta(days=1000)
    values: dict[str, Any] = {
        "before": long_ago,
        "keep": 10**6,
        "max_bytes": 2**60,
        "tombstones_before": long_ago,
        "max_tombstones": 10**6,
    }
    return Prune(**{**values, **wanted})


async def test_pruning_forgets_the_oldest_ended_runs_and_raises_the_floor(
    store: SqliteStore,
) -> None:
    """RS-05"""
    await one(store, enqueue("open"))
    for n in range(4):
        await one(store, enqueue(f"r{n}"))
        await one(store, RequestCancel(f"r{n}", "x", at(n)))
    pruned = await one(store, prune(keep=3))
    assert isinstance(pruned, Pruned)
    assert (pruned.runs, pruned.more) == (("r0",), False)
    assert (await store.bounds()).floor == 4
    assert await store.read("r0") == []
    assert await types(store, "open") == ["run.queued"]
    pruned = await one(store, prune(before=at(3), limit=1))
    assert (pruned.runs, pruned.more) == (("r1",), True)
    await one(store, prune(keep=0))
    assert [r.run_id for r in await store.runs(RunFilter())] == ["open"]
    accepted = await one(store, enqueue("new"))
    assert accepted.recorded[0].position == 10
    assert (await store.bounds()).floor == 10


async def test_pruning_keeps_the_log_under_its_size(store: SqliteStore) -> None:
    """RS-05"""
    for n in range(3):
        row = await start(store, f"r{n}")
        await store.commit(
            [append(f"r{n}", Log(text="x" * 300_000), fence=row.fence), completed(row)]
        )
    size = await store.size()
    pruned = await one(store, prune(max_bytes=size - 100_000))
    assert pruned.runs == ("r0",)
    assert await store.size() < size - 250_000


async def test_tombstones_are_forgotten(store: SqliteStore) -> None:
    """RS-05"""
    for n in range(3):
        await one(store, RequestCancel(f"r{n}", "x", at(n)))
    await one(store, prune(tombstones_before=at(1), max_tombstones=1))
    states = [(await one(store, enqueue(f"r{n}"))).row.state for n in range(3)]
    assert states == ["queued", "queued", "cancelled"]


async def test_times_come_back_as_they_were(store: SqliteStore) -> None:
    """EV-07"""
    moment = at(0.123456)
    await one(store, enqueue(seconds=0.123456))
    (recorded,) = await store.read("r1")
    assert recorded.at == moment == (await get(store, "r1")).created_at
    assert recorded.at.utcoffset() == timedelta(0)
