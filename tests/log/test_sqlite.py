"""What is special about SQLite: files, faults, and what a start refuses."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import trio

from fakes.contract import completed, one
from fakes.stores import LIFE, append, at, claim, enqueue, inline_store, start
from penstock.log.results import Appended, Claimed
from penstock.log.sqlite.database import hold_lock, network_type, open_database
from penstock.log.sqlite.engine import SqliteDb
from penstock.log.sqlite.schema import VERSION
from penstock.log.sqlite.store import SqliteStore, open_sqlite, threads
from penstock.log.tables.handlers import HANDLERS, handle
from penstock.log.tables.recent_ids import RecentIds
from penstock.log.tables.transaction import Transaction
from penstock.log.writes import Append, Claim, Prune
from penstock.words.errors import (
    Conflict,
    PenstockError,
    StartRefused,
    StoreAway,
    StoreBroken,
    StoreUnavailable,
)
from penstock.words.events import Log


@asynccontextmanager
async def opened(
    path: Path, life: str = LIFE, **settings: Any
) -> AsyncIterator[SqliteStore]:
    with trio.fail_after(30):
        async with open_sqlite(
            path, life=life, run_blocking=threads(1), run_reading=threads(4), **settings
        ) as store:
            yield store


async def fill(path: Path, events: int = 3) -> None:
    async with opened(path) as store:
        row = await start(store)
        texts = [Log(text=f"{n} " + "x" * 1000) for n in range(events)]
        await store.commit([append("r1", *texts, fence=row.fence)])


def statement(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        return db.execute(sql).fetchall()


async def test_a_log_outlives_its_daemon(tmp_path: Path) -> None:
    """ST-03"""
    path = tmp_path / "p.db"
    async with opened(path) as store:
        row = await start(store)
        epoch = store.epoch
        facts = await store.read_all()
    async with opened(path, "life-2") as store:
        assert store.epoch == epoch
        assert await store.read_all() == facts
        assert await store.run("r1") == row
        (outcome,) = await store.commit([append("r1", Log(text="x"), fence=row.fence)])
        assert outcome.recorded[0].clock == {LIFE: 2, "life-2": 1}  # type: ignore[union-attr]
    assert statement(path, "PRAGMA integrity_check") == [("ok",)]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_nothing_is_read_before_its_commit() -> None:
    """ST-11: a reader sees the commit whole or not at all, whatever falls between."""
    async with inline_store() as store:
        seen: list[int] = []

        async def look() -> None:
            for _ in range(20):
                facts = await store.read_all()
                seen.append(len(facts))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            await store.commit([enqueue("a"), enqueue("b"), claim()])
        assert set(seen) <= {0, 4}
        assert 4 in seen


async def test_a_full_disk_takes_nothing_and_later_takes_the_same(
    tmp_path: Path,
) -> None:
    """ST-06"""
    path = tmp_path / "p.db"
    async with opened(path) as store:
        row = await start(store)
        (pages,) = store._db.execute("PRAGMA page_count").fetchone()
        store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
        write = append(
            "r1", *(Log(text="x" * 3000) for _ in range(50)), fence=row.fence
        )
        small = append("r1", Log(text="small"), fence=row.fence)
        before = await store.read_all()
        with pytest.raises(StoreUnavailable):
            await store.commit([small, write])
        assert await store.read_all() == before
        (outcome,) = await store.commit([small])
        assert isinstance(outcome, Appended)
        assert outcome.recorded[0].position == 3
        store._db.execute("PRAGMA max_page_count = 100000")
        again = await store.commit([small, write])
        assert [o.duplicate for o in again if isinstance(o, Appended)] == [True, False]
        assert [f.position for f in await store.read_all()] == list(range(1, 54))


async def test_a_store_that_turns_read_only_is_unavailable(tmp_path: Path) -> None:
    """ST-07"""
    async with opened(tmp_path / "p.db") as store:
        await start(store)
        store._db.execute("PRAGMA query_only = ON")
        with pytest.raises(StoreUnavailable):
            await store.commit([append("r1", Log(text="x"))])
        store._db.execute("PRAGMA query_only = OFF")
        (outcome,) = await store.commit([append("r1", Log(text="x"))])
        assert isinstance(outcome, Appended)
        assert outcome.recorded[0].sequence == 3


async def test_a_probe_finds_out_whether_the_store_takes_writes(
    tmp_path: Path,
) -> None:
    """ST-06 ST-07: it writes, and leaves nothing in the log."""
    async with opened(tmp_path / "p.db") as store:
        await start(store)
        head = (await store.bounds()).head
        assert await store.commit([]) == []
        store._db.execute("PRAGMA query_only = ON")
        with pytest.raises(StoreAway):
            await store.commit([])
        store._db.execute("PRAGMA query_only = OFF")
        assert await store.commit([]) == []
        assert (await store.bounds()).head == head


async def test_a_probe_is_as_large_as_what_was_not_taken(tmp_path: Path) -> None:
    """ST-06: a disk that has room for a page, and for nothing that anybody wants written, is full."""
    path = tmp_path / "p.db"
    async with opened(path) as store:
        row = await start(store)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        grown = path.with_name("p.db-wal").stat().st_size
        large = append(
            "r1", *(Log(text="x" * 3000) for _ in range(50)), fence=row.fence
        )
        resource.setrlimit(resource.RLIMIT_FSIZE, (grown + 50_000, before[1]))
        try:
            with pytest.raises(StoreUnavailable):
                await store.commit([large])
            for _ in range(3):
                with pytest.raises(StoreAway):
                    await store.commit([])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert await store.commit([]) == []
        assert isinstance((await store.commit([large]))[0], Appended)
        assert set(os.listdir(tmp_path)) == {"p.db", "p.db-wal", "p.db-shm"}


@pytest.mark.parametrize("free", [0, 3_000_000])
async def test_a_log_never_takes_more_room_than_it_leaves_free(
    tmp_path: Path, free: int
) -> None:
    """ST-06: so that it can always be folded into the file; below a megabyte it may be left."""
    path = tmp_path / "p.db"
    wal, sizes = path.with_name("p.db-wal"), []
    async with opened(path, free=lambda _: free) as store:
        row = await start(store)
        for number in range(60):
            said = Log(text=f"{number} {'x' * 100_000}")
            await store.commit([append("r1", said, fence=row.fence)])
            sizes.append(wal.stat().st_size)
        assert len(await store.read("r1", limit=1000)) == 62
    assert max(sizes) <= max(free, 1024 * 1024)


async def test_a_disk_that_the_log_alone_has_filled_is_given_room_by_folding_it(
    tmp_path: Path,
) -> None:
    """ST-06: as after a start on a log of an older version, or where a reader was in the way."""
    path = tmp_path / "p.db"
    wal = path.with_name("p.db-wal")
    async with opened(path) as store:
        row = await start(store)
        for number in range(20):
            said = Log(text=f"{number} {'x' * 100_000}")
            await store.commit([append("r1", said, fence=row.fence)])
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        # The file has room to grow; its log has none.
        grown = wal.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (grown, before[1]))
        try:
            with pytest.raises(StoreUnavailable):
                await store.commit([append("r1", said, fence=row.fence)])
            assert await store.commit([]) == []
            assert wal.stat().st_size < grown
            await store.commit([append("r1", said, fence=row.fence)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_store_that_another_process_holds_has_written_nothing(
    tmp_path: Path,
) -> None:
    """ST-07: so its outcome is not unknown."""
    path = tmp_path / "p.db"
    async with opened(path) as store:
        await start(store)
        store._db.execute("PRAGMA busy_timeout = 1")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreAway):
                await store.commit([append("r1", Log(text="x"))])
        await store.commit([append("r1", Log(text="x"))])


class FsyncFailed(sqlite3.OperationalError):
    """What SQLite says when the disk has lost a write."""

    sqlite_errorname = "SQLITE_IOERR_FSYNC"


class DbOfDyingDisk(SqliteDb):
    """Its next commit cannot be made durable."""

    def save(self) -> None:
        raise FsyncFailed("disk I/O error")


async def test_after_a_failed_fsync_nothing_is_written_any_more() -> None:
    """Reliability: pages that failed to reach the disk may look written."""
    async with inline_store() as store:
        await start(store)
        db = store._transaction.db
        store._transaction.db = DbOfDyingDisk(store._db)
        with pytest.raises(StoreBroken):
            await store.commit([append("r1", Log(text="x"))])
        store._transaction.db = db
        with pytest.raises(StoreBroken):
            await store.commit([append("r1", Log(text="x"))])
        assert len(await store.read_all()) == 2


async def test_a_bug_in_one_decision_undoes_the_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ST-10: a decision that was refused after it wrote never stands half."""

    def half_way(transaction: Transaction, write: Append) -> Appended | PenstockError:
        result = handle(transaction, write)
        if write.new_events[0].body.endswith(b'"bad","stream":"pipeline"}'):
            raise ZeroDivisionError
        return result

    async with inline_store() as store:
        await start(store)
        with monkeypatch.context() as patch:
            patch.setattr("penstock.log.sqlite.store.handle", half_way)
            with pytest.raises(ZeroDivisionError):
                await store.commit(
                    [append("r1", Log(text="good")), append("r1", Log(text="bad"))]
                )
        (outcome,) = await store.commit([append("r1", Log(text="good"))])
        assert outcome.recorded[0].position == 3  # type: ignore[union-attr]


