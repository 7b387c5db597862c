"""Runs that were made without the daemon, found by the verbs that take an id."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakes.ended_logs import fill_log
from fakes.foreign_daemon import ForeignDaemon
from fakes.penstock_command import Penstock

pytestmark = pytest.mark.processes


@pytest.fixture
def log(home: Path) -> Path:
    """What `penstock mcp` left: its log is named after no run."""
    return fill_log(home / "state" / "penstock" / "embedded" / "mcp-1.db", "made")


@pytest.mark.usefixtures("log")
def test_why_tells_of_a_run_that_was_made_without_the_daemon(
    penstock: Penstock,
) -> None:
    """CL-01: as `show` does, and whether a daemon runs or not."""
    assert (
        penstock("why", "made").stdout
        == "made is completed: true\nIt ended completed.\n"
    )
    told = json.loads(penstock("why", "made", "--json").stdout)
    assert (told["run_id"], told["reasons"][0]["code"]) == ("made", "ended")


def test_why_asks_the_daemon_for_what_it_has(
    penstock: Penstock, foreign_daemon: ForeignDaemon, log: Path
) -> None:
    """CL-01: its run of this id is the one that is meant."""
    daemon = foreign_daemon
    daemon.routes["GET", "/runs/made"] = (200, {"run_id": "made"})
    told = {"run_id": "made", "state": "queued", "reasons": []}
    daemon.routes["GET", "/runs/made/why"] = (200, told)
    assert penstock("why", "made").stdout == "made is queued.\n"
    assert log.exists()


@pytest.mark.parametrize("running", [False, True])
def test_retry_says_where_a_run_is_that_the_daemon_cannot_have(
    penstock: Penstock, request: pytest.FixtureRequest, log: Path, running: bool
) -> None:
    """CL-01: and what to do about it."""
    if running:
        unknown = {"type": "urn:penstock:run-not-found", "detail": "no such run"}
        daemon = request.getfixturevalue("foreign_daemon")
        daemon.routes["GET", "/runs/made"] = (404, unknown)
    result = penstock("retry", "made")
    assert (result.exit_code, result.stdout) == (4, "")
    assert f"made: it was made without the daemon and is in {log}" in result.stderr
    assert "`penstock show made`" in result.stderr
