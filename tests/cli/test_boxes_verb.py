"""`penstock boxes`, and boxes in the lists of other verbs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.boxes import ATTIC, CELLAR, LOFT, box_row
from fakes.house_beside import HouseBeside, open_house_beside
from fakes.penstock_command import Penstock
from penstock.cli.replies import show_queue_change
from penstock.cli.run_lines import boxes_of

pytestmark = pytest.mark.sockets


@pytest.fixture
def loft(socket: Path) -> Iterator[HouseBeside]:
    """The real server on the box `loft`."""
    with open_house_beside(socket, box="loft") as house:
        yield house


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_log_in_a_file_has_one_box(penstock: Penstock, loft: HouseBeside) -> None:
    """ST-12"""
    head, row = lines(penstock("boxes").stdout)
    assert head == ["NAME", "STATE", "RUNNING", "VERSION", "LAST", "SEEN"]
    assert row[:3] == ["loft", "ok", "0/5"]
    assert row[-1] == "now"


def test_several_are_told_by_name(penstock: Penstock, loft: HouseBeside) -> None:
    """MB-03: which of them was asked, and since when one says nothing."""
    quiet = box_row("barn", silent_seconds=50.0)
    loft.house.store.sharers = [ATTIC, quiet, CELLAR, LOFT]
    _head, attic, barn, cellar, own = lines(penstock("boxes").stdout)
    assert attic[:5] == ["attic", "ok", "0/2", "team", "gpu=1"]
    assert barn[:4] == ["barn", "silent", "50", "s"]
    assert cellar[:2] == ["cellar", "lost"]
    assert cellar[-3:] == ["2", "m", "ago"]
    assert own[:3] == ["loft", "*", "ok"]
    told = [json.loads(line) for line in penstock("boxes", "--json").stdout.splitlines()]  # fmt: skip
    assert [(box["box"], box["standing"]) for box in told] == [
        ("attic", "ok"), ("barn", "silent"), ("cellar", "lost"), ("loft", "ok"),
    ]  # fmt: skip


def test_health_tells_of_the_lease(penstock: Penstock, loft: HouseBeside) -> None:
    """MB-03"""
    loft.house.store.sharers = [CELLAR, LOFT]
    told = penstock("health")
    assert told.exit_code == 1
    assert "because  the box cellar is lost: silent for 130 s" in told.stdout
    assert "lease    104 of 105 s left" in told.stdout


def row(run_id: str, box: str) -> dict[str, Any]:
    at = "2026-11-29T10:00:00Z"
    return {"run_id": run_id, "kind": "command", "state": "running", "priority": "MEDIUM",
            "created_at": at, "started_at": at, "box": box, "inputs": {}}  # fmt: skip


@pytest.mark.parametrize(
    ("boxes", "told"),
    [
        (("loft", "attic", ""), ["loft", "attic", ""]),
        # One box says nothing by being repeated on every line.
        (("loft", "loft", ""), ["", "", ""]),
        (("", ""), ["", ""]),
    ],
)
def test_a_list_tells_boxes_once_there_are_two(
    boxes: tuple[str, ...], told: list[str]
) -> None:
    """MB-03"""
    assert boxes_of([row(f"r{n}", box) for n, box in enumerate(boxes)]) == told


def test_a_run_is_shown_with_its_box(penstock: Penstock, loft: HouseBeside) -> None:
    """MB-03"""
    loft.start("r")
    assert "box         loft\n" in penstock("show", "r").stdout
    assert lines(penstock("list", "box:loft").stdout)[1][1] == "r"
    assert len(lines(penstock("list", "box:attic").stdout)) == 1
    assert "BOX" not in penstock("list").stdout.splitlines()[0]


def test_slots_of_a_box_are_told_of_that_one(
    penstock: Penstock, loft: HouseBeside
) -> None:
    """MB-03: those of the box that was asked are no answer."""
    loft.house.store.sharers = [ATTIC, LOFT]
    loft.start("r")
    told = penstock("slots", "2", "--box", "attic")
    assert told.stderr == "penstock: 0 of 2 slots of the box attic are taken\n"
    assert penstock("slots", "6").stderr == "penstock: 1 of 6 slots are taken\n"


@pytest.mark.parametrize(
    ("elsewhere", "said"),
    [(0, "1 running, 2 queued"), (3, "1 running here, 3 at other boxes, 2 queued")],
)
def test_what_other_boxes_execute_is_counted_beside_the_own(
    elsewhere: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """MB-03: after each change of the queue, which is that of all boxes."""
    told = {"running": 1, "queued": 2, "elsewhere": elsewhere, "paused": [], "draining": []}  # fmt: skip
    show_queue_change(told, as_json=False)
    assert capsys.readouterr().err == f"penstock: {said}\n"
