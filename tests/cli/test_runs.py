"""CL-01: lists, single runs, receipts."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio

from fakes.house_beside import HouseBeside
from fakes.penstock_command import Penstock
from penstock.runs.control import Control
from penstock.runs.receipts import RunEnd, make_receipt
from penstock.testing import FakeProgram
from penstock.words.events import ProcessStarted, Progress


def told(penstock: Penstock, *args: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in penstock(*args, "--json").stdout.splitlines()]


def test_a_list_is_a_table_or_ndjson(penstock: Penstock, daemon: HouseBeside) -> None:
    for run_id in ("one", "two"):
        daemon.start(run_id)
    lines = penstock("list").stdout.splitlines()
    assert lines[0].split() == ["#", "NAME", "STATE", "WHEN", "TOOK", "COMMAND"]
    for line, number, name in zip(lines[1:], "21", ("two", "one"), strict=True):
        words = line.split()
        assert words[:5] == [number, name, "▶", "running", "now"]
        assert words[-1] == "echo"
    rows = told(penstock, "list")
    assert [row["run_id"] for row in rows] == ["two", "one"]
    assert rows[0]["created_at"].endswith("Z")


def test_a_list_says_why_a_run_failed(penstock: Penstock, daemon: HouseBeside) -> None:
    daemon.submit("sleep", {"fail": True}, run_id="r")
    daemon.wait_ended("r")
    assert "asked to fail" in penstock("list").stdout


def test_filter_words_go_to_the_daemon_as_written(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    daemon.submit(
        "sleep", {"fail": True}, run_id="yes", labels={"a": "b", "n": "two words"}
    )
    daemon.submit(
        "sleep", {"fail": True}, run_id="no", labels={"a": "b", "n": "two words"}
    )
    daemon.submit(
        "sleep", {"fail": True}, run_id="y", labels={"a": "b", "n": "words two"}
    )
    daemon.wait_ended("yes", "no", "y")
    words = ("state:failed", "label:n=two words", "two words", "!no")
    assert [row["run_id"] for row in told(penstock, "list", *words)] == ["yes"]


def test_times_are_local_for_people_and_utc_in_json(
    penstock: Penstock, daemon: HouseBeside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CL-01"""
    daemon.start("r")
    created = daemon.view("r").created_at
    assert created is not None
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        local = (created + timedelta(hours=9)).strftime("%Y-%m-%d %H:%M:%S")
        assert local in penstock("show", "r").stdout
        [row] = told(penstock, "show", "r")
        assert datetime.fromisoformat(row["created_at"]) == created
        assert datetime.fromisoformat(row["created_at"]).tzinfo == UTC
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_hostile_name_stays_in_its_cell(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    daemon.start("r")
    daemon.record("r", Progress(step="line\nbreak \x1b[2J"))
    result = penstock("list")
    assert "break" in result.stdout
    assert len(result.stdout.splitlines()) == 2
    assert "\x1b" not in result.stdout


def executing(daemon: HouseBeside, program: FakeProgram) -> None:
    """The run `r` executes this program."""
    daemon.processes.programs["x"] = program
    daemon.submit("command", {"argv": ["x"], "cwd": "/"}, run_id="r")
    daemon.wait_fact("r", ProcessStarted)


def test_the_receipt_of_what_is_gone_is_a_sentence(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """CN-01, CN-03"""
    executing(daemon, FakeProgram.hanging())
    result = penstock("cancel", "r", "--wait")
    assert result.exit_code == 0
    assert result.stdout == "r cancelled, nothing of it is left (subreaper: 1001)\n"
    again = penstock("cancel", "r", "--wait")
    assert (again.exit_code, again.stdout) == (0, "r had ended before\n")


def test_a_cancel_that_nobody_waits_for_claims_no_more_than_it_knows(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """CN-01"""
    executing(daemon, FakeProgram.hanging())
    result = penstock("cancel", "r")
    assert (result.exit_code, result.stdout) == (0, "r: cancel requested\n")


@pytest.mark.parametrize("left", [(), (9,)])
def test_a_cancel_that_waited_in_vain_fails(
    monkeypatch: pytest.MonkeyPatch,
    penstock: Penstock,
    daemon: HouseBeside,
    left: tuple[int, ...],
) -> None:
    """CN-06: `cancel --wait && rm -r what-it-works-on` must not go on."""

    async def cancel(_self: Control, run_id: str, _reason: str, **_: Any) -> Any:
        await trio.lowlevel.checkpoint()
        asked = datetime(2026, 1, 1, tzinfo=UTC)
        return make_receipt(
            run_id, "cancelled", asked, [RunEnd(None, pids=left, survivors=left)]
        )

    executing(daemon, FakeProgram.hanging())
    monkeypatch.setattr(Control, "cancel", cancel)
    result = penstock("cancel", "r", "--wait")
    assert result.exit_code == 1
    assert ("not proven gone" if left else "not over yet") in result.stdout


def test_the_receipt_of_a_run_that_is_to_come_says_that_it_will_not_start(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """CN-03: on wish; a mistyped id would else be taken for one that is to come."""
    refused = penstock("cancel", "r", "--wait")
    assert refused.exit_code == 3
    assert "there is no run 'r'" in refused.stderr
    result = penstock("cancel", "r", "--wait", "--tombstone")
    assert result.exit_code == 0
    assert "will not start" in result.stdout


@pytest.mark.parametrize("survivors", [(9,), "unknown"])
def test_a_receipt_with_survivors_claims_nothing_and_fails(
    penstock: Penstock, daemon: HouseBeside, survivors: Any
) -> None:
    """CN-06"""
    executing(daemon, FakeProgram(seconds=None, survivors=survivors))
    result = penstock("cancel", "r", "--wait")
    assert result.exit_code == 1
    assert "nothing of it is left" not in result.stdout
    assert "not proven gone" in result.stdout


def test_one_failed_retry_does_not_hide_the_others(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    daemon.submit("sleep", run_id="good")
    daemon.wait_ended("good")
    result = penstock("retry", "bad", "good")
    assert result.exit_code == 3
    again = result.stdout.strip()
    assert daemon.view(again).kind == "sleep"
    assert again != "good"
    assert "bad" in result.stderr


def test_a_retry_is_in_the_trace_of_who_asks_for_it(
    penstock: Penstock, daemon: HouseBeside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HO-05: and not in that of the run's first caller."""
    first = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    daemon.submit("sleep", run_id="r", traceparent=first)
    daemon.wait_ended("r")
    for said, kept in (("", None), (first.replace("b7", "c7"),) * 2, ("none", None)):
        monkeypatch.setenv("TRACEPARENT", said)
        again = penstock("retry", "r").stdout.strip()
        assert daemon.view(again).traceparent == kept


@pytest.mark.parametrize("verb", ["submit", "run"])
@pytest.mark.parametrize(
    ("run_id", "why"),
    [("../../x", "would become"), ("a b/c", "would become"), ("-x", "begin with -"), ("12", "number alone")],
)  # fmt: skip
def test_an_id_that_would_not_stay_as_it_was_written_is_refused(
    penstock: Penstock, daemon: HouseBeside, verb: str, run_id: str, why: str
) -> None:
    """EV-06 CL-04: by the command, with its new form; by the daemon, of whoever asks."""
    for flags in ([], ["--new"]):
        done = penstock(verb, "command", "--id", run_id, *flags, "--", "true")
        assert (done.exit_code, done.stdout) == (2, "")
        assert "--id" in done.stderr
        assert why in done.stderr
    assert told(penstock, "list") == []
