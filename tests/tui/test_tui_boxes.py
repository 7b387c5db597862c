"""Boxes on the dashboard: compact, and only where there are several. TU-02, MB-03."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.tui_scene import FROZEN, World
from penstock.log.filters import parse_filter
from penstock.words import events as e
from penstock.words.lifecycle import STATES
from penstock_tui.alerts import alert_of
from penstock_tui.details import particulars
from penstock_tui.figures import (
    MOST_BOXES,
    box_lines,
    daemon_lines,
    load_of,
    slots_of,
)
from penstock_tui.heading import ailments
from penstock_tui.rows import COLUMNS
from penstock_tui.run_listing import Listing
from penstock_tui.screens.cancel import receipt_lines
from penstock_tui.state import DashboardState

BOX = [column.title for column in COLUMNS].index("box")


def told(box: str, standing: str = "ok", silent: float = 1.0) -> dict[str, Any]:
    return {"box": box, "standing": standing, "silent_seconds": silent, "running": 1, "slots": 4}  # fmt: skip


def world_of(*boxes: str) -> World:
    world = World()
    for number, box in enumerate(boxes):
        run_id = f"r-{number}"
        world.submit(run_id, "command", {"argv": ["make"]}, 20, 300)
        world.record(run_id, e.RunStarted(kind="command", box=box), 200)
    return world


def listed(world: World, words: str = "") -> tuple[Listing, DashboardState]:
    model, listing = DashboardState(), Listing()
    for fact in world.log:
        model.apply(fact)
    listing.wanted = parse_filter(words) if words else None
    listing.take(model, FROZEN, whole=True)
    return listing, model


def test_one_box_is_no_news() -> None:
    """ST-12: nor is a daemon that tells of none."""
    assert list(box_lines([])) == []
    assert list(box_lines([told("loft")])) == []


def test_each_of_several_boxes_has_a_line_and_the_loudest_comes_first() -> None:
    """MB-03"""
    boxes = [told("attic"), told("barn", "silent", 50), told("cellar", "lost", 130), told("shed", "left")]  # fmt: skip
    assert list(box_lines(boxes)) == [
        ("boxes", "cellar  lost  1/4 busy", "error"),
        ("", "barn  silent 50 s  1/4 busy", "warning"),
        ("", "attic  ok  1/4 busy", ""),
        ("", "shed  left  1/4 busy", "dim"),
    ]
    # What only a newer daemon says is no good news.
    assert next(box_lines([told("a"), told("b", "melted")]))[1:] == (
        "b  melted  1/4 busy", "warning",
    )  # fmt: skip


def test_the_lines_of_boxes_are_bounded() -> None:
    many = [told(f"b{number}") for number in range(MOST_BOXES + 3)]
    lines = list(box_lines(many))
    assert len(lines) == MOST_BOXES + 1
    assert lines[-1] == ("", "3 more", "dim")


def test_the_daemon_panel_has_the_boxes_among_its_lines() -> None:
    """TU-02"""
    model = DashboardState(queue={"slots": 5}, health={"status": "ok"})
    model.boxes = [told("attic"), told("loft")]
    panel = daemon_lines(model, 1)
    assert panel is not None
    assert [name for name, *_ in panel.lines] == [
        "slots", "clients", "health", "boxes", "", "models", "log",
    ]  # fmt: skip


def test_slots_are_those_of_all_boxes_that_are_there() -> None:
    """TU-02: as the list has the runs of all of them."""
    model = DashboardState(queue={"slots": 5}, health={"status": "ok"})
    assert slots_of(model) == 5
    model.boxes = [told("loft")]
    assert slots_of(model) == 5
    model.boxes = [told("attic"), told("loft", "silent"), told("cellar", "lost")]
    assert slots_of(model) == 8
    panel = daemon_lines(model, 8)
    assert panel is not None
    assert panel.lines[0] == ("slots", "8/8 busy", "warning")
    assert load_of(model, {"asks": 0, "news": 0, **dict.fromkeys(STATES, 0)}, 8).slots == 8  # fmt: skip


@pytest.mark.parametrize(
    ("boxes", "hidden"),
    [(("loft", "attic"), False), (("loft", "loft"), True), (("", "loft"), True)],
)
def test_a_list_has_a_column_of_boxes_once_there_are_two(
    boxes: tuple[str, ...], hidden: bool
) -> None:
    """MB-03"""
    listing, model = listed(world_of(*boxes))
    assert ("box" in listing.hidden()) is hidden
    rows = {row.key: row.cells for row in listing.rows(model, FROZEN) if not row.heading}  # fmt: skip
    assert [rows[f"r-{number}"][BOX] for number in range(len(boxes))] == list(boxes)


def test_the_column_goes_with_the_last_run_of_the_other_box() -> None:
    listing, model = listed(world_of("loft", "attic"))
    del model.runs["r-1"]
    listing.take(model, FROZEN, whole=True)
    assert "box" in listing.hidden()


def test_runs_are_found_by_their_box() -> None:
    """MB-03: by the grammar of every other list."""
    listing, model = listed(world_of("loft", "attic"), "box:attic")
    assert [row.key for row in listing.rows(model, FROZEN) if not row.heading] == ["r-1"]  # fmt: skip


def test_a_loss_is_the_loudest_alert_and_the_first_thing_that_ails() -> None:
    """MB-03"""
    world = World()
    lost = e.BoxLost(box="cellar", life="l", silent_seconds=130)
    alert = alert_of(world.record(e.DAEMON_STREAM, lost, 10))
    assert alert is not None
    assert (alert.text, alert.tone) == ("box cellar is lost: silent for 130 s", "error")
    for event, tone in ((e.BoxDrained(box="cellar"), "warning"), (e.BoxResumed(box="cellar"), "success")):  # fmt: skip
        alert = alert_of(world.record(e.DAEMON_STREAM, event, 5))
        assert alert is not None
        assert alert.tone == tone
    ill = DashboardState(health={"reasons": ["the box cellar is lost: silent for 130 s"]})  # fmt: skip
    assert list(ailments(ill)) == ["the box cellar is lost: silent for 130 s"]


def test_a_failure_that_was_dismissed_at_another_screen_needs_nobody_here() -> None:
    """MB-15 DU-06: as soon as that is recorded, at whichever box."""
    world = World()
    world.submit("r", "command", {"argv": ["false"]}, 20, 10)
    world.start("r", 6)
    world.record("r", e.RunFailed(reason="error", error="x"), 5)
    _listing, model = listed(world)
    assert not model.runs["r"].seen
    model.apply(world.record(e.DAEMON_STREAM, e.FailuresDismissed(runs=("r", "gone")), 1))  # fmt: skip
    assert model.runs["r"].seen


def test_a_run_and_its_receipt_name_the_box() -> None:
    """MB-03"""
    _listing, model = listed(world_of("attic"))
    lines = [line.text.split() for line in particulars(model.runs["r-0"].view)]
    assert ["box", "attic"] in lines
    receipt = {
        "run_id": "r", "outcome": "cancelled", "requested_at": "2026-11-29T10:00:00Z",
        "gone_at": "2026-11-29T10:00:02Z", "method": "lease", "pids": [], "survivors": [], "box": "attic",
    }  # fmt: skip
    said = receipt_lines(receipt)
    assert "box        attic" in said
    assert any(line.startswith("method     lease  (the box was lost") for line in said)
    assert not any(line.startswith("box") for line in receipt_lines({**receipt, "box": ""}))  # fmt: skip
