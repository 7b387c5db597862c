"""ST-12: a box's log moves from its file to a server, whole, and the file is no log any more."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from fakes.contract import check_log
from fakes.log_holder import another_daemon
from fakes.penstock_command import Penstock
from fakes.postgres import PostgresServer
from fakes.stores import at, claim, enqueue
from fakes.stores_elsewhere import postgres_store
from log.test_environments import MINE
from log.test_export import tell_a_story
from penstock.cli import migrate as verb
from penstock.log import whole_copy
from penstock.log.kept import ScheduleRow
from penstock.log.sqlite.store import open_sqlite, threads
from penstock.log.writes import SetSchedule, SetSlots
from penstock.words.address import find_paths
from penstock.words.errors import StartRefused

pytestmark = pytest.mark.processes


@pytest.fixture
def log(home: Path) -> Path:
    """The daemon's own log, with a row in every table."""
    path = find_paths(os.environ).database
    path.parent.mkdir(parents=True, exist_ok=True)
    trio.run(_fill, path)
    return path


async def _fill(path: Path) -> None:
    await tell_a_story(path)
    row = ScheduleRow("n", "1h", "UTC", "{}", {"a": "b"}, at(), at(60), "a", 3, MINE)
    async with opened(path) as store:
        await store.commit(
            [
                enqueue("own", surroundings=MINE, capacity=None),
                enqueue("later", not_before=at(60), capacity=None),
                SetSchedule(row, at(), "command", 9),
                SetSlots(3, at(), group="g"),
            ]
        )


def opened(path: Path) -> Any:
    """By another life each time: clocks of one go on where they were."""
    life = f"life-{path.stat().st_mtime_ns}"
    return open_sqlite(path, life=life, run_blocking=threads(1))


def rows_of(path: Path) -> dict[str, list[Any]]:
    """All that a file holds, but for what says that it was moved."""
    with closing(sqlite3.connect(path)) as db:
        tables = [
            name
            for (name,) in db.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table'"
            )
        ]
        return {
            table: db.execute(
                f"SELECT * FROM {table} {'WHERE name <> ? ' if table == 'meta' else ''}"
                " ORDER BY 1, 2",
                ("moved",) if table == "meta" else (),
            ).fetchall()
            for table in tables
        }


def moved(
    penstock: Penstock, server: PostgresServer, schema: str, code: int = 0
) -> str:
    done = penstock("migrate", "--to", server.url, "--schema", schema)
    assert done.exit_code == code, done.stderr
    return str(done.stderr)


async def call(penstock: Penstock, *words: str) -> Any:
    return await trio.to_thread.run_sync(penstock, *words)


async def test_a_log_moves_whole_and_goes_on_there(
    penstock: Penstock, postgres: PostgresServer, log: Path
) -> None:
    """It is the same log: id, epoch, places, numbers, and what no export has."""
    async with opened(log) as before:
        epoch, bounds = before.epoch, await before.bounds()
        facts = await before.read_all(0, 1000)
        asked = await _answers(before)
    rows, schema = rows_of(log), postgres.new_schema()
    done = await call(
        penstock, "migrate", "--to", postgres.url, "--schema", schema, "--json"
    )
    told = json.loads(done.stdout)
    assert (told["events"], told["findings"]) == (len(facts), [])
    async with postgres_store(postgres, schema=schema, life="life-2") as store:
        assert (store.epoch, await store.bounds()) == (epoch, bounds)
        assert await store.read_all(0, 1000) == facts
        assert await _answers(store) == asked
        # Its files are here: what others share does not move their runs.
        here = os.uname().nodename
        for row in await store.open_runs():
            assert (row.origin, row.needs) == (here, {"box": here})
        assert [row.origin for row in await store.schedules()] == [here]
        await store.commit([enqueue("next", surroundings=MINE), claim(5)])
        other = MINE.__class__(b"A=other", 7)
        await store.commit([enqueue("other", surroundings=other, capacity=None)])
        assert await store.surroundings("other") == other
        await check_log(store)
    audited = await call(penstock, "audit", "--store", postgres.url, "--schema", schema)
    assert audited.exit_code == 0, audited.stdout
    # The file is as it was, and says where its log is.
    assert rows_of(log) == rows
    with pytest.raises(StartRefused, match=f"was moved to the schema {schema} of"):
        async with opened(log):
            pass
    assert (await call(penstock, "audit")).exit_code == 0


async def _answers(store: Any) -> list[Any]:
    """What a daemon asks of a log at its start, and callers of what no fact tells."""
    return [
        [(row.run_id, row.place) for row in await store.open_runs()],
        [replace(row, origin="") for row in await store.schedules()],
        await store.slots(),
        await store.paused(),
        await store.asks(),
        await store.surroundings("own"),
    ]


async def test_the_way_back_is_a_new_epoch(
    penstock: Penstock, postgres: PostgresServer, log: Path
) -> None:
    """Positions given since on the server name other facts than those that come here."""
    async with opened(log) as before:
        epoch, log_id = before.epoch, before.log_id
    await trio.to_thread.run_sync(moved, penstock, postgres, postgres.new_schema())
    again = await call(penstock, "migrate", "--to", postgres.url, "--schema", "x")
    assert again.exit_code == 1
    assert "`penstock migrate --undo`" in again.stderr
    done = await call(penstock, "migrate", "--undo")
    assert done.exit_code == 0, done.stderr
    assert "goes on here" in done.stderr
    async with opened(log) as store:
        assert store.epoch != epoch
        assert store.log_id == log_id
        await store.commit([enqueue("next")])
    assert (await call(penstock, "migrate", "--undo")).exit_code == 4
    audited = await call(penstock, "audit")
    assert audited.exit_code == 0, audited.stdout


