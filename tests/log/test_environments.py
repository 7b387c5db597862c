"""PT-08: environments in the log: kept once for many runs, and gone with the last of them."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trio

from fakes.stores import LIFE, at, claim, enqueue, fact, inline_store, start
from penstock.log.audit import audit_file
from penstock.log.export import export_file, import_file
from penstock.log.sqlite.store import SqliteStore, open_sqlite, threads
from penstock.log.writes import Complete, Prune
from penstock.words.errors import LogDamaged, OtherInputs, Refused, RunNotFound
from penstock.words.lifecycle import terminal
from penstock.words.surroundings import Surroundings

SECRET = b"hunter2-of-the-caller"
MINE = Surroundings(b"A=1\0KEY=" + SECRET + b"\0", 0o027)
#: More than a page holds, so that it lies on pages of its own.
LARGE = Surroundings(b"KEY=" + SECRET * 1000 + b"\0", 0o077)


def rows(store: SqliteStore, table: str) -> int:
    (count,) = store._db.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(count)


async def end(store: SqliteStore, run_id: str) -> None:
    [claimed] = await store.commit([claim(1000)])
    assert claimed is not None
    row = await store.run(run_id)
    assert row is not None
    await store.commit([Complete(row.fence, fact(run_id, terminal("completed")))])


async def prune(store: SqliteStore, keep: int) -> tuple[str, ...]:
    long_ago = at() - timedelta(days=1)
    [pruned] = await store.commit([Prune(long_ago, keep, 2**40, long_ago, 100)])
    return pruned.runs  # type: ignore[union-attr]


async def test_what_a_run_was_given_is_read_back_and_nobody_elses() -> None:
    async with inline_store() as store:
        await store.commit([enqueue("a", surroundings=MINE), enqueue("b")])
        assert await store.surroundings("a") == MINE
        assert await store.surroundings("b") is None
        assert await store.surroundings("nobody") is None


async def test_runs_of_one_shell_share_its_environment() -> None:
    """ST-04: the log grows by a few bytes a run, and not by the size of an environment."""
    async with inline_store() as store:
        for number in range(50):
            umask = Surroundings(LARGE.environ, number)
            await store.commit([enqueue(f"r{number}", surroundings=umask)])
        assert rows(store, "environments") == 1
        assert (await store.surroundings("r7")) == Surroundings(LARGE.environ, 7)


async def test_what_is_refused_keeps_nothing() -> None:
    async with inline_store() as store:
        await store.commit([enqueue("a", surroundings=MINE)])
        other = enqueue("a", inputs={"argv": ["other"]}, surroundings=LARGE)
        late = enqueue("b", after=("nobody",), surroundings=LARGE)
        refused = await store.commit([other, late])
        assert isinstance(refused[0], OtherInputs)
        assert isinstance(refused[1], Refused)
        again = enqueue("a", surroundings=LARGE)
        await store.commit([again])
        assert await store.surroundings("a") == MINE
        assert rows(store, "environments") == rows(store, "callers") == 1


async def test_a_child_and_a_retry_have_what_they_come_from() -> None:
    async with inline_store() as store:
        await start(store, "a", surroundings=MINE)
        await store.commit(
            [
                enqueue("a.b", parent_id="a"),
                enqueue("again", retry_of="a"),
                enqueue("own", retry_of="a", surroundings=LARGE),
            ]
        )
        assert await store.surroundings("a.b") == MINE
        assert await store.surroundings("again") == MINE
        assert await store.surroundings("own") == LARGE


async def test_what_was_forgotten_cannot_be_retried_without_its_environment() -> None:
    """API-10: it may go while its retry waits for room."""
    async with inline_store() as store:
        [refused] = await store.commit([enqueue("again", retry_of="gone")])
        assert isinstance(refused, RunNotFound)
        assert await store.run("again") is None


async def test_an_environment_goes_with_the_last_run_that_has_it() -> None:
    """RS-05: in the commit that forgets the run."""
    async with inline_store() as store:
        for run_id, around in (("a", MINE), ("b", LARGE), ("c", MINE)):
            await store.commit([enqueue(run_id, surroundings=around)])
            await end(store, run_id)
        assert await prune(store, keep=2) == ("a",)
        assert (rows(store, "callers"), rows(store, "environments")) == (2, 2)
        assert await store.surroundings("c") == MINE
        assert await prune(store, keep=1) == ("b",)
        assert (rows(store, "callers"), rows(store, "environments")) == (1, 1)
        assert await prune(store, keep=0) == ("c",)
        assert (rows(store, "callers"), rows(store, "environments")) == (0, 0)


@pytest.mark.parametrize("around", [MINE, LARGE], ids=["in a row", "on pages"])
async def test_nothing_of_what_was_forgotten_is_left_in_the_file(
    tmp_path: Path, around: Surroundings
) -> None:
    """RS-05: a page that was freed keeps what stood in it until it is used again."""
    path = tmp_path / "p.db"
    with trio.fail_after(30):
        async with open_sqlite(path, life=LIFE, run_blocking=threads(1)) as store:
            await store.commit([enqueue("a", surroundings=around), enqueue("b")])
            await end(store, "a")
        assert SECRET in path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600
        async with open_sqlite(path, life=LIFE, run_blocking=threads(1)) as store:
            assert await prune(store, keep=0) == ("a",)
    assert SECRET not in path.read_bytes()


@pytest.mark.parametrize("with_secrets", [False, True])
async def test_an_export_says_who_had_an_environment_and_not_what_it_held(
    tmp_path: Path, with_secrets: bool
) -> None:
    """D-08: an import has none, whatever somebody wrote into the export."""
    path, new = tmp_path / "p.db", tmp_path / "new.db"
    with trio.fail_after(30):
        async with open_sqlite(path, life=LIFE, run_blocking=threads(1)) as store:
            await store.commit([enqueue("a", surroundings=MINE), enqueue("b")])
        out = io.BytesIO()
        export_file(path, out, with_secrets=with_secrets)
        text = out.getvalue()
        assert SECRET not in text
        assert b"KEY" not in text
        assert text.count(b'"table":"callers"') == 1
        forged = text.replace(b'"environment":null', b'"environment":7')
        assert forged != text
        import_file(new, io.BytesIO(forged))
        async with open_sqlite(new, life=LIFE, run_blocking=threads(1)) as store:
            assert await store.surroundings("a") == Surroundings(None, 0o027)
            assert await store.surroundings("b") is None
    assert audit_file(new).findings == []


async def test_a_lost_environment_is_damage_and_no_empty_one(tmp_path: Path) -> None:
    """ST-08: found by the audit too, as one that nobody has."""
    path = tmp_path / "p.db"

    def change(sql: str) -> set[str]:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(sql)
        return {finding.law for finding in audit_file(path).findings}

    with trio.fail_after(30):
        async with open_sqlite(path, life=LIFE, run_blocking=threads(1)) as store:
            await store.commit([enqueue("a", surroundings=MINE)])
        assert change("SELECT 1") == set()
        assert change("UPDATE environments SET key = 9") == {"environments of runs"}
        async with open_sqlite(path, life=LIFE, run_blocking=threads(1)) as store:
            with pytest.raises(LogDamaged, match="environment of the run 'a'"):
                await store.surroundings("a")
        told: Any = "".join(str(f) for f in audit_file(path).findings)
        assert SECRET.decode() not in told
