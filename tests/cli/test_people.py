"""DU-03: `show`, `queue`, `health` and `why` tell a person what one asks; programs get JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fakes.foreign_daemon import ForeignDaemon
from fakes.house_beside import HouseBeside
from fakes.penstock_command import Penstock
from penstock.cli.output import Column, with_room
from penstock.cli.reasons import MOST_EXPLAINED, by_number, short_reason
from penstock.cli.run_card import card_of
from penstock.cli.run_lines import long_span
from penstock.client.requests import Request
from penstock.client.sync import SyncClient
from penstock.words.api import MOST_EXPLAINED_AT_ONCE


def card(penstock: Penstock, *words: str) -> dict[str, str]:
    """What `show` tells: name and value."""
    lines = penstock("show", *words).stdout.splitlines()
    return {line[:11].strip(): line[11:].strip() for line in lines}


def test_a_run_is_told_with_its_number_its_command_and_how_long_ago(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """DU-03: and nothing of what is for programs."""
    daemon.submit("sleep", {"fail": True}, run_id="r", labels={"name": "tests", "a": "b"})  # fmt: skip
    daemon.wait_ended("r")
    told = card(penstock, "1")
    assert told["run"] == "1 tests"
    assert told["state"].startswith("✗ failed: ")
    assert told["labels"] == "a=b"
    assert " s ago)" in told["ended"]
    assert told["took"] == "0:00"
    assert told["id"] == "r"
    assert not {"sequence", "position", "attempt", "place", "used_seconds"} & told.keys()  # fmt: skip
    view = json.loads(penstock("show", "1", "--json").stdout)
    assert {"sequence", "position", "attempt", "place"} <= view.keys()


def test_a_run_in_line_says_what_it_waits_for_by_the_numbers_people_type(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """DU-03: the ids that nobody has chosen are nowhere to be typed from."""
    first = daemon.submit("echo", run_id="r-0123456789ab")
    daemon.submit("sleep", run_id="later", after=(first,))
    why = f"It comes after 1 ({daemon.view(first).state})."
    assert card(penstock, "later")["why"] == why
    said = penstock("why", "later").stdout.splitlines()
    assert said[:2] == ["2 later is queued: sleep", why]
    assert said[-1].split()[0] == "1"
    row = next(line for line in penstock("list").stdout.splitlines() if "later" in line)
    assert row.split()[-2:] == ["(after", "1)"]


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        ([("paused", ())], "paused"),
        ([("group_paused", ())], "group disk paused"),
        ([("prerequisites", ("a", "b"))], "after a, b"),
        ([("group_slots", ("a",)), ("ahead", ("b",))], "group disk full"),
        ([("slots", ("a",)), ("ahead", ("b", "c"))], "3rd"),
        ([("stashed", ()), ("paused", ())], ""),
        ([("not_before", ())], ""),
        ([("retry", ()), ("group_slots", ("a",))], "group disk full"),
        ([("retry", ()), ("not_before", ())], ""),
        ([("slots", ("a",)), ("first", ())], "1st"),
        ([("box_unknown", ())], "no box lotf"),
        ([("needs", ())], "no box has box=lotf, gpu=1"),
        ([("of_tomorrow", ())], "What nobody knows yet"),
        ([], ""),
    ],
)
def test_what_keeps_a_run_is_said_in_a_word_or_two(
    reasons: list[tuple[str, tuple[str, ...]]], said: str
) -> None:
    """DU-03: also what a newer daemon has to say."""
    told = [
        {"code": code, "text": "What nobody knows yet.", "runs": runs}
        for code, runs in reasons
    ]
    row = {"group": "disk", "needs": {"box": "lotf", "gpu": "1"}}
    assert short_reason(told, row) == said


def test_a_run_that_is_stashed_is_told_by_its_number_how_to_go_on(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """DU-03: its own id is none that anybody types either."""
    daemon.submit("sleep", run_id="r-0123456789ab", stashed=True)
    said = "It is stashed: `penstock enqueue 1` puts it in line."
    assert card(penstock, "1")["why"] == said
    assert penstock("why", "1").stdout.splitlines()[1] == said


def test_a_chosen_id_stays_as_it_is() -> None:
    """DU-03: whatever it is; a word of the sentence may be an id too."""
    runs = [{"run_id": "It", "number": 3}, {"run_id": "r-0123456789ab", "number": 4}]
    assert by_number("It comes after r-0123456789ab.", runs) == "It comes after 4."


def test_the_queue_shows_who_would_start_first(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """DU-03: by priority, then by place."""
    daemon.beside.do(daemon.house.core.queue.pause, None, "lunch")
    daemon.submit("sleep", run_id="second")
    daemon.submit("sleep", run_id="first", priority="HIGH")
    said = penstock("queue")
    lines = said.stdout.splitlines()
    head = next(n for n, line in enumerate(lines) if line.startswith("#"))
    assert [line.split()[:3] for line in lines[head + 1 :]] == [["2", "first", "high"], ["1", "second", "medium"]]  # fmt: skip
    assert lines[head + 1].endswith("paused")
    assert "the queue is paused: lunch" in said.stderr


def test_the_queue_heeds_who_was_moved_and_who_stands_aside(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """DU-03: else it names one as the first that is the last, or is in no line."""
    daemon.beside.do(daemon.house.core.queue.pause, None, "lunch")
    for run_id in ("one", "two", "moved"):
        daemon.submit("sleep", run_id=run_id)
    daemon.submit("sleep", run_id="aside", priority="HIGH", stashed=True)
    daemon.submit("sleep", run_id="later", priority="HIGH", delay=3600.0)
    assert penstock("move", "moved", "--first").exit_code == 0
    lines = penstock("queue").stdout.splitlines()
    head = next(n for n, line in enumerate(lines) if line.startswith("#"))
    assert [line.split()[1] for line in lines[head + 1 :]] == ["moved", "one", "two"]
    assert "aside        2 stashed or for later" in lines
    row = next(line for line in penstock("list").stdout.splitlines() if "aside" in line)
    assert row.split()[-1] == "sleep"


def test_no_list_asks_for_more_than_is_explained_at_once() -> None:
    """DU-03: it would be refused, and shown without a reason for anything."""
    assert MOST_EXPLAINED <= MOST_EXPLAINED_AT_ONCE


def test_runs_that_a_list_shows_are_not_asked_for_again(
    penstock: Penstock, daemon: HouseBeside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DU-03: a list that explains its lines asks once for all of them."""
    first = daemon.submit("sleep", run_id="r-0123456789ab", stashed=True)
    for n in range(3):
        daemon.submit("sleep", run_id=f"later-{n}", after=(first,))
    asked: list[tuple[str, ...]] = []
    send = SyncClient.send

    def heard(client: SyncClient, request: Request) -> dict[str, Any]:
        asked.append(request.parts)
        return send(client, request)

    monkeypatch.setattr(SyncClient, "send", heard)
    assert penstock("list").stdout.count("(after 1)") == 3
    assert asked == [("runs",), ("why",)]


