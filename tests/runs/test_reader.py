"""What runs read while the store does not answer."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from fakes.cores import (
    Nothing,
    Seconds,
    kind,
    open_fake_core,
    request,
    types_of,
)
from fakes.stores import enqueue, inline_store
from penstock.log.filters import parse_filter
from penstock.log.store import Store
from penstock.pipeline import Run
from penstock.runs import reader
from penstock.runs.reader import PatientReads, Reader
from penstock.words.errors import RunNotFound, StoreUnavailable

Clock = trio.testing.MockClock


class DeafStore:
    """Answers no read until the time is `hears_at`; writes go through."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.hears_at = 0.0
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read(self, *args: Any, **bounds: Any) -> Any:
        if trio.current_time() < self.hears_at:
            await trio.lowlevel.checkpoint()
            self.refused += 1
            raise StoreUnavailable("deaf")
        return await self._store.read(*args, **bounds)


async def parent(run: Run, _inputs: Seconds) -> Nothing:
    child = await run.spawn_run("part", "sleep", {"seconds": 5})
    assert child.state == "completed"
    return Nothing()


@pytest.mark.parametrize(
    ("silence", "end"), [(10.0, "run.completed"), (1000.0, "run.failed")]
)
async def test_a_parent_reads_how_its_child_ended_when_the_store_answers_again(
    autojump_clock: Clock, silence: float, end: str
) -> None:
    """ST-06: for as long as a write of its own would wait, and no longer."""
    async with inline_store() as store:
        deaf: Any = DeafStore(store)
        async with open_fake_core(
            kind("parent", parent), store=deaf, store_patience=30.0
        ) as core:
            await core.submitter.submit(request("parent", "p"))
            deaf.hears_at = trio.current_time() + silence
            await trio.sleep(silence + 60)
            assert (await types_of(core, "p"))[-1] == end
    assert deaf.refused > 3


async def test_what_the_store_does_not_know_is_told_at_once(
    autojump_clock: Clock,
) -> None:
    """ST-06"""
    async with inline_store() as store:
        reads = PatientReads(Reader(store, {}, {}), 30.0)
        with pytest.raises(RunNotFound):
            await reads.view("unknown")
        assert await reads.read("unknown") == []
    assert trio.current_time() == 0


async def test_a_search_for_words_ends_after_so_many_runs_and_says_where(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PF-07: a page is bounded however many runs there are; who reads on finds them all."""
    monkeypatch.setattr(reader, "MOST_SEARCHED", 10)
    async with inline_store() as store:
        names = [f"{'odd' if n % 20 == 3 else 'usual'}-{n}" for n in range(45)]
        await store.commit([enqueue(name, capacity=None) for name in names])
        reads = Reader(store, {}, {})

        async def pages(q: str) -> list[list[str]]:
            found, before = [], None
            while True:
                wanted = parse_filter(q, before=before, limit=100)
                page, before = await reads.list(wanted)
                found.append([row["run_id"] for row in page])
                if before is None:
                    return found

        assert await pages("odd") == [["odd-43"], [], ["odd-23"], [], ["odd-3"]]
        # Of open runs there are few enough.
        assert await pages("odd state:open") == [["odd-43", "odd-23", "odd-3"]]
        assert len(await pages("")) == 1
