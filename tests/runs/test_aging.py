"""The line: order, aging and starvation; and that it is the store's."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
import trio
import trio.testing

from fakes.cores import open_fake_core, request
from fakes.few_numbers import some_fast
from fakes.stores import at, claim, enqueue, inline_store
from penstock.log.kept import RunRow
from penstock.log.new_events import new_event
from penstock.log.results import Claimed
from penstock.log.sqlite.store import SqliteStore
from penstock.log.writes import Park, Release, SetPause, Unpark
from penstock.runs.core import Core
from penstock.runs.queue import Candidate, ClaimRules, grant, in_order, rank
from penstock.words.events import RunPreempted
from penstock.words.priority import Priority
from penstock.words.wait_reason import Waiting

Clock = trio.testing.MockClock
GROUPS = {"g": 1, "h": 2, "None": 1}


async def keep_busy(core: Core, stop_at: float) -> None:
    """HIGH runs of four seconds each, always ten of them in line."""
    number = 0
    while trio.current_time() < stop_at:
        while core.statistics().queued_by_priority["HIGH"] < 10:
            number += 1
            await core.submitter.submit(
                request(run_id=f"high{number}", seconds=4, priority="HIGH")
            )
        await trio.sleep(0.5)


@pytest.mark.parametrize("aging", [None, 5.0])
async def test_with_aging_the_least_important_starts_in_the_end(
    aging: float | None, autojump_clock: Clock
) -> None:
    """SC-14: off by default, and then it never starts while there is better work."""
    settings: dict[str, Any] = {} if aging is None else {"aging_seconds": aging}
    async with (
        open_fake_core(max_concurrent=2, **settings) as core,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(keep_busy, core, 300)
        await trio.sleep(1)
        low = request(run_id="b", seconds=1, priority="BACKGROUND")
        await core.submitter.submit(low)
        await trio.sleep(250)
        view = await core.reader.view("b")
        if aging is None:
            assert view.state == "queued"
        else:
            assert view.state == "completed"
            assert view.started_at is not None
            # Thirty points at five seconds each, and the HIGH runs in line wait some too.
            waited = (view.started_at - at(1)).total_seconds()
            assert 150 <= waited <= 200


def test_aging_moves_by_whole_points_and_never_back() -> None:
    """SC-14"""
    rules = ClaimRules(1, frozenset(), aging=10)
    low = Candidate("r", "k", Priority.LOW, 1, at(100))
    seen = [rank(low, rules, at(second))[0] for second in (0, 100, 109, 110, 500)]
    assert seen == [30, 30, 30, 29, -10]
    assert rank(low, ClaimRules(1, frozenset()), at(500))[0] == 30


async def fill_line(store: SqliteStore, rng: random.Random) -> set[str]:
    """Runs in every state that a claim can meet; the parked ones that want their slot again."""
    for number in range(rng.randint(1, 25)):
        known = [f"r{n}" for n in range(number)]
        wanted = enqueue(
            f"r{number}",
            seconds=rng.randint(0, 60),
            priority=rng.choice(list(Priority)),
            kind=rng.choice(["command", "command", "gone"]),
            group=rng.choice([None, None, *GROUPS]),
            after=tuple(rng.sample(known, min(len(known), rng.choice([0, 0, 1])))),
        )
        await store.commit([wanted])
    (claimed,) = await store.commit([claim(rng.randint(0, 8), group_slots=GROUPS)])
    assert isinstance(claimed, Claimed)
    wanting: set[str] = set()
    for row in claimed.started:
        what = rng.choice(["runs", "parks", "wants", "gave way"])
        if what == "gave way":
            fact = new_event(row.run_id, RunPreempted(by="x"), now=at())
            await store.commit([Release(row.fence, fact)])
        elif what != "runs":
            await store.commit([Park(row.fence, Waiting("ask", "x"), at())])
        if what == "wants":
            await store.commit([Unpark(row.fence)])
            wanting.add(row.run_id)
    paused = [group for group in (None, *GROUPS) if rng.random() < 0.15]
    await store.commit([SetPause(True, at(), group) for group in paused])
    return wanting


def stands(row: RunRow, open_ids: set[str], wanting: set[str]) -> Candidate:
    """The run as the table of a daemon has it."""
    return Candidate(
        run_id=row.run_id,
        kind=row.kind,
        priority=row.priority,
        place=row.place,
        since=row.created_at,
        group=row.group,
        parked=row.run_id in wanting,
        prerequisites=tuple(other for other in row.after if other in open_ids),
    )


@pytest.mark.parametrize("seed", some_fast(range(60), 15))
async def test_the_line_is_the_one_the_store_claims_by(
    seed: int, autojump_clock: Clock
) -> None:
    """SC-04 SC-14: parked runs, prerequisites, groups, pauses, kinds and aging, at random."""
    rng = random.Random(seed)
    aging = rng.choice([None, 3.0, 30.0])
    slots, now = rng.randint(0, 8), rng.randint(0, 200)
    async with inline_store() as store:
        wanting = await fill_line(store, rng)
        rows = await store.open_runs()
        open_ids = {row.run_id for row in rows}
        line = [
            stands(row, open_ids, wanting)
            for row in rows
            if row.state in ("queued", "preempted") or row.run_id in wanting
        ]
        held = Counter(row.group for row in rows if row.state == "running")
        wanted = claim(slots, seconds=now, group_slots=GROUPS, aging=aging)
        rules = ClaimRules(slots, wanted.kinds, GROUPS, await store.paused(), aging)
        foreseen = grant(in_order(line, rules, at(now)), held, rules)
        (claimed,) = await store.commit([wanted])
        assert isinstance(claimed, Claimed)
        got = {row.run_id for row in (*claimed.started, *claimed.unparked)}
        assert {candidate.run_id for candidate in foreseen} == got