# -- what a start refuses


async def refuses(path: Path) -> str:
    """The sentence with which the start is refused."""
    with pytest.raises(StartRefused) as caught:
        async with opened(path):
            pass
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """RS-04"""
    path = tmp_path / "p.db"
    await fill(path)
    statement(path, f"PRAGMA user_version = {VERSION + 1}")
    assert "newer" in await refuses(path)


@pytest.mark.parametrize(
    "damage", ["truncated", "garbage", "empty", "foreign", "cut log"]
)
async def test_a_damaged_file_is_reported_and_left_as_it_is(
    tmp_path: Path, damage: str
) -> None:
    """ST-08"""
    path = tmp_path / "p.db"
    await fill(path, events=50)
    match damage:
        case "truncated":
            os.truncate(path, path.stat().st_size // 2)
        case "garbage":
            path.write_bytes(os.urandom(8192))
        case "empty":
            path.write_bytes(b"")
        case "foreign":
            path.unlink()
            statement(path, "CREATE TABLE theirs (x)")
        case "cut log":
            statement(path, "DELETE FROM events WHERE position > 40")
    before = path.read_bytes()
    assert "left as it is" in (await refuses(path)).replace(
        "it was left as it is", "left as it is"
    )
    assert path.read_bytes() == before


async def test_a_log_without_its_database_is_refused(tmp_path: Path) -> None:
    """ST-08"""
    (tmp_path / "p.db-wal").write_bytes(b"x")
    assert "missing" in await refuses(tmp_path / "p.db")


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """ST-07"""
    await refuses(tmp_path / "none" / "p.db")


_OPEN = """
import sys
from pathlib import Path
from penstock.log.sqlite.database import open_database
import os
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    open_database(Path(sys.argv[1]), 0)
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.processes
@pytest.mark.skipif(
    os.geteuid() != 0, reason="another user is needed to lack a permission"
)
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_missing_permission_is_named(tmp_path: Path, what: str) -> None:
    """ST-07"""
    path = tmp_path / "p.db"
    if what == "file":
        trio.run(fill, path)
        path.chmod(0o644)
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    command = [sys.executable, "-c", _OPEN, str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"StartRefused the database {path} "), said


def test_a_network_file_system_is_known_by_its_mount() -> None:
    mounts = (
        "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
        "30 22 0:40 / /home rw shared:1 - nfs4 server:/home rw\n"
        "31 30 0:41 / /home/a\\040b rw - tmpfs tmpfs rw\n"
    )
    assert network_type(Path("/home/x/p.db"), mounts) == "nfs4"
    assert network_type(Path("/homes/p.db"), mounts) is None
    assert network_type(Path("/home/a b/p.db"), mounts) is None


# -- the lock


def test_the_lock_names_who_holds_it(tmp_path: Path) -> None:
    """Law 5"""
    path = tmp_path / "lock"
    with hold_lock(path):
        with pytest.raises(StartRefused, match=rf"pid {os.getpid()}\b.*{path}"):
            with hold_lock(path):
                pass
    with hold_lock(path):
        pass


def test_the_lock_cannot_be_taken_nowhere(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="none"):
        with hold_lock(tmp_path / "none" / "lock"):
            pass


# -- kill -9

_WRITE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import trio
from fakes.stores import LIFE, append, start
from penstock.words.events import Log
from penstock.log.sqlite.store import open_sqlite, threads
from penstock.log.kept import Fence

async def main():
    async with open_sqlite(Path(sys.argv[1]), life=LIFE, run_blocking=threads(1)) as store:
        row = await store.run("r1") or await start(store)
        while True:
            batch = [append("r1", Log(text="x" * 500), fence=row.fence) for _ in range(10)]
            outcomes = await store.commit(batch)
            print(outcomes[-1].recorded[0].position, flush=True)

trio.run(main)
"""


async def check_dense(path: Path) -> int:
    """The head of a log without holes, made of whole commits."""
    async with opened(path) as store:
        head = (await store.bounds()).head
        facts = await store.read_all(0, 100_000, max_bytes=2**40)
        assert [f.position for f in facts] == list(range(1, head + 1))
        assert (head - 2) % 10 == 0
        return head


@pytest.mark.slow
def test_what_was_acknowledged_outlives_kill_9(tmp_path: Path) -> None:
    """ST-03 ST-08"""
    path = tmp_path / "p.db"
    tests = str(Path(__file__).parent.parent)
    acknowledged = 0
    for kill_after in (1, 5, 23):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITE, str(path), tests],
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            for _ in range(kill_after):
                acknowledged = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            # What it said before it died counts as well.
            rest = writer.stdout.read().splitlines()
            acknowledged = int(rest[-1]) if rest else acknowledged
        assert trio.run(check_dense, path) >= acknowledged > 0
        assert statement(path, "PRAGMA integrity_check") == [("ok",)]


