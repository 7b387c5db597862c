"""The audit of a whole log: silent on a good one, and each broken law is found."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fakes.cores import (
    SLEEP,
    Nothing,
    Seconds,
    fake_environment,
    kind,
    request,
    wait_ended,
)
from penstock.log.audit import audit_file
from penstock.log.sqlite.store import open_sqlite, threads
from penstock.pipeline import Kind, Output, Run
from penstock.runs.open_core import open_core
from penstock.testing.faulty_store import inline
from penstock.words.config import Config
from penstock.words.errors import NotFound


async def _write_artifact(run: Run, _inputs: Seconds) -> Output:
    async with run.artifact("text") as artifact:
        await artifact.write("one, ")
        await artifact.write("two")
    return Nothing()


@pytest.fixture
async def log(tmp_path: Path, autojump_clock: object) -> Path:
    """The file of a daemon that has stopped: ended runs, a queued one, an artifact, a cause."""
    path = tmp_path / "log.db"
    kinds: dict[str, Kind] = {"sleep": SLEEP, "text": kind("text", _write_artifact)}
    async with (
        open_sqlite(path, life="life-1", run_blocking=inline()) as store,
        open_core(
            Config(max_concurrent=1),
            store=store,
            kinds=kinds,
            life="life-1",
            environment=fake_environment(),
        ) as core,
    ):
        await core.submitter.submit(request("text", "a"))
        await core.submitter.submit(request(run_id="b", fail=True))
        await core.submitter.submit(request(run_id="c", after=("b",)))
        await wait_ended(core, "a", "b", "c")
        await core.submitter.submit(request(run_id="d", seconds=9))
        await core.submitter.submit(request(run_id="e"))
    return path


def _laws(path: Path) -> set[str]:
    return {finding.law for finding in audit_file(path).findings}


async def test_a_good_log_gives_no_finding(log: Path) -> None:
    """QA-01 SY-03"""
    audit = audit_file(log)
    assert audit.findings == []
    assert audit.facts > 10


LAST = "(SELECT event_id FROM events ORDER BY position DESC)"


def _sizes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("law", "sql"),
    [
        ("dense positions", "DELETE FROM events WHERE position = 4"),
        ("dense positions", "UPDATE meta SET value = value + 1 WHERE name = 'head'"),
        ("dense sequences", "UPDATE events SET sequence = 9 WHERE position = 4"),
        ("monotonic clocks", "UPDATE events SET clock = '{}' WHERE position = 4"),
        (
            "one terminal",
            "UPDATE events SET type = 'run.failed' WHERE type = 'artifact.completed'",
        ),
        (
            "legal transitions",
            "UPDATE events SET type = 'run.preempted' WHERE type = 'run.queued'",
        ),
        (
            "causes exist",
            "UPDATE events SET causation = zeroblob(16) WHERE causation IS NOT NULL",
        ),
        (
            "causes come first",
            f"UPDATE events SET causation = {LAST} WHERE position = 2",
        ),
        (
            "whole artifacts",
            "UPDATE events SET body = replace(body, 'one', 'One') WHERE type LIKE 'artifact%'",
        ),
        (
            "rows agree with facts",
            "UPDATE runs SET state = 'cancelled' WHERE run_id = 'a'",
        ),
        ("rows agree with facts", "UPDATE runs SET life = 'life-1' WHERE run_id = 'a'"),
        ("rows agree with facts", "UPDATE runs SET attempt = 7 WHERE run_id = 'a'"),
        ("rows agree with facts", "UPDATE runs SET outcome = NULL WHERE run_id = 'a'"),
    ],
)
async def test_a_broken_law_is_found(log: Path, law: str, sql: str) -> None:
    """QA-01 CC-01 CC-06"""
    with closing(sqlite3.connect(log)) as db:
        assert db.execute(sql).rowcount > 0
        db.commit()
    assert law in _laws(log)


async def test_a_repeated_event_id_is_found(log: Path) -> None:
    """QA-01: a log whose index was lost can hold one fact twice."""
    with closing(sqlite3.connect(log)) as db:
        # A table made anew, without the index that forbids it.
        db.execute("CREATE TABLE copied AS SELECT * FROM events")
        db.execute("DROP TABLE events")
        db.execute("ALTER TABLE copied RENAME TO events")
        db.execute(
            "UPDATE events SET event_id ="
            " (SELECT event_id FROM events WHERE position = 2) WHERE position = 3"
        )
        db.commit()
    assert "unique ids" in _laws(log)


async def test_the_audit_of_a_live_log_writes_nothing(tmp_path: Path) -> None:
    """SY-03: it reads one moment of a log that goes on."""
    path = tmp_path / "live.db"
    async with open_sqlite(path, life="life-1", run_blocking=threads(1)):
        before = _sizes(tmp_path)
        assert audit_file(path).findings == []
        assert _sizes(tmp_path) == before


def test_an_absent_log_is_said_to_be_absent(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        audit_file(tmp_path / "none.db")
