"""Every store: the log, its numbers, its guards (ST-12)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
import trio

from fakes.contract import AnyStore, check_log, completed, get, one, types
from fakes.stores import (
    LIFE,
    append,
    at,
    enqueue,
    fact,
    start,
)
from penstock.log.filters import RunFilter
from penstock.log.kept import Fence
from penstock.log.results import Appended, Concluded
from penstock.log.writes import Append, RequestCancel
from penstock.words.clocks import happens_before
from penstock.words.errors import (
    Conflict,
    Fenced,
    QueueFull,
    Refused,
    RunNotFound,
    Terminal,
)
from penstock.words.events import (
    DAEMON_STREAM,
    CodeGenerated,
    DaemonStopping,
    Log,
    Progress,
)


async def test_facts_of_a_run_are_numbered_from_one(store: AnyStore) -> None:
    """ST-01 EV-08"""
    row = await start(store)
    for n in range(3):
        await one(store, append("r1", Progress(step=str(n)), fence=row.fence))
    assert [f.sequence for f in await store.read("r1")] == [1, 2, 3, 4, 5]
    assert [f.position for f in await store.read_all()] == [1, 2, 3, 4, 5]


async def test_a_hundred_simultaneous_appends_lose_and_repeat_nothing(
    store: AnyStore,
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
            append("x", Log(text=str(n))).new_events[0].body for n in range(10)
        )


async def test_a_run_reads_its_own_facts_only(store: AnyStore) -> None:
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


async def test_a_page_is_bounded_in_bytes_but_never_empty(store: AnyStore) -> None:
    """ST-05"""
    row = await start(store)
    await one(
        store, append("r1", *(Log(text="x" * 1000) for _ in range(5)), fence=row.fence)
    )
    assert len(await store.read("r1", after=2, max_bytes=2500)) == 2
    assert len(await store.read_all(after=2, max_bytes=1)) == 1


async def test_the_same_facts_again_are_recorded_once(store: AnyStore) -> None:
    """ST-09"""
    row = await start(store)
    write = append("r1", Log(text="a"), Log(text="b"), fence=row.fence)
    first = await one(store, write)
    again, within = await store.commit([write, write])
    for outcome in (again, within):
        assert isinstance(outcome, Appended)
        assert outcome.duplicate
        assert outcome.recorded == first.recorded
    await one(store, completed(row))
    assert (await one(store, write)).duplicate


async def test_the_same_facts_twice_in_one_commit_are_recorded_once(
    store: AnyStore,
) -> None:
    """ST-09"""
    row = await start(store)
    write = append("r1", Log(text="a"), fence=row.fence)
    first, second = await store.commit([write, write])
    assert isinstance(first, Appended)
    assert isinstance(second, Appended)
    assert (first.duplicate, second.duplicate) == (False, True)
    assert first.recorded == second.recorded
    await check_log(store)


async def test_a_known_id_with_other_content_is_a_conflict(store: AnyStore) -> None:
    """ST-09"""
    row = await start(store)
    write = append("r1", Log(text="a"), fence=row.fence)
    await one(store, write)
    other = write.new_events[0]._replace(body=b'{"type":"log","text":"b"}')
    for new_events in ((other,), (write.new_events[0], fact("r1", Log(text="c")))):
        with pytest.raises(Conflict):
            await one(store, Append(new_events, row.fence))
    twin = fact("r1", Log(text="d"))
    with pytest.raises(Conflict):
        await one(store, Append((twin, twin), row.fence))


async def test_refused_decisions_leave_the_others_of_the_batch_whole(
    store: AnyStore,
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
    store: AnyStore,
) -> None:
    await one(store, append(DAEMON_STREAM, DaemonStopping()))
    assert await types(store, DAEMON_STREAM) == ["daemon.stopping"]
    assert await store.run(DAEMON_STREAM) is None
    assert await store.runs(RunFilter()) == [] == await store.open_runs()
    with pytest.raises(Refused):
        await one(store, enqueue(DAEMON_STREAM))
    with pytest.raises(Refused):
        await one(store, RequestCancel(DAEMON_STREAM, "x", at()))


async def test_facts_of_a_run_are_in_causal_order(store: AnyStore) -> None:
    """VC-07"""
    row = await start(store)
    await one(store, append("r1", Log(text="a"), fence=row.fence, clock={"client": 4}))
    await one(store, append("r1", Log(text="b"), fence=row.fence))
    clocks = [f.clock for f in await store.read("r1")]
    assert all(happens_before(a, b) for a, b in pairwise(clocks))
    assert clocks[-1] == {LIFE: 4, "client": 4}


async def test_a_clients_clock_cannot_stop_a_run(store: AnyStore) -> None:
    """VC-07"""
    row = await start(store)
    await one(store, append("r1", Log(text="a"), clock={LIFE: 2**63 - 1}))
    await one(store, append("r1", Log(text="b"), fence=row.fence))
    with pytest.raises(Refused):
        await one(
            store, append("r1", Log(text="c"), clock={f"p{n}": 1 for n in range(1000)})
        )


async def test_code_versions_only_grow(store: AnyStore) -> None:
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
        write = append("r1", CodeGenerated(), fence=row.fence, code_version=version)
        if fine:
            await one(store, write)
            assert (await get(store, "r1")).code_version == version
        else:
            with pytest.raises(Conflict):
                await one(store, write)
    for version in (-1, 2**63):
        with pytest.raises(Refused):
            await one(
                store,
                append("r1", CodeGenerated(), fence=row.fence, code_version=version),
            )


async def test_of_two_simultaneous_versions_one_wins(store: AnyStore) -> None:
    """VS-02"""
    row = await start(store)
    batch = [
        append("r1", CodeGenerated(), fence=row.fence, code_version=2) for _ in range(2)
    ]
    outcomes = await store.commit(batch)
    assert [type(o) for o in outcomes] == [Appended, Conflict]


async def test_facts_carry_the_version_of_the_code_they_are_about(
    store: AnyStore,
) -> None:
    row = await start(store)
    await one(store, append("r1", CodeGenerated(), fence=row.fence, code_version=7))
    await one(store, append("r1", Log(text="now"), fence=row.fence))
    await one(store, append("r1", Log(text="then"), fence=row.fence, code_version=2))
    assert [f.code_version for f in await store.read("r1")] == [0, 0, 7, 7, 2]
    assert (await get(store, "r1")).code_version == 7
