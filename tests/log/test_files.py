"""A log whose files are removed or replaced under its daemon, and two daemons of one log."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing
from functools import partial
from pathlib import Path

import pytest
import trio

from fakes.log_holder import another_daemon
from fakes.stores import LIFE, enqueue
from penstock.log.put_back import one_broken_store, watching
from penstock.log.sqlite.damage import first_change, known_file
from penstock.log.sqlite.database import hold_inode, hold_lock, open_database
from penstock.log.sqlite.store import SqliteStore, open_sqlite, threads
from penstock.words.errors import StartRefused, StoreBroken


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    other = path.with_name("other")
    shutil.copy(path, other)
    other.rename(path)


LOST = pytest.mark.parametrize("lose", [remove, replace])
PARTS = pytest.mark.parametrize("part", ["p.db", "p.db-wal", "p.db-shm", "lock"])


@LOST
@PARTS
async def test_nothing_is_acknowledged_once_a_file_of_the_log_is_gone(
    tmp_path: Path, lose: Callable[[Path], None], part: str
) -> None:
    """ST-03 ST-07: what goes into a removed file is in no log."""
    (tmp_path / "lock").touch()
    async with open_with_lock(tmp_path) as store:
        await store.commit([enqueue("a")])
        await store.check_files()
        lose(tmp_path / part)
        with pytest.raises(StoreBroken, match=f"{part} was re(moved|placed)"):
            await store.commit([enqueue("b")])
        with pytest.raises(StoreBroken):
            await store.commit([enqueue("c")])


@PARTS
async def test_an_idle_log_notices_too_and_ends_whatever_stands_on_it(
    tmp_path: Path, part: str
) -> None:
    """ST-07"""
    (tmp_path / "lock").touch()
    with trio.fail_after(30), pytest.raises(StoreBroken, match=part):
        with one_broken_store():
            async with open_with_lock(tmp_path) as store, watching(store, None):
                (tmp_path / part).unlink()
                await trio.sleep_forever()


def open_with_lock(folder: Path) -> AbstractAsyncContextManager[SqliteStore]:
    return open_sqlite(
        folder / "p.db", life=LIFE, run_blocking=threads(1), beside=[folder / "lock"]
    )


async def test_a_file_that_cannot_be_looked_up_is_not_called_gone(
    tmp_path: Path,
) -> None:
    """ST-07: a folder that is closed for a moment must not end the daemon."""
    path = tmp_path / ("x" * 200)
    path.touch()
    known = known_file(path)
    assert first_change([known]) is None
    too_long = type(known)(path.with_name("x" * 300), known.device, known.inode)
    assert too_long.change() is None


@pytest.mark.processes
def test_two_daemons_never_open_one_log_whatever_became_of_the_lock_file(
    tmp_path: Path,
) -> None:
    """Law 5: the lock is on the database itself too."""
    path = tmp_path / "p.db"

    async def open_it() -> None:
        async with open_sqlite(path, life=LIFE, run_blocking=threads(1)):
            pass

    trio.run(open_it)
    with another_daemon(path):
        # By another name, too: it is the same file.
        os.link(path, tmp_path / "q.db")
        for name in ("p.db", "q.db"):
            with hold_lock(tmp_path / f"{name}.lock"):
                with pytest.raises(StartRefused, match=f"{name} open"):
                    open_database(tmp_path / name, 1)
    trio.run(open_it)


@pytest.mark.processes
def test_the_lock_leaves_the_locks_of_sqlite_alone(tmp_path: Path) -> None:
    """ST-03: closing a descriptor of the file would drop them, and the log could be cut short."""
    path = tmp_path / "p.db"
    connections = open_database(path, 2)
    code = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=0);"
        " print(db.execute('PRAGMA journal_mode = DELETE').fetchone())"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        assert "database is locked" in done.stderr + done.stdout
    finally:
        for connection in reversed(connections):
            connection.close()
    with hold_inode(path), closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_readers_do_not_shut_each_other_out(tmp_path: Path) -> None:
    """Law 5: the log that an embedded daemon left may be read by any number."""
    path = tmp_path / "p.db"
    reading = partial(open_sqlite, path, life="reader", alone=False)
    async with (
        reading(run_blocking=threads(1)) as one,
        reading(run_blocking=threads(1)) as other,
    ):
        assert await one.read_all() == await other.read_all() == []
