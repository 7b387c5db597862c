"""ST-03: an export is read back identically."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import trio

from fakes.stores import LIFE, append, at, claim, enqueue, fact, start
from penstock.log.export import export_file, import_file
from penstock.log.filters import RunFilter
from penstock.log.sqlite.schema import VERSION
from penstock.log.sqlite.store import open_sqlite, threads
from penstock.log.writes import Complete, RequestCancel, SetPause
from penstock.words.errors import Conflict, NotFound, Refused
from penstock.words.events import (
    DAEMON_STREAM,
    AskRaised,
    DaemonStopping,
    Log,
    Milestone,
)
from penstock.words.lifecycle import terminal


async def tell_a_story(path: Path) -> None:
    """A log with every kind of row."""
    with trio.fail_after(30):
        async with open_sqlite(path, life=LIFE, run_blocking=threads(1)) as store:
            row = await start(store, 'a,"event":{"é')
            await store.commit(
                [
                    append(row.run_id, Log(text='x,"event":\n\x00"é'), fence=row.fence),
                    append(
                        row.run_id,
                        AskRaised(name="q", question="?"),
                        fence=row.fence,
                        clock={"c": 1},
                    ),
                    append(
                        row.run_id, Milestone(name="m", metadata={"a": 1, "event": 2})
                    ),
                    enqueue("b", after=(row.run_id,), labels={"k": "v"}),
                    enqueue("c", timeout=0.1),
                    RequestCancel("later", "early", at()),
                    SetPause(True, at(), group="g"),
                    append(DAEMON_STREAM, DaemonStopping()),
                    claim(),
                    RequestCancel("c", "no", at()),
                ]
            )


def exported(path: Path) -> bytes:
    out = io.BytesIO()
    export_file(path, out)
    return out.getvalue()


async def test_an_export_is_read_back_identically(tmp_path: Path) -> None:
    """ST-03"""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    await tell_a_story(old)
    text = exported(old)
    assert (
        import_file(new, io.BytesIO(text))
        == len(text.splitlines()) - text.count(b'{"table"') - 1
    )
    assert exported(new) == text


async def test_an_imported_log_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """ST-03"""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    await tell_a_story(old)
    import_file(new, io.BytesIO(exported(old)))
    with trio.fail_after(30):
        async with open_sqlite(new, life=LIFE, run_blocking=threads(1)) as store:
            before = await store.bounds()
            (row,) = [
                r for r in await store.runs(RunFilter()) if r.run_id.startswith("a")
            ]
            new_event = fact(row.run_id, terminal("completed"))
            await store.commit([Complete(row.fence, new_event), enqueue("later")])
            assert (await store.bounds()).head == before.head + 3
            assert (await store.run("b")).open_prerequisites == 0  # type: ignore[union-attr]
            assert (await store.run("later")).state == "cancelled"  # type: ignore[union-attr]


async def test_only_an_empty_database_takes_an_import(tmp_path: Path) -> None:
    """ST-03"""
    path = tmp_path / "p.db"
    await tell_a_story(path)
    text = exported(path)
    with pytest.raises(Conflict):
        import_file(path, io.BytesIO(text))
    assert exported(path) == text


async def test_an_export_of_version_1_is_read(tmp_path: Path) -> None:
    """ST-08 RS-04"""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    await tell_a_story(old)
    text = exported(old).replace(b'"schema":%d' % VERSION, b'"schema":1', 1)
    assert import_file(new, io.BytesIO(text)) > 0


async def test_a_damaged_export_is_refused_whole(tmp_path: Path) -> None:
    """ST-08"""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    await tell_a_story(old)
    text = exported(old)
    lines = text.splitlines(keepends=True)
    for damaged in (
        b"",
        b"[]\n",
        b"no json\n",
        b"".join(lines[:-1]),
        text[:-20],
        text.replace(b'"schema":%d' % VERSION, b'"schema":%d' % (VERSION + 1), 1),
        text.replace(b'"table":"runs"', b'"table":"other"', 1),
        b"".join([lines[0], *lines[2:]]),
        text + lines[-1],
        text.replace(b'"position":2,', b'"position":NaN,', 1),
        text.replace(b'"position":2,', b'"position":2.5,', 1),
        text.replace(b'"priority":20,', b'"priority":"x",', 1),
        text.replace(b'"state":"queued"', b'"state":"zorg"', 1),
    ):
        assert damaged != text
        with pytest.raises(Refused):
            import_file(new, io.BytesIO(damaged))
    assert import_file(new, io.BytesIO(text)) > 0


def test_there_must_be_something_to_export(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        export_file(tmp_path / "none.db", io.BytesIO())