def test_a_narrow_terminal_is_shown_what_tells_runs_apart() -> None:
    """DU-03: columns are left out in their order, and the command line stays readable."""
    columns = [
        Column("#", ["12"]),
        Column("WHEN", ["3 s ago"], spare=1),
        Column("COMMAND", ["make test " * 9], shrinks=True),
        Column("WHERE", ["~/src/application"], spare=2),
    ]

    def heads(most: int) -> list[str]:
        return [column.head for column in with_room(columns, most)]

    assert heads(52) == ["#", "WHEN", "COMMAND", "WHERE"]
    assert heads(51) == ["#", "WHEN", "COMMAND"]
    assert heads(32) == ["#", "COMMAND"]
    assert heads(5) == ["#", "COMMAND"]


def test_health_is_told_in_words(
    penstock: Penstock, foreign_daemon: ForeignDaemon
) -> None:
    """DU-03: how long it is up, and what ails it."""
    foreign_daemon.routes["GET", "/health"] = (
        503,
        {
            "status": "degraded", "reasons": ["the store takes no writes"], "version": "1",
            "uptime": 273_600.5, "store": {"size": 3 * 1024 * 1024},
            "queue": {"queued": 1, "capacity": 100, "running": 2, "slots": 4},
        },
    )  # fmt: skip
    result = penstock("health")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "daemon   degraded", "because  the store takes no writes", "version  1", "up       3 d 4 h",
        "running  2 of 4 slots", "queued   1 of 100", "log      3 MiB",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(8, "8 s"), (720, "12 m"), (15_120, "4 h 12 m"), (273_600, "3 d 4 h"), (-1, "0 s")],
)  # fmt: skip
def test_a_long_time_has_two_units(seconds: int, said: str) -> None:
    """DU-03"""
    assert long_span(timedelta(seconds=seconds)) == said


def test_a_run_of_a_program_says_its_exit_code_once_and_where_it_worked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DU-03"""
    monkeypatch.setenv("HOME", "/home/me")
    began = datetime.now(UTC) - timedelta(minutes=9)
    run: dict[str, Any] = {
        "run_id": "r-0123456789ab", "number": 41, "kind": "command", "state": "failed",
        "created_at": (began - timedelta(seconds=75)).isoformat(), "started_at": began.isoformat(),
        "ended_at": (began + timedelta(seconds=252)).isoformat(), "error": "exit status 2",
        "exit_code": 2, "exit_from": "program", "priority": "HIGH", "leftover": 2,
        "inputs": {"argv": ["make", "it so"], "cwd": "/home/me/src"},
    }  # fmt: skip
    told = {name: str(value) for name, value in card_of(run).items() if value}
    assert told.pop("started").endswith("(9 m ago), after 1:15 in line")
    assert told.pop("ended").endswith("(4 m ago)")
    assert told.pop("submitted").endswith("(10 m ago)")
    assert told == {
        "run": "41", "state": "✗ exit 2", "command": "make 'it so'", "folder": "~/src", "took": "4:12",
        "priority": "high", "left over": "2 processes, which were ended", "id": "r-0123456789ab",
    }  # fmt: skip
