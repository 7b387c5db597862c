"""What somebody said of failures and of new runs, as the log has it: dismissed, drained."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from fakes.contract import AnyStore, completed, failed, get, one
from fakes.stores import LIFE, at, claim, enqueue
from penstock.log.audit import audit_file
from penstock.log.export import export_file, import_file
from penstock.log.sqlite.store import open_sqlite, threads
from penstock.log.writes import Dismiss, Prune, SetDrain, SetPause
from penstock.words.errors import NotAvailable
from penstock.words.events import FailuresDismissed


async def fail(store: AnyStore, *run_ids: str) -> None:
    for run_id in run_ids:
        await one(store, enqueue(run_id))
        [row] = (await one(store, claim())).started
        await one(store, failed(row))


def prune_all() -> Prune:
    return Prune(
        before=at(10**9),
        keep=0,
        max_bytes=0,
        tombstones_before=at(10**9),
        max_tombstones=0,
    )


async def test_a_dismissal_is_one_fact_of_failures_alone(store: AnyStore) -> None:
    """MB-15 DU-06: what has not failed is passed over, so that its failure is news once it comes."""
    await fail(store, "a", "b")
    await one(store, enqueue("well"))
    [row] = (await one(store, claim())).started
    await one(store, enqueue("open"))
    told = await one(store, Dismiss(("b", "open", "well", "none"), at(), "loft"))
    [fact] = told.recorded
    assert fact.event == FailuresDismissed(runs=("b",), box="loft")
    assert (await one(store, Dismiss(("b",), at()))).recorded == ()
    await one(store, completed(row))
    await one(store, Dismiss(("a", "b", "well"), at()))
    assert await store.dismissed() == ["b", "a"]
    [row] = (await one(store, claim())).started
    await one(store, failed(row))
    assert "open" not in await store.dismissed()
    assert (await store.opening()).dismissed == ["b", "a"]


async def test_a_dismissal_goes_with_its_run(store: AnyStore) -> None:
    """MB-15 DU-06: another run of that id fails anew."""
    await fail(store, "a")
    await one(store, Dismiss(("a",), at()))
    assert (await one(store, prune_all())).runs == ("a",)
    assert await store.dismissed() == []
    await fail(store, "a")
    assert await store.dismissed() == []


async def test_what_is_drained_takes_no_new_run(store: AnyStore) -> None:
    """MB-15 SC-02: whoever asks, whether or not it has heard; the same twice is one fact."""
    await one(store, enqueue("known"))
    drained = await one(store, SetDrain(True, at(), None, "loft"))
    again = await one(store, SetDrain(True, at(), None, "cellar"))
    kinds = [f.type for f in drained.recorded]
    assert (kinds, again.recorded) == (["queue.drained"], ())
    assert await store.draining() == {None: "loft"}
    assert (await store.paused(), await store.drained()) == ({}, frozenset())
    with pytest.raises(NotAvailable, match="the queue is drained"):
        await one(store, enqueue("new"))
    assert (await one(store, enqueue("known"))).recorded == ()
    [row] = (await one(store, claim())).started
    await one(store, enqueue("child", parent_id=row.run_id))
    opened = await one(store, SetDrain(False, at()))
    assert [f.type for f in opened.recorded] == ["queue.opened"]
    await one(store, enqueue("new"))


async def test_a_drained_group_is_drained_alone(store: AnyStore) -> None:
    """MB-15: to resume ends its pause and its drain, each by a fact; to open it leaves it paused."""
    await one(store, SetDrain(True, at(), "gpu"))
    await one(store, SetPause(True, at(), "gpu"))
    with pytest.raises(NotAvailable, match="the group 'gpu' is drained"):
        await one(store, enqueue("r", group="gpu"))
    await one(store, enqueue("r"))
    await one(store, SetDrain(False, at(), "gpu"))
    assert await store.paused() == {"gpu": ""}
    await one(store, SetDrain(True, at(), "gpu"))
    resumed = await one(store, SetPause(False, at(), "gpu"))
    assert [f.type for f in resumed.recorded] == ["queue.resumed", "queue.opened"]
    assert (await store.paused(), await store.draining()) == ({}, {})


async def test_the_next_daemon_and_an_import_know_what_was_said(tmp_path: Path) -> None:
    """DU-06"""
    log, copy = tmp_path / "log.db", tmp_path / "copy.db"
    async with open_sqlite(log, life=LIFE, run_blocking=threads(1)) as store:
        await fail(store, "a", "b")
        await one(store, Dismiss(("a",), at()))
        await one(store, SetDrain(True, at(), "gpu"))
    out = io.BytesIO()
    export_file(log, out)
    out.seek(0)
    import_file(copy, out)
    for path in (log, copy):
        async with open_sqlite(path, life=LIFE, run_blocking=threads(1)) as store:
            assert await store.dismissed() == ["a"]
            assert await store.draining() == {"gpu": ""}
            assert (await get(store, "b")).state == "failed"
        assert audit_file(path).findings == []
