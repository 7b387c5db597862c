"""DU-01: what a person types for a run: a number, how an id begins, @last and the like, a filter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from fakes.stores import LIFE, at, enqueue, inline_store, start
from penstock.log.export import export_file, import_file
from penstock.log.results import Accepted
from penstock.log.sqlite.store import SqliteStore, open_sqlite, threads
from penstock.log.writes import Prune, RequestCancel
from penstock.runs import selection
from penstock.runs.selection import Selection
from penstock.words.errors import Refused, RunNotFound


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    async with inline_store(life=LIFE) as opened:
        yield opened


async def ids(store: SqliteStore, word: str) -> list[str]:
    return [run.run_id for run in await Selection(store).select(word)]


async def cancel(store: SqliteStore, *run_ids: str) -> None:
    await store.commit([RequestCancel(run_id, "test", at()) for run_id in run_ids])


async def test_each_run_gets_the_next_number(store: SqliteStore) -> None:
    """DU-01: when it is recorded; whoever submits is told it."""
    results = await store.commit([enqueue("one"), enqueue("two")])
    assert [r.number for r in results if isinstance(r, Accepted)] == [1, 2]
    assert await ids(store, "2") == await ids(store, "#2") == ["two"]
    with pytest.raises(RunNotFound):
        await ids(store, "3")


async def test_the_number_of_a_forgotten_run_is_never_given_again(
    store: SqliteStore,
) -> None:
    """DU-01: a number in somebody's notes may not come to mean another run."""
    await store.commit([enqueue("one"), enqueue("two")])
    await cancel(store, "one", "two")
    later = at() + timedelta(days=1)
    prune = Prune(before=later, keep=0, max_bytes=0, tombstones_before=later, max_tombstones=0)  # fmt: skip
    await store.commit([prune])
    [result] = await store.commit([enqueue("three")])
    assert isinstance(result, Accepted)
    assert result.number == 3


async def test_a_submit_that_is_sent_again_hears_the_same_number(
    store: SqliteStore,
) -> None:
    """DU-01: its answer was lost, and it is the same write."""
    write = enqueue("one")
    [first], [again] = await store.commit([write]), await store.commit([write])
    assert isinstance(first, Accepted)
    assert isinstance(again, Accepted)
    assert first.number == again.number == 1


async def test_an_id_as_it_is_goes_before_its_beginning(store: SqliteStore) -> None:
    """DU-01"""
    await store.commit([enqueue("job"), enqueue("job-1"), enqueue("jib"), enqueue("7")])
    assert await ids(store, "job") == ["job"]
    assert await ids(store, "ji") == ["jib"]
    # Older logs may have such an id.
    assert await ids(store, "7") == ["7"]
    assert await Selection(store).numbered("7") is None
    assert await Selection(store).numbered("2") == "job-1"
    with pytest.raises(Refused, match=r"several ids begin with 'jo': job-1 \(2\), job"):
        await ids(store, "jo")


async def test_the_beginning_of_an_id_is_text_and_no_pattern(
    store: SqliteStore,
) -> None:
    """DU-01"""
    await store.commit([enqueue("100%"), enqueue("1000"), enqueue("häuser"), enqueue("a_b")])  # fmt: skip
    assert await ids(store, "100%") == ["100%"]
    assert await ids(store, "hä") == ["häuser"]
    for word in ("%", "_", "10_", "a*"):
        with pytest.raises(RunNotFound):
            await ids(store, word)


async def test_words_with_an_at_mean_the_runs_of_people(store: SqliteStore) -> None:
    """DU-01: children come and go with the run they are part of."""
    await store.commit([enqueue("a"), enqueue("b"), enqueue("c")])
    await start(store, "a")
    await store.commit([enqueue("child", parent_id="c"), enqueue("d", timeout=0)])
    assert await ids(store, "@last") == await ids(store, "@-1") == ["d"]
    assert await ids(store, "@-2") == ["c"]
    assert await ids(store, "@failed") == ["d"]
    assert await ids(store, "@open") == ["c", "b", "a"]
    with pytest.raises(RunNotFound):
        await ids(store, "@-9")
    with pytest.raises(Refused, match="@last, @-2, @running"):
        await ids(store, "@nothing")


async def test_what_failed_and_was_tried_again_is_not_tried_once_more(
    store: SqliteStore,
) -> None:
    """DU-01: `retry @failed` twice must not double what the first one did."""
    await store.commit([enqueue("a", timeout=0), enqueue("b", timeout=0)])
    await store.commit([enqueue("a2", retry_of="a")])
    assert await ids(store, "@failed") == ["b"]


async def test_a_filter_selects_page_after_page(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DU-01: however many there are, but not without an end."""
    monkeypatch.setattr(selection, "PAGE", 2)
    await store.commit([enqueue(f"r{n}", group="disk") for n in range(5)])
    assert len(await ids(store, "group:disk state:queued")) == 5
    with pytest.raises(RunNotFound):
        await ids(store, "group:disk state:failed")
    monkeypatch.setattr(selection, "MOST_SELECTED", 4)
    with pytest.raises(Refused, match="more than 4 runs"):
        await ids(store, "group:disk")


async def test_without_a_word_the_only_running_run_is_meant_else_the_newest(
    store: SqliteStore,
) -> None:
    """DU-01"""
    with pytest.raises(RunNotFound):
        await ids(store, "")
    await store.commit([enqueue("a")])
    await start(store, "a")
    await store.commit([enqueue("b")])
    assert await ids(store, "@running") == ["a"]
    assert await ids(store, "") == ["a"]
    await start(store, "c")
    assert await ids(store, "@running") == ["c", "b", "a"]
    assert await ids(store, "") == ["c"]


async def test_an_imported_log_goes_on_counting(tmp_path: Path) -> None:
    """DU-01: numbers are a part of the log, and the highest one that was forgotten too."""
    old, new, file = tmp_path / "old.db", tmp_path / "new.db", tmp_path / "export"
    async with open_sqlite(old, life=LIFE, run_blocking=threads(1)) as store:
        await store.commit([enqueue("one"), enqueue("two")])
        await cancel(store, "two")
        later = at() + timedelta(days=1)
        prune = Prune(before=later, keep=0, max_bytes=0, tombstones_before=later, max_tombstones=0)  # fmt: skip
        await store.commit([prune])
    with file.open("wb") as out:
        export_file(old, out)
    with file.open("rb") as source:
        import_file(new, source)
    async with open_sqlite(new, life=LIFE, run_blocking=threads(1)) as store:
        [result] = await store.commit([enqueue("three")])
        assert isinstance(result, Accepted)
        assert result.number == 3
