"""CL-01: lists, single runs, receipts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fakes.penstock_command import Penstock
from fakes.scripted_daemon import AT, ScriptedDaemon

RECEIPT: dict[str, Any] = {
    "run_id": "r", "outcome": "cancelled", "requested_at": AT, "gone_at": AT,
    "method": "cgroup", "pids": [7, 8], "survivors": [],
}  # fmt: skip


def row(run_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "run_id": run_id, "kind": "command", "state": "running", "priority": "MEDIUM",
        "created_at": AT, **changes,
    }  # fmt: skip


def test_a_list_is_a_table_or_ndjson(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    daemon.routes["GET", "/runs"] = (
        200,
        {"runs": [row("one"), row("two")], "next": None},
    )
    lines = penstock("list").stdout.splitlines()
    assert lines[0].split() == ["ID", "KIND", "STATE", "PRIORITY", "CREATED", "STEP"]
    assert [line.split()[0] for line in lines[1:]] == ["one", "two"]
    told = [json.loads(line) for line in penstock("list", "--json").stdout.splitlines()]
    assert [r["run_id"] for r in told] == ["one", "two"]
    assert told[0]["created_at"] == AT


def test_a_list_says_why_a_run_failed(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    failed = row("r", state="failed", reason="error", error="exit status 3")
    daemon.routes["GET", "/runs"] = (200, {"runs": [failed], "next": None})
    assert "exit status 3" in penstock("list").stdout


def test_filter_words_go_to_the_daemon_as_written(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    daemon.routes["GET", "/runs"] = (200, {"runs": [], "next": None})
    penstock("list", "state:failed", "label:a=b", "two words", "!no")
    assert (
        "q=state%3Afailed+label%3Aa%3Db+%22two+words%22+%21no" in daemon.asked[0].target
    )


def test_times_are_local_for_people_and_utc_in_json(
    penstock: Penstock, daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CL-01"""
    import time

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    daemon.routes["GET", "/runs/r"] = (200, row("r"))
    try:
        assert "2026-01-02 12:04:05" in penstock("show", "r").stdout
        assert json.loads(penstock("show", "r", "--json").stdout)["created_at"] == AT
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_hostile_name_stays_in_its_cell(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    step = "line\nbreak \x1b[2J"
    daemon.routes["GET", "/runs"] = (200, {"runs": [row("r", step=step)], "next": None})
    result = penstock("list")
    assert len(result.stdout.splitlines()) == 2
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "r cancelled, nothing of it is left (cgroup: 7 8)"),
        ({"outcome": "already_terminal"}, "r had ended before"),
        ({"outcome": "tombstoned"}, "will not start"),
        ({"gone_at": None}, "r: cancel requested"),
    ],
)
def test_a_receipt_is_a_sentence(
    penstock: Penstock, daemon: ScriptedDaemon, changes: dict[str, Any], said: str
) -> None:
    """CN-01, CN-03"""
    daemon.routes["POST", "/runs/r/cancel"] = (200, {**RECEIPT, **changes})
    result = penstock("cancel", "r", "--wait")
    assert result.exit_code == 0
    assert said in result.stdout


@pytest.mark.parametrize("survivors", [[9], "unknown"])
def test_a_receipt_with_survivors_claims_nothing_and_fails(
    penstock: Penstock, daemon: ScriptedDaemon, survivors: Any
) -> None:
    """CN-06"""
    receipt = {**RECEIPT, "gone_at": None, "survivors": survivors}
    daemon.routes["POST", "/runs/r/cancel"] = (200, receipt)
    result = penstock("cancel", "r", "--wait")
    assert result.exit_code == 1
    assert "nothing of it is left" not in result.stdout
    assert "not proven gone" in result.stdout


def test_one_failed_retry_does_not_hide_the_others(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    daemon.routes["POST", "/runs/good/retry"] = (202, {"run_id": "good-2"})
    result = penstock("retry", "bad", "good")
    assert (result.exit_code, result.stdout) == (3, "good-2\n")
    assert "bad" in result.stderr
