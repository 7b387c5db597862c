"""RS-04: a log of any older version becomes one of today's, whatever falls between."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio

from fakes.first_release import RUNS, make_first_log
from fakes.lengths import length
from penstock.log.audit import audit_file
from penstock.log.checksum import checksum_of
from penstock.log.export import export_file, import_file
from penstock.log.filters import RunFilter
from penstock.log.sqlite.migrations import AS_USUAL, MARK, MigrationPolicy, migrate
from penstock.log.sqlite.schema import (
    MIGRATIONS,
    VERSION,
    Batches,
    Migrations,
    create_file,
)
from penstock.log.sqlite.store import SqliteStore, open_sqlite, threads
from penstock.words.errors import StartRefused

TABLES = "SELECT type, name, sql FROM sqlite_master ORDER BY name"
#: Rows of a batch in the tests: the log of five runs takes several.
BATCH = 10
#: Runs of a log that takes many of the batches that a daemon makes.
MANY = length(20_000, 100_000)


def ask(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        return db.execute(sql).fetchall()


def content(path: Path) -> bytes:
    return path.read_bytes()


def bring(
    path: Path,
    version: int = VERSION,
    policy: MigrationPolicy = AS_USUAL,
    migrations: Migrations = MIGRATIONS,
    factory: type[sqlite3.Connection] = sqlite3.Connection,
) -> None:
    """Migrate the file as its daemon would, but for what only a power cut would find out."""
    with closing(sqlite3.connect(path, isolation_level=None, factory=factory)) as db:
        sqlite3.Connection.execute(db, "PRAGMA synchronous = OFF")
        migrate(db, path, policy, version=version, migrations=migrations)


async def stories(path: Path, *, alone: bool = True) -> dict[str, list[object]]:
    """Every run's facts and row, as a daemon of today reads them."""
    with trio.fail_after(60):
        async with open_sqlite(
            path, life="reader", run_blocking=threads(1), alone=alone
        ) as store:
            return await _stories(store)


async def _stories(store: SqliteStore) -> dict[str, list[object]]:
    rows = await store.runs(RunFilter(limit=1000))
    return {row.run_id: [row, *await store.read(row.run_id)] for row in rows}


def make_checksums(db: sqlite3.Connection, place: int) -> int | None:
    """A long step: the checksums that facts of old have none of."""
    names = "position, run, sequence, event_id, at, type, clock, causation, code_version, body"
    sql = f"SELECT {names} FROM events WHERE position > ? ORDER BY position LIMIT ?"
    rows = db.execute(sql, (place, BATCH)).fetchall()
    for row in rows:
        values = (checksum_of(*row), row[0])
        db.execute("UPDATE events SET checksum = ? WHERE position = ?", values)
        db.execute("UPDATE counted SET times = times + 1 WHERE position = ?", row[:1])
    return rows[-1][0] if rows else None


