"""ER-01: the doctor looks at the server of a log, and at the boxes that share it; it changes nothing."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fakes.ended_logs import fill_log
from fakes.penstock_command import Penstock
from fakes.postgres import PostgresServer
from fakes.stores_elsewhere import postgres_store
from penstock.cli.server_checks import judge_boxes, judge_server
from penstock.log.postgresql import standing
from penstock.log.postgresql.schema import VERSION, needed_version
from penstock.log.postgresql.standing import (
    BoxOnServer,
    OldView,
    ServerStanding,
    look_at_server,
)
from penstock.service.environment import OF_THE_QUEUE, queue_settings
from penstock.words.address import find_paths
from penstock.words.config import Config

GOOD = ServerStanding(
    where="schema log of the PostgreSQL db/penstock",
    tables=VERSION,
    needed=2,
    settings={
        "server_version": "15.18",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "synchronous_standby_names": "",
        "transaction_read_only": "off",
        "server_encoding": "UTF8",
    },
    lost=[],
    private=True,
    clock_ahead=0.1,
    boxes=[],
)


def having(**settings: str) -> ServerStanding:
    return replace(GOOD, settings={**GOOD.settings, **settings})


@pytest.mark.parametrize(
    ("standing", "check", "state", "found"),
    [
        (GOOD, "standby", "ok", "no synchronous standby"),
        (having(fsync="off"), "server", "failure", "fsync is off"),
        (having(synchronous_commit="off"), "server", "failure", "synchronous_commit is off"),
        (having(full_page_writes="off"), "server", "warning", "full_page_writes is off"),
        (having(transaction_read_only="on"), "server", "failure", "takes no writes"),
        (having(server_encoding="LATIN1"), "server", "failure", "in LATIN1, and cannot hold every text"),
        (having(synchronous_standby_names="s1"), "standby", "ok", "also at a synchronous standby (s1"),
        (having(synchronous_standby_names="s1", synchronous_commit="local"), "standby", "warning", "nobody waits"),
        (replace(GOOD, lost=["search_path"]), "server", "failure", "search_path"),
        (replace(GOOD, private=False), "server", "warning", "crosses the network"),
        (replace(GOOD, clock_ahead=86400.0), "server clock", "warning", "86400 s ahead of the server's"),
        (replace(GOOD, clock_ahead=-86400.0), "server clock", "warning", "86400 s behind the server's"),
        (replace(GOOD, old_views=[OldView(7, "psql", 3600.0)]), "server", "warning", "the session 7 (psql) is in one transaction since 60 min"),
    ],
)  # fmt: skip
def test_each_fault_of_a_server_has_its_finding(
    standing: ServerStanding, check: str, state: str, found: str
) -> None:
    told = [one for one in judge_server(standing) if one.check == check]
    assert any(one.state == state and found in one.found for one in told), told
    assert all(one.fix for one in told if one.state != "ok")
    if standing is GOOD:
        assert [one.state for one in judge_server(standing)] == ["ok"]


def box(name: str, left: float = 90.0, version: str = "1.0", **settings: Any) -> Any:
    return BoxOnServer(name, version, left, settings)


def test_boxes_that_say_otherwise_of_the_one_queue_are_told() -> None:
    """Each counts the slots of a group over all boxes, by what its own configuration says."""
    mine = queue_settings(Config())
    assert mine.keys() == OF_THE_QUEUE
    boxes = [
        box("a", **mine),
        box("b", **{**mine, "groups": {"gpu": {"slots": 2}}}),
        box("c", left=-14, **mine),
        # Of a version that told none.
        box("d", version="0.9"),
    ]
    told = [(one.check, one.state, one.found) for one in judge_boxes(boxes, "a", mine)]
    assert told == [
        ("boxes", "warning", "c is silent, and its lease is over since 14 s"),
        ("boxes", "ok", "a (1.0), b (1.0), d (0.9)"),
        ("boxes", "warning", "they are of several versions"),
        ("settings", "warning", "groups is {} here, and {'gpu': {'slots': 2}} at b"),
    ]


@pytest.mark.processes
async def test_a_server_and_its_boxes_are_looked_at(postgres: PostgresServer) -> None:
    schema = postgres.new_schema()
    assert look_at_server(postgres.url, schema).tables is None
    async with postgres_store(postgres, schema=schema):
        told = look_at_server(postgres.url, schema)
        assert (told.tables, told.needed) == (VERSION, needed_version())
        assert (told.lost, told.private) == ([], True)
        assert abs(told.clock_ahead) < 30
        [here] = told.boxes
        assert (here.box, here.lease_left > 0) == ("here", True)
    assert look_at_server(postgres.url, schema).boxes == []


@pytest.mark.processes
def test_a_session_that_holds_on_to_an_old_view_is_told(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bad: nothing that changed since is cleared away, and each turn looks through all of it."""
    monkeypatch.setattr(standing, "OLD_VIEW_SECONDS", 0.0)
    schema = postgres.new_schema()
    with psycopg.connect(postgres.url, application_name="somebody's dump") as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        other.execute("SELECT 1 FROM pg_class").fetchone()
        views = look_at_server(postgres.url, schema).old_views
        mine = [view for view in views if view.application == "somebody's dump"]
        assert [view.pid for view in mine] == [other.info.backend_pid]
        assert mine[0].seconds >= 0
    left = look_at_server(postgres.url, schema).old_views
    assert all(view.application != "somebody's dump" for view in left)


@pytest.mark.processes
def test_the_doctor_tells_of_the_configured_server(
    penstock: Penstock,
    postgres: PostgresServer,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And of a file beside it, which is another log."""

    def told() -> dict[str, dict[str, str]]:
        lines = penstock("doctor", "--json").stdout.splitlines()
        return {row["check"]: row for row in map(json.loads, lines)}

    monkeypatch.setenv("PENSTOCK_STORE", postgres.url)
    monkeypatch.setenv("PENSTOCK_STORE_SCHEMA", postgres.new_schema())
    fill_log(find_paths(os.environ).database, "a")
    first = told()
    assert first["log"]["state"] == "ok"
    assert "will be made (PostgreSQL" in first["log"]["found"]
    assert "`penstock migrate`" in first["log file"]["fix"]
    assert penstock("migrate").exit_code == 0
    second = told()
    assert f"has version {VERSION}" in second["log"]["found"]
    assert "log file" not in second
    monkeypatch.delenv("PENSTOCK_STORE")
    third = told()["log"]
    assert third["state"] == "failure"
    assert "was moved to the schema" in third["found"]
    monkeypatch.setenv("PENSTOCK_STORE", postgres.url.replace("/penstock?", "/no?"))
    assert "`createdb`" in told()["log"]["found"]
