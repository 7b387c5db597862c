"""A log that was put back: the mark beside it notices, and its epoch changes."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import trio

from fakes.stores import LIFE, enqueue
from penstock.log.bus import Bus
from penstock.log.export import export_file, import_file
from penstock.log.put_back import HighWater, Mark, read_mark, why_put_back, write_mark
from penstock.log.results import Result
from penstock.log.sqlite.store import SqliteStore, open_sqlite, threads
from penstock.words.config import Config
from penstock.words.values import utc_now

ID, OTHER = UUID(int=1), UUID(int=2)
MARK = Mark("log", "epoch", 10, str(ID))
same = partial(why_put_back, log_id="log", epoch="epoch", head=12, found=ID)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    with trio.fail_after(30):
        async with open_sqlite(path, life=LIFE, run_blocking=threads(1)) as store:
            yield store


async def add(store: SqliteStore, *run_ids: str) -> None:
    for run_id in run_ids:
        [outcome] = await store.commit([enqueue(run_id)])
        assert isinstance(outcome, Result)


async def mark_head(store: SqliteStore, path: Path) -> None:
    """The mark as the newest fact left it."""
    facts = await store.read_all()
    await HighWater(path, store).write(facts[-1])


def bus_of(store: SqliteStore, head: int) -> Bus:
    config = Config()
    return Bus(
        store, head=head, floor=1, ring_events=config.ring_events, ring_bytes=config.ring_bytes,
        frame_events=config.frame_events, frame_bytes=config.frame_bytes,
        now=utc_now, on_drop=lambda _name, _count: None,
    )  # fmt: skip


# -- the decision


def test_a_log_that_went_on_was_not_put_back() -> None:
    """ST-08"""
    assert same(MARK) == ""
    assert same(None) == ""
    assert same(MARK, head=10) == ""
    # Pruned meanwhile: nothing can be said of it, and nothing is.
    assert same(MARK, found=None) == ""


def test_another_log_in_the_same_place_is_not_the_old_one_put_back() -> None:
    assert same(MARK, log_id="new", epoch="new", head=1, found=OTHER) == ""


def test_a_log_that_lost_what_the_mark_saw_was_put_back() -> None:
    """ST-08"""
    assert "ends at position 9" in same(MARK, head=9, found=None)
    assert "another fact" in same(MARK, found=OTHER)
    assert "again" in same(MARK, epoch="an older one")


# -- the log


async def test_an_older_copy_gets_a_new_epoch_and_keeps_its_id(tmp_path: Path) -> None:
    """ST-08: its clients have seen more of it than it holds."""
    path, copy, mark = tmp_path / "p.db", tmp_path / "copy.db", tmp_path / "c" / "mark"
    async with opened(path) as store:
        await add(store, "a", "b")
        epoch = store.epoch
    shutil.copy(path, copy)
    async with opened(path) as store:
        await add(store, "c")
        await mark_head(store, mark)
    async with opened(path) as store:
        assert await HighWater(mark, store).check() == ""
        assert (store.epoch, store.log_id) == (epoch, epoch)
    shutil.copy(copy, path)
    async with opened(path) as store:
        assert "position 2" in await HighWater(mark, store).check()
        second = store.epoch
        assert second != epoch
        assert store.log_id == epoch
        # It goes on, past where it was: the mark is of the new epoch now.
        await add(store, "d", "e")
        await mark_head(store, mark)
    async with opened(path) as store:
        assert await HighWater(mark, store).check() == ""
        assert (store.epoch, store.log_id) == (second, epoch)
    # The same copy again: it knows nothing of the second epoch.
    shutil.copy(copy, path)
    async with opened(path) as store:
        assert "has the epoch" in await HighWater(mark, store).check()
        assert store.epoch not in (epoch, second)


async def test_a_log_that_lost_its_newest_commits_and_went_on_is_noticed(
    tmp_path: Path,
) -> None:
    """ST-08: the head alone would say nothing, as it is where it was."""
    path, mark = tmp_path / "p.db", tmp_path / "mark"
    async with opened(path) as store:
        await add(store, "a")
    copy = path.read_bytes()
    async with opened(path) as store:
        await add(store, "b")
        await mark_head(store, mark)
    path.write_bytes(copy)
    async with opened(path) as store:
        await add(store, "c", "d")
    async with opened(path) as store:
        assert (
            "another fact stands at position 2" in await HighWater(mark, store).check()
        )


async def test_an_import_keeps_the_id_of_a_log_whose_epoch_has_changed(
    tmp_path: Path,
) -> None:
    """ST-03"""
    path, new = tmp_path / "p.db", tmp_path / "new.db"
    async with opened(path) as store:
        await add(store, "a")
        log_id = store.log_id
        await store.renew_epoch()
        epoch = store.epoch
    lines = BytesIO()
    export_file(path, lines)
    import_file(new, BytesIO(lines.getvalue()))
    async with opened(new) as store:
        assert (store.log_id, store.epoch) == (log_id, epoch)


# -- the mark


async def test_the_mark_follows_what_was_published_and_is_never_ahead(
    tmp_path: Path,
) -> None:
    """ST-11: a fact that a crash could take back is not in it."""
    path = tmp_path / "cache" / "mark"
    async with opened(tmp_path / "p.db") as store:
        await add(store, "a", "b")
        facts = await store.read_all()
        bus = bus_of(store, 0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(HighWater(path, store).follow, bus)
            for fact in facts:
                bus.publish([fact])
                while (seen := read_mark(path)) is None or seen.position < bus.head:
                    # Committed, but not yet published: not yet true for anybody.
                    assert seen is None or seen.position <= bus.head
                    await trio.sleep(0.01)
                expected = Mark(
                    store.log_id, store.epoch, fact.position, str(fact.event_id)
                )
                assert seen == expected
            nursery.cancel_scope.cancel()
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["mark"]


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b'{"log": 1}', b"[" * 4000, b"\xff",
        json.dumps({"log": "a", "epoch": "b", "position": 1, "event_id": "x"}).encode(),
        json.dumps({"log": "a", "epoch": "b", "position": 0, "event_id": str(ID)}).encode(),
        json.dumps({"log": "a", "epoch": "b", "position": "1", "event_id": str(ID)}).encode(),
    ],
)  # fmt: skip
def test_a_damaged_mark_is_left_out(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """ST-07: it is no part of the log, and must not keep it from opening."""
    path = tmp_path / "mark"
    path.write_bytes(content)
    assert read_mark(path) is None
    assert "left out" in caplog.text


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_no_mark(tmp_path: Path, make: object) -> None:
    path = tmp_path / "mark"
    assert callable(make)
    make(path)
    assert read_mark(path) is None


def test_a_mark_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "mark"
    assert read_mark(path) is None
    write_mark(path, MARK)
    later = replace(MARK, position=11, event_id=str(uuid4()))
    write_mark(path, later)
    assert read_mark(path) == later


async def test_a_mark_that_cannot_be_written_is_told_once_and_costs_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """ST-07"""
    (tmp_path / "file").touch()
    async with opened(tmp_path / "p.db") as store:
        await add(store, "a")
        [fact] = await store.read_all()
        high_water = HighWater(tmp_path / "file" / "mark", store)
        with caplog.at_level(logging.WARNING):
            await high_water.write(fact)
            await high_water.write(fact)
    assert caplog.text.count("cannot be written") == 1
