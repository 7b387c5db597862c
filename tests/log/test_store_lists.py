"""Every store: lists and retention (ST-12)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fakes.contract import AnyStore, completed, get, one, types
from fakes.stores import (
    append,
    at,
    claim,
    enqueue,
    start,
)
from penstock.log.filters import RunFilter
from penstock.log.results import Pruned
from penstock.log.tables import rows
from penstock.log.writes import Prune, RequestCancel
from penstock.words.events import (
    Log,
)


async def test_lists_are_filtered_and_newest_first(store: AnyStore) -> None:
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
    assert await ids(boxes=frozenset({"box"})) == []
    claimed = await one(store, claim(1, host="box"))
    assert [row.run_id for row in claimed.started] == ["alpha"]
    assert '"box":"box"' in claimed.recorded[0].body.decode()
    assert await ids(boxes=frozenset({"box"})) == ["alpha"]
    assert await ids(boxes=frozenset({"loft", "box"})) == ["alpha"]
    assert await ids(words=("' OR 1=1 --",)) == []


async def test_words_are_looked_for_in_command_lines(store: AnyStore) -> None:
    """DU-03: whether the inputs are shown whole or without their secrets."""
    shell = {"shell": "make Größe | tee log"}
    await store.commit([enqueue("a", inputs={"argv": ["pytest", "-q"]}), enqueue("b", inputs=shell)])  # fmt: skip
    for word, found in (("pytest -q", ["a"]), ("GRÖSSE", ["b"]), ("argv", [])):
        rows = await store.runs(RunFilter(words=(word,)))
        assert [row.run_id for row in rows] == found


@pytest.mark.parametrize("newest", [0, 1, 7, 17, 2000])
async def test_labels_are_found_however_old_their_runs_are(
    store: AnyStore, newest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PF-07: newest first, over the border between what is walked through and what is looked up."""
    monkeypatch.setattr(rows, "NEWEST", newest)
    for number in range(30):
        label = {"rare": "one"} if number % 10 == 3 else {}
        await one(store, enqueue(f"r-{number}", labels=label))

    async def ids(**wanted: Any) -> list[str]:
        wanted = {"labels": {"rare": "one"}, **wanted}
        return [row.run_id for row in await store.runs(RunFilter(**wanted))]

    assert await ids() == ["r-23", "r-13", "r-3"]
    assert await ids(limit=2) == ["r-23", "r-13"]
    assert await ids(above=4) == ["r-23", "r-13"]
    assert await ids(before=24) == ["r-13", "r-3"]
    assert await ids(words=("r-1",)) == ["r-13"]


async def test_a_place_is_counted_from_the_newest(store: AnyStore) -> None:
    for number in range(5):
        await one(store, enqueue(f"r-{number}"))
    assert await store.place_of(None, 0) == 5
    assert await store.place_of(None, 2) == 3
    assert await store.place_of(3, 0) == 2
    assert await store.place_of(None, 5) is None


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
    store: AnyStore,
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


async def test_pruning_keeps_the_log_under_its_size(store: AnyStore) -> None:
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


async def test_tombstones_are_forgotten(store: AnyStore) -> None:
    """RS-05"""
    for n in range(3):
        await one(store, RequestCancel(f"r{n}", "x", at(n)))
    await one(store, prune(tombstones_before=at(1), max_tombstones=1))
    for n in range(3):
        await one(store, enqueue(f"r{n}"))
    states = [(await get(store, f"r{n}")).state for n in range(3)]
    assert states == ["queued", "queued", "cancelled"]


async def test_times_come_back_as_they_were(store: AnyStore) -> None:
    """EV-07"""
    moment = at(0.123456)
    await one(store, enqueue(seconds=0.123456))
    (recorded,) = await store.read("r1")
    assert recorded.at == moment == (await get(store, "r1")).created_at
    assert recorded.at.utcoffset() == timedelta(0)