def test_what_was_opened_in_part_is_closed(tmp_path: Path) -> None:
    """A refused start leaves no connection behind (filterwarnings=error would say so)."""
    path = tmp_path / "p.db"
    path.write_bytes(b"x" * 100)
    with pytest.raises(StartRefused):
        open_database(path, 4)


async def test_a_refusal_after_a_write_is_a_bug() -> None:
    """ST-10"""

    def write_then_refuse(transaction: Transaction, _write: Claim) -> Claimed:
        transaction.update(transaction.get("r1"), reason="half")
        raise Conflict

    async with inline_store() as store:
        await start(store)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(HANDLERS, Claim, write_then_refuse)
            with pytest.raises(RuntimeError):
                await store.commit([claim()])
        row = await store.run("r1")
        assert row is not None
        assert row.reason == ""


def test_recent_ids_know_what_was_recorded_and_what_only_the_tables_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ST-05 PF-01: an id that was recorded is found, or asked for; never taken for new."""
    ids = [n.to_bytes(16, "big") for n in range(20)]
    monkeypatch.setattr(RecentIds, "most", 5)
    recent = RecentIds(ids[3])
    assert recent.look_up(ids[:6]) == ([], ids[:4])
    # They come nearly in order, as ids of one moment do.
    for position, number in enumerate([5, 4, 7, 6, 9, 8, 11, 10], start=1):
        recent.add(ids[number], position)
    known, unsure = recent.look_up(ids)
    assert {number for number, _ in known} == {ids[n] for n in (6, 9, 8, 11, 10)}
    assert unsure == [ids[n] for n in (0, 1, 2, 3, 4, 5, 7)]


async def test_an_id_is_known_long_after_and_a_forgotten_one_is_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ST-05 RS-05: whatever is remembered of it beside the tables."""
    monkeypatch.setattr(RecentIds, "most", 4)
    async with inline_store() as store:
        await one(store, enqueue("r1"))
        again = append("r1", Log(text="first"))
        first = await one(store, again)
        for number in range(10):
            await one(store, append("r1", Log(text=f"{number}")))
        assert (await one(store, again)).duplicate
        assert (await one(store, again)).recorded == first.recorded
        # Forgotten, and at once recorded again, of another run.
        gone = await start(store, "gone")
        last = append("gone", Log(text="last"), fence=gone.fence)
        await store.commit([last, completed(gone)])
        await one(store, Prune(at(1000), 0, 2**60, at(1000), 0))
        await one(store, enqueue("other"))
        moved = last.new_events[0]._replace(run_id="other")
        assert not (await one(store, Append((moved,)))).duplicate
