"""ST-12: verbs for a log as a whole, of one on a server: by `--store`, or by what is configured."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import trio

from fakes.ended_logs import fill_log
from fakes.penstock_command import Penstock
from fakes.postgres import PostgresServer
from fakes.stores import enqueue
from fakes.stores_elsewhere import postgres_store
from penstock.log.sqlite.store import open_sqlite, threads

pytestmark = pytest.mark.processes


def imported(
    penstock: Penstock, server: PostgresServer, tmp_path: Path, *run_ids: str
) -> str:
    """The schema of a log with these runs, which ended long ago."""
    file, schema = fill_log(tmp_path / "x.db", *run_ids), server.new_schema()
    text = penstock("export", "--database", str(file)).stdout
    done = penstock(
        "import", "--store", server.url, "--schema", schema, "--json", stdin=text
    )
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["database"].startswith(f"the schema {schema} of")
    return schema


def test_a_log_is_imported_exported_audited_and_pruned(
    penstock: Penstock, postgres: PostgresServer, tmp_path: Path
) -> None:
    schema = imported(penstock, postgres, tmp_path, "a", "b", "c")
    there = ["--store", postgres.url, "--schema", schema]
    text = penstock("export", "--database", str(tmp_path / "x.db")).stdout
    there_told = penstock("export", *there).stdout
    assert (
        there_told.replace(f'"origin":"{os.uname().nodename}"', '"origin":""') == text
    )
    audited = penstock("audit", *there, "--json")
    assert (audited.exit_code, json.loads(audited.stdout)["findings"]) == (0, [])
    pruned = penstock("prune", *there, "--keep", "1", "--json")
    assert json.loads(pruned.stdout)["runs"] == ["a", "b"], pruned.stderr
    assert penstock("audit", *there).exit_code == 0
    left = postgres.ask(f"SELECT run_id FROM {schema}.runs WHERE key > 0")
    assert left == [("c",)]


def test_what_is_open_in_an_export_is_this_boxs_from_then_on(
    penstock: Penstock, postgres: PostgresServer, tmp_path: Path
) -> None:
    """Else no box would take it: it was submitted at none."""
    file, schema = fill_log(tmp_path / "x.db", "ended"), postgres.new_schema()
    trio.run(_enqueue, file)
    text = penstock("export", "--database", str(file)).stdout
    done = penstock("import", "--store", postgres.url, "--schema", schema, stdin=text)
    assert done.exit_code == 0, done.stderr
    sql = f"SELECT run_id, origin, needs FROM {schema}.runs WHERE key > 0 ORDER BY key"
    here = os.uname().nodename
    assert postgres.ask(sql) == [
        ("ended", here, None),
        ("open", here, json.dumps({"box": here}, separators=(",", ":"))),
        ("theirs", "other", None),
    ]


async def _enqueue(file: Path) -> None:
    async with open_sqlite(file, life="life-2", run_blocking=threads(1)) as store:
        await store.commit([enqueue("open"), enqueue("theirs", origin="other")])


def test_the_configured_log_is_the_one_that_is_meant(
    penstock: Penstock,
    postgres: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schema = imported(penstock, postgres, tmp_path, "a")
    monkeypatch.setenv("PENSTOCK_STORE", postgres.url)
    monkeypatch.setenv("PENSTOCK_STORE_SCHEMA", schema)
    assert '"run_id":"a"' in penstock("export").stdout
    assert penstock("audit").exit_code == 0
    # A file that is named is read all the same.
    file = fill_log(tmp_path / "y.db", "other")
    assert '"run_id":"other"' in penstock("export", "--database", str(file)).stdout
    postgres.ask(f"UPDATE {schema}.runs SET state = 'running' WHERE run_id = 'a'")
    found = penstock("audit")
    assert found.exit_code == 1
    assert "rows agree with facts: a" in found.stdout


def test_what_is_asked_wrongly_is_a_sentence(
    penstock: Penstock, postgres: PostgresServer, tmp_path: Path
) -> None:
    nowhere = ["--store", postgres.url.replace("/penstock?", "/nowhere?")]
    for words, code, said in (
        (["audit", "--store", postgres.url, "--schema", "none"], 3, "there is no log in the schema none"),
        (["export", *nowhere], 1, "cannot be read"),
        (["import", *nowhere, "/dev/null"], 1, "cannot be"),
        (["prune", *nowhere], 1, "cannot be opened"),
        (["audit", "--store", "postgresql://me:word@host/db"], 1, "must have no password"),
        (["audit", "--store", "postgresql://me@host"], 1, "must name a database"),
        (["audit", "--store", "mysql://me@host/db"], 1, "must be postgresql://"),
        (["audit", "--store", postgres.url, "--schema", "No!"], 1, "store_schema"),
        (["audit", "--store", postgres.url, "--database", "x.db"], 2, "names a file"),
        (["audit", "--schema", "x"], 2, "wants a --store"),
    ):  # fmt: skip
        done = penstock(*words)
        assert done.exit_code == code, (words, done.stderr)
        assert said in done.stderr
        assert ":word" not in done.stderr
        if code != 2:
            assert done.stderr.count("\n") == 1


async def test_a_daemon_that_has_the_log_is_not_disturbed(
    penstock: Penstock, postgres: PostgresServer, tmp_path: Path
) -> None:
    """Law 5"""
    async with postgres_store(postgres) as store:
        there = ["--store", postgres.url, "--schema", store._db.schema]
        pruned = await trio.to_thread.run_sync(penstock, "prune", *there)
        assert pruned.exit_code == 1
        assert "has the log in the schema" in pruned.stderr
        assert "`penstock shutdown` makes way" in pruned.stderr
        assert (await trio.to_thread.run_sync(penstock, "audit", *there)).exit_code == 0
        await store.commit([])
