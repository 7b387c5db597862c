"""RS-04: a daemon of another version is told in one line, and what both know is done all the same."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fakes.first_release import make_first_log
from fakes.foreign_daemon import AT, ForeignDaemon
from fakes.penstock_command import Penstock
from penstock import __version__
from penstock.client.versions import tell_difference, version_in
from penstock.log.sqlite.schema import VERSION
from penstock.words.version_order import compare

ROW: dict[str, Any] = {
    "run_id": "r", "kind": "command", "state": "completed", "priority": "MEDIUM",
    "created_at": AT,
}  # fmt: skip
RECEIPT: dict[str, Any] = {
    "run_id": "r", "outcome": "cancelled", "requested_at": AT, "gone_at": AT,
    "method": "cgroup", "pids": [7], "survivors": [],
}  # fmt: skip
#: What no version of today sends.
MORE = {"flavour": "new", "nested": {"flavour": ["a", 1, None]}}


@pytest.mark.parametrize(
    ("daemon", "own", "how"),
    [
        ("1.2", "1.3", "older"),
        ("1.10", "1.9", "newer"),
        ("1.2.0", "1.2", "other"),
        ("1.2", "1.2", ""),
        ("1.2rc1", "1.2", "other"),
        ("0.9", "1.0.dev3", "older"),
        ("unheard of", "0.1.0", "older"),
        ("9" * 5000, "1", "newer"),
    ],
)
def test_versions_are_compared_by_their_numbers(
    daemon: str, own: str, how: str
) -> None:
    """RS-04"""
    assert compare(daemon, own) == how
    assert bool(tell_difference(daemon, own, "`it`")) == bool(how)


def test_what_is_no_daemon_of_ours_has_no_version() -> None:
    """RS-04"""
    assert version_in(None) is None
    assert version_in("nginx/1.2") is None
    assert version_in("penstock/1.2") == "1.2"
    assert len(version_in("penstock/" + "1" * 9999) or "") < 100


def answer_with(daemon: ForeignDaemon, extra: dict[str, Any]) -> None:
    row, receipt = {**ROW, **extra}, {**RECEIPT, **extra}
    daemon.routes["GET", "/runs"] = (200, {"runs": [row, row], "next": None, **extra})
    daemon.routes["GET", "/runs/r"] = (200, row)
    daemon.routes["POST", "/runs/r/cancel"] = (200, receipt)


@pytest.mark.parametrize("extra", [{}, MORE], ids=["fewer fields", "more fields"])
@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("0.0.1", f"daemon 0.0.1 is older than this penstock {__version__}: restart it with"),
        ("99.1", f"daemon 99.1 is newer than this penstock {__version__}: install"),
    ],
)  # fmt: skip
def test_a_daemon_of_another_version_is_told_once_and_used(
    penstock: Penstock,
    foreign_daemon: ForeignDaemon,
    extra: dict[str, Any],
    version: str,
    words: str,
) -> None:
    """RS-04: list, show and cancel work with more fields and with fewer."""
    foreign_daemon.server = f"penstock/{version}"
    answer_with(foreign_daemon, extra)
    for words_of_verb in (["list"], ["show", "r"], ["cancel", "r", "r", "--wait"]):
        done = penstock(*words_of_verb)
        assert done.exit_code == 0, (words_of_verb, done.output)
        assert "r" in done.stdout
        assert words not in done.stdout
        assert done.stderr.count(words) == 1
        assert len(done.stderr.splitlines()) == 1
    # Told by the way: no request is made for it.
    assert all(asked.target != "/health" for asked in foreign_daemon.asked)


@pytest.mark.parametrize("server", [None, f"penstock/{__version__}", "nginx"])
def test_a_daemon_of_this_version_or_of_none_is_no_news(
    penstock: Penstock, foreign_daemon: ForeignDaemon, server: str | None
) -> None:
    """RS-04"""
    foreign_daemon.server = server
    answer_with(foreign_daemon, {})
    assert penstock("list").stderr == ""


@pytest.mark.parametrize(
    ("field", "why"),
    [("caller", "unknown field"), ("inputs.stderr", "Extra inputs are not permitted")],
)
def test_an_older_daemon_that_does_not_know_a_field_is_told_as_that(
    penstock: Penstock, foreign_daemon: ForeignDaemon, field: str, why: str
) -> None:
    """RS-04: we filled it in, so its own words would tell nobody anything."""
    problem = {
        "type": "urn:penstock:refused", "title": "Bad Request", "status": 400,
        "detail": f"{field}: {why}", "field": field,
    }  # fmt: skip
    foreign_daemon.routes["POST", "/runs"] = (400, problem)
    result = penstock("submit", "command", "--", "true")
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert "of another version" in line
    assert why not in line
    # What the user asked for is refused in the daemon's words.
    problem |= {"detail": f"inputs.argv: {why}", "field": "inputs.argv"}
    assert why in penstock("submit", "command", "--", "true").stderr


def test_how_to_restart_is_that_of_this_daemon(
    penstock: Penstock, foreign_daemon: ForeignDaemon, home: Path
) -> None:
    """RS-04"""
    foreign_daemon.server = "penstock/0.0.1"
    answer_with(foreign_daemon, {})
    assert "`penstock shutdown` and `penstock serve`" in penstock("list").stderr
    unit = home / "config" / "systemd" / "user" / "penstock.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("")
    assert "`penstock service restart`" in penstock("list").stderr


def first_log(home: Path) -> Path:
    log = home / "state" / "penstock" / "embedded" / "done.db"
    log.parent.mkdir(mode=0o700, parents=True)
    make_first_log(log)
    return log


def test_an_embedded_log_of_an_older_version_is_shown_and_left_as_it_is(
    penstock: Penstock, home: Path
) -> None:
    """RS-04: its one run that was left open is another matter: ending it is a write."""
    log = first_log(home)
    with sqlite3.connect(log) as db:
        db.execute("DELETE FROM events WHERE run IN (4, 5)")
        db.execute("DELETE FROM runs WHERE key IN (4, 5)")
        db.execute("UPDATE meta SET value = 23 WHERE name = 'head'")
        db.execute("UPDATE events SET position = 20 WHERE position = 23")
        db.execute("UPDATE runs SET last_position = 20 WHERE key = 0")
        db.execute("UPDATE meta SET value = 20 WHERE name = 'head'")
    db.close()
    before = log.read_bytes()
    shown = penstock("show", "done")
    assert "completed" in shown.stdout
    assert "schema version 1" in shown.stderr
    assert len(shown.stderr.splitlines()) == 1
    assert "hello" in penstock("logs", "done").stdout
    listed = penstock("list", "--all")
    assert {line.split()[0] for line in listed.stdout.splitlines()[1:]} == {"done", "failed", "cancelled"}  # fmt: skip
    assert listed.stderr.count("schema version 1") == 1
    audited = penstock("audit", "--database", str(log))
    assert audited.stderr.splitlines()[-1] == "penstock: 20 facts, 0 findings"
    assert "schema version 1" in audited.stderr
    assert log.read_bytes() == before


def test_what_is_left_open_in_an_older_embedded_log_is_ended_in_a_newer_one(
    penstock: Penstock, home: Path
) -> None:
    """RS-04: whoever writes migrates, after a copy; what they show is what they wrote."""
    log = first_log(home)
    shown = penstock("show", "left")
    assert "failed" in shown.stdout
    assert shown.stderr == ""
    assert "0 findings" in penstock("audit", "--database", str(log)).stderr
    assert log.with_name("done.db.v1").exists()


def test_a_log_that_is_forgotten_takes_its_copy_along(
    penstock: Penstock, home: Path
) -> None:
    """RS-04"""
    log = first_log(home)
    penstock("show", "left")
    assert log.with_name("done.db.v1").exists()
    with closing(sqlite3.connect(log)) as db:
        db.execute("UPDATE events SET at = 1000")
        db.commit()
    # What is newest is the measure of what is old.
    make_first_log(log.with_name("newer.db"))
    assert penstock("prune", "--older-than", "1").exit_code == 0
    assert not list(log.parent.glob("done*"))


def test_an_embedded_log_of_a_newer_version_is_told_in_one_line(
    penstock: Penstock, home: Path
) -> None:
    """RS-04"""
    log = first_log(home)
    with sqlite3.connect(log) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    for words in (["show", "done"], ["audit", "--database", str(log)], ["export", "--database", str(log)]):  # fmt: skip
        done = penstock(*words)
        assert done.exit_code != 0
        assert "newer penstock" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    listed = penstock("list", "--all")
    assert listed.exit_code == 0
    assert listed.stderr.count("newer penstock") == 1