def test_a_move_that_is_cut_off_leaves_the_file_as_it_was(
    penstock: Penstock,
    postgres: PostgresServer,
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Law 3: half-way nothing is there; a second try does it."""
    schema, rows = postgres.new_schema(), rows_of(log)
    digest = whole_copy.digest_of

    def cut(*words: Any) -> str:
        for pid in postgres.sessions():
            os.kill(pid, signal.SIGTERM)
        return digest(*words)

    monkeypatch.setattr(whole_copy, "digest_of", cut)
    assert "cannot be filled" in moved(penstock, postgres, schema, 1)
    monkeypatch.setattr(whole_copy, "digest_of", digest)
    assert rows_of(log) == rows
    assert "facts are in the schema" in moved(penstock, postgres, schema)


def test_a_move_whose_last_word_was_lost_is_finished_by_the_next(
    penstock: Penstock,
    postgres: PostgresServer,
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server has it, and the file does not say so: no second copy, and no fork unseen."""
    schema = postgres.new_schema()

    def cut(*_: Any) -> None:
        raise StartRefused("killed")

    from penstock.log.sqlite import elsewhere as mark

    with monkeypatch.context() as context:
        context.setattr(mark, "mark_moved", cut)
        assert "killed" in moved(penstock, postgres, schema, 1)
    assert "it was moved already" in moved(penstock, postgres, schema)
    assert mark.moved_to(log) is not None


async def test_a_file_that_went_on_after_the_move_is_not_mixed_with_it(
    penstock: Penstock, postgres: PostgresServer, log: Path
) -> None:
    schema, move = postgres.new_schema(), partial(moved, penstock, postgres)
    await trio.to_thread.run_sync(move, schema)
    with closing(sqlite3.connect(log, isolation_level=None)) as db:
        db.execute("DELETE FROM meta WHERE name = 'moved'")
    async with opened(log) as store:
        await store.commit([enqueue("next")])
    rows = rows_of(log)
    assert "another state of this log" in await trio.to_thread.run_sync(move, schema, 4)
    assert rows_of(log) == rows


async def test_what_is_in_the_way_is_told(
    penstock: Penstock, postgres: PostgresServer, log: Path
) -> None:
    """Law 5: nothing is moved while a daemon is there, or to where another log is."""
    rows, move = rows_of(log), partial(moved, penstock, postgres)
    with another_daemon(log):
        said = await trio.to_thread.run_sync(move, "x", 1)
        assert "open, under another lock file" in said
    async with postgres_store(postgres) as store:
        said = await trio.to_thread.run_sync(move, store._db.schema, 1)
        assert "the daemon of the box here has the log" in said
        await store.commit([enqueue("theirs")])
        schema = store._db.schema
    assert "is not empty" in await trio.to_thread.run_sync(move, schema, 4)
    bare = await call(penstock, "migrate")
    assert (bare.exit_code, "--to URL names" in bare.stderr) == (2, True)
    assert rows_of(log) == rows


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE runs SET priority = 'x' WHERE run_id = 'b'", "a row of runs is not what"),
        ("UPDATE specs SET inputs = 5", "a row of specs is not what"),
    ],
)  # fmt: skip
def test_a_row_that_no_server_takes_is_told_and_nothing_is_moved(
    penstock: Penstock,
    postgres: PostgresServer,
    log: Path,
    statement: str,
    said: str,
) -> None:
    """ST-08"""
    with closing(sqlite3.connect(log, isolation_level=None)) as db:
        db.execute(statement)
    assert said in moved(penstock, postgres, postgres.new_schema(), 1)


def test_damage_that_can_be_moved_is_moved_and_told(
    penstock: Penstock, postgres: PostgresServer, log: Path
) -> None:
    """ST-08: a fact whose sum is wrong is one on a server, too; it must not hold the log here for ever."""
    with closing(sqlite3.connect(log, isolation_level=None)) as db:
        db.execute("UPDATE events SET checksum = checksum + 1 WHERE position = 2")
    schema = postgres.new_schema()
    assert "1 findings of `penstock audit` moved" in moved(penstock, postgres, schema)
    audited = penstock("audit", "--store", postgres.url, "--schema", schema)
    assert "whole facts" in audited.stdout


def test_a_copy_that_differs_is_not_taken(
    penstock: Penstock,
    postgres: PostgresServer,
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Law 3: each row is read back."""
    schema, digest = postgres.new_schema(), whole_copy.digest_of
    seen = []

    def other(source: Any, table: str, order: str) -> str:
        seen.append(table)
        if len(seen) == 2:
            source.execute("UPDATE schedules SET skipped = skipped + 1")
        return digest(source, table, order)

    monkeypatch.setattr(whole_copy, "digest_of", other)
    assert "the rows of schedules are not what they were" in moved(
        penstock, postgres, schema, 1
    )
    assert postgres.ask("SELECT to_regnamespace(%s)", schema) == [(None,)]


def test_the_progress_is_told(
    penstock: Penstock,
    postgres: PostgresServer,
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verb, "TELL_SECONDS", 0)
    said = moved(penstock, postgres, postgres.new_schema())
    assert "events: 0 of" in said
    assert "events, compared" in said