def count_times(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE counted (position INTEGER PRIMARY KEY, times INTEGER)")
    db.execute("INSERT INTO counted SELECT position, 0 FROM events")


def last_position(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT max(position) FROM events").fetchone()[0])


LONG: Migrations = {
    **MIGRATIONS,
    VERSION: Batches(count_times, make_checksums, last_position),
    VERSION + 1: lambda db: db.execute("DROP TABLE counted").close(),
}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "p.db"
    make_first_log(path)
    return path


def check_steps(path: Path, *, audited: Collection[int]) -> None:
    """Through each step, every law kept after those named, to tables like those of a new log."""
    [(facts,)] = ask(path, "SELECT count(*) FROM events")
    for version in range(2, VERSION + 1):
        bring(path, version)
        assert ask(path, "PRAGMA user_version") == [(version,)]
        assert version not in audited or audit_file(path).findings == []
        assert ask(path, "SELECT count(*) FROM events") == [(facts,)]
        copy = path.with_name(f"{path.name}.v{version - 1}")
        assert ask(copy, "SELECT count(*) FROM events") == [(facts,)]
        # It is not needed any more, and may be large.
        copy.unlink()
    new = path.with_name("new.db")
    create_file(new)
    assert ask(path, TABLES) == ask(new, TABLES)
    assert ask(path, f"SELECT * FROM meta WHERE name = '{MARK}'") == []


async def test_the_log_of_the_first_release_passes_every_step(old: Path) -> None:
    """RS-04"""
    before = await stories(old, alone=False)
    assert len(before) == RUNS
    check_steps(old, audited=range(2, VERSION + 1))
    assert await stories(old) == before


@pytest.mark.slow
def test_many_runs_of_the_first_release_pass_every_step(
    tmp_path: Path,
) -> None:
    """RS-04"""
    path = tmp_path / "p.db"
    make_first_log(path, MANY)
    check_steps(path, audited=[VERSION])
    assert ask(path, "SELECT count(*) FROM runs WHERE key > 0") == [(MANY,)]


def test_every_version_has_one_step() -> None:
    """RS-04"""
    assert sorted(MIGRATIONS) == list(range(1, VERSION))


class Photographed(sqlite3.Connection):
    """Keeps what is on the disk before each statement: what `kill -9` there would leave."""

    statements = 0
    folder: Path
    path: Path

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        number = Photographed.statements
        Photographed.statements += 1
        kept = self.folder / str(number)
        kept.mkdir()
        for file in self.path.parent.glob(f"{self.path.name}*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, kept)
        return super().execute(sql, *args)


async def test_killed_at_any_statement_it_goes_on_at_the_next_start(
    old: Path, tmp_path: Path
) -> None:
    """RS-04: nothing is lost, no row is gone through twice, and there is one copy of before."""
    Photographed.statements, Photographed.path = 0, old
    Photographed.folder = tmp_path / "kept"
    Photographed.folder.mkdir()
    last = VERSION + 1
    bring(old, last, migrations=LONG, factory=Photographed)
    counts = "SELECT min(times), max(times) FROM counted"
    assert ask(old, counts) == [(1, 1)]
    whole = ask(old, "SELECT * FROM events")
    left = set()
    for number in range(Photographed.statements):
        path = Photographed.folder / str(number) / old.name
        left.add((*ask(path, "PRAGMA user_version"), *ask(path, f"SELECT value FROM meta WHERE name = '{MARK}'")))  # fmt: skip
        bring(path, last, migrations=LONG)
        assert ask(path, counts) == [(1, 1)], number
        assert ask(path, "SELECT * FROM events") == whole, number
        assert ask(path, f"SELECT * FROM meta WHERE name = '{MARK}'") == [], number
        assert ask(path, "PRAGMA integrity_check") == [("ok",)], number
        copies = [file.name for file in path.parent.glob("*.v*")]
        assert copies == ["p.db.v1"], number
        assert ask(path.parent / copies[0], "PRAGMA user_version") == [(1,)]
    # It was killed between steps and between batches too.
    assert len(left) > VERSION + 24 / BATCH


class Failing(sqlite3.Connection):
    """A disk that fails at one statement, for good."""

    at = 0
    statements = 0

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        Failing.statements += 1
        if Failing.statements == self.at:
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, *args)


def test_a_fault_at_any_statement_leaves_what_the_next_start_goes_on_from(
    old: Path, tmp_path: Path
) -> None:
    """RS-04"""
    last, at, over = VERSION + 2, 0, False
    while not over:
        at += 1
        folder = tmp_path / str(at)
        folder.mkdir()
        path = folder / old.name
        shutil.copy(old, path)
        Failing.at, Failing.statements = at, 0
        try:
            bring(path, last, migrations=LONG, factory=Failing)
        except (StartRefused, sqlite3.Error) as error:
            told = str(error)
        else:
            told, over = "disk I/O error", True
        assert "disk I/O error" in told
        bring(path, last, migrations=LONG)
        assert ask(path, "PRAGMA user_version") == [(last,)]
        assert ask(path, "SELECT count(*) FROM events WHERE checksum IS NULL") == [(0,)]
        assert [file.name for file in folder.glob("*.v*")] == ["p.db.v1"]
    assert at > 40


@pytest.mark.processes
def test_a_process_that_is_killed_in_a_step_has_lost_nothing(tmp_path: Path) -> None:
    """RS-04: `kill -9` in the middle of a step of many batches."""
    path = tmp_path / "p.db"
    make_first_log(path, 300)
    with subprocess.Popen(
        [sys.executable, "-c", _STEP_BY_STEP, str(path), *sys.path],
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("batch 500"):
                child.send_signal(signal.SIGKILL)
                break
    assert child.returncode == -signal.SIGKILL
    [(mark,)] = ask(path, f"SELECT value FROM meta WHERE name = '{MARK}'")
    assert mark.startswith("[1, ")
    bring(path, VERSION + 1, migrations=LONG)
    assert ask(path, "SELECT min(times), max(times) FROM counted") == [(1, 1)]
    assert ask(path, "SELECT count(*) FROM events WHERE checksum IS NULL") == [(0,)]
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


_STEP_BY_STEP = f"""
import sys
from pathlib import Path
sys.path[:] = sys.argv[2:]
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_migrations as module
batch = module.LONG[module.VERSION].batch
def told(db, place):
    print("batch", place, flush=True)
    return batch(db, place)
step = module.Batches(module.count_times, told, module.last_position)
module.bring(Path(sys.argv[1]), module.VERSION + 1, migrations={{**module.LONG, module.VERSION: step}})
"""


def test_a_failed_step_changes_nothing(old: Path) -> None:
    """RS-04"""

    def fail(db: sqlite3.Connection) -> None:
        db.execute("DROP TABLE events")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bring(old, VERSION + 1, migrations={**MIGRATIONS, VERSION: fail})
    assert ask(old, "PRAGMA user_version") == [(VERSION,)]
    assert audit_file(old).findings == []


def test_what_is_done_is_told_and_a_stop_is_heard(old: Path) -> None:
    """RS-04: the next start goes on."""
    told: list[str] = []
    bring(old, 2, MigrationPolicy(tell=told.append))
    assert told[0] == f"migrating the log {old} from version 1 to 2"
    assert told[-1] == f"the log {old} has version 2 now"
    assert any("copied to" in text for text in told)
    stopping = MigrationPolicy(stopped=lambda: bool(ask_mark(old)))
    with pytest.raises(StartRefused, match="the next start goes on there"):
        bring(old, VERSION + 1, stopping, LONG)
    bring(old, VERSION + 1, migrations=LONG)
    assert ask(old, "SELECT min(times), max(times) FROM counted") == [(1, 1)]


def ask_mark(path: Path) -> list[tuple[Any, ...]]:
    return ask(path, f"SELECT value FROM meta WHERE name = '{MARK}' AND value NOT LIKE '%, 0, %'")  # fmt: skip


def free(count: int) -> Callable[[Path], int]:
    return lambda _: count


def test_a_migration_without_room_is_refused_with_what_it_takes(old: Path) -> None:
    """RS-04: and the setting is named where it would help."""
    before = content(old)
    with pytest.raises(StartRefused) as caught:
        bring(old, policy=MigrationPolicy(free_bytes=free(1000)))
    assert "there are 1000; make room" in str(caught.value)
    assert "migration_copy" not in str(caught.value)
    size = os.stat(old).st_size + 4 * 1024 * 1024
    with pytest.raises(StartRefused, match="migration_copy = false") as caught:
        bring(old, policy=MigrationPolicy(free_bytes=free(size)))
    assert "\n" not in str(caught.value)
    assert str(2 * os.stat(old).st_size + 4 * 1024 * 1024) in str(caught.value)
    assert content(old) == before
    bring(old, policy=MigrationPolicy(copy=False, free_bytes=free(size)))
    assert audit_file(old).findings == []
    assert not list(old.parent.glob("*.v*"))


def test_a_copy_is_whole_for_its_owner_only_and_leads_back(old: Path) -> None:
    """RS-04"""
    before = io.BytesIO()
    export_file(old, before, with_secrets=True)
    bring(old)
    copy = old.with_name("p.db.v1")
    assert copy.stat().st_mode & 0o777 == 0o600
    after = io.BytesIO()
    export_file(copy, after, with_secrets=True)
    assert after.getvalue() == before.getvalue()
    copy.rename(old)
    assert ask(old, "PRAGMA user_version") == [(1,)]
    bring(old)
    assert audit_file(old).findings == []


def test_a_copy_of_another_log_is_never_replaced(old: Path, tmp_path: Path) -> None:
    """RS-04: one of the same log, made earlier, is."""
    shutil.copy(old, tmp_path / "p.db.v1")
    ask(old, "UPDATE meta SET value = 'another' WHERE name = 'epoch'")
    theirs = (tmp_path / "p.db.v1").read_bytes()
    bring(old, 2)
    assert (tmp_path / "p.db.v1").read_bytes() == theirs
    ask(old, "PRAGMA user_version = 1")
    ask(old, "CREATE INDEX runs_open ON runs(place) WHERE ended_at IS NULL")
    bring(old)
    assert sorted(file.name for file in tmp_path.glob("*.v*")) == ["p.db.v1", "p.db.v1.2"]  # fmt: skip


def test_damage_that_hinders_the_copy_is_told_and_changes_nothing(
    old: Path, tmp_path: Path
) -> None:
    """RS-04"""
    make_first_log(bad := tmp_path / "bad.db", 300)
    [(root,)] = ask(bad, "SELECT rootpage FROM sqlite_master WHERE name = 'specs'")
    with bad.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)
    with pytest.raises(StartRefused, match=r"its copy .*migration_copy = false"):
        bring(bad)
    assert not list(tmp_path.glob("bad.db.v*"))


async def test_who_only_reads_migrates_nothing(old: Path) -> None:
    """RS-04"""
    before = content(old)
    async with open_sqlite(
        old, life="reader", run_blocking=threads(1), alone=False
    ) as store:
        assert store.copy_of == 1
        assert len(await _stories(store)) == RUNS
    assert audit_file(old).findings == []
    out = io.BytesIO()
    export_file(old, out)
    assert b'"schema":1' in out.getvalue().splitlines()[0]
    assert content(old) == before
    assert not list(old.parent.glob("*.v*"))
    out.seek(0)
    assert import_file(old.with_name("new.db"), out) == audit_file(old).facts


async def test_a_log_in_the_middle_of_a_step_is_told_by_who_reads_its_rows(
    old: Path,
) -> None:
    """RS-04: and read as it will be by who reads through a copy."""
    bring(old)
    ask(old, f"INSERT INTO meta VALUES ('{MARK}', '[1, 7, 24]')")
    for read in (audit_file, lambda path: export_file(path, io.BytesIO())):
        with pytest.raises(StartRefused, match="middle of a migration") as caught:
            read(old)
        assert "\n" not in str(caught.value)


async def test_a_newer_log_is_refused_by_everybody_in_one_line(old: Path) -> None:
    """RS-04"""
    ask(old, f"PRAGMA user_version = {VERSION + 1}")
    before = content(old)
    for alone in (True, False):
        with pytest.raises(StartRefused, match="newer penstock"):
            await stories(old, alone=alone)
    for read in (audit_file, lambda path: export_file(path, io.BytesIO())):
        with pytest.raises(StartRefused, match="newer penstock") as caught:
            read(old)
        assert "\n" not in str(caught.value)
    assert content(old) == before


def test_a_daemon_of_the_older_version_may_have_gone_on_between_two_steps(
    old: Path,
) -> None:
    """RS-04: then the migration begins anew, and so does its copy."""
    bring(old, 2)
    ask(old, f"INSERT INTO meta VALUES ('{MARK}', '[1, null, 23]')")
    bring(old)
    assert (old.with_name("p.db.v2")).exists()
    assert ask(old, f"SELECT * FROM meta WHERE name = '{MARK}'") == []
