"""What the dashboard says of runs that need another box, or execute on one that is not heard. MB-03, MB-07."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fakes.aio import aio
from fakes.house_beside import open_house_beside
from fakes.tui_pilot import dashboard, shows
from fakes.tui_scene import FROZEN, World
from penstock.client.sync import SyncClient
from penstock.log.projections import RunView
from penstock.runs.takeover import RENEWALS
from penstock.service.lease import margin_of
from penstock.words import events as e
from penstock.words.address import socket_address
from penstock.words.config import Config
from penstock.words.errors import StoreUnavailable
from penstock_tui.heading import ailments
from penstock_tui.rows import COLUMNS
from penstock_tui.run_listing import Listing
from penstock_tui.screens.cancel import CancelDialog, receipt_lines
from penstock_tui.state import DashboardState
from penstock_tui.whereabouts import doubt_about, missing_box
from penstock_tui.wording import cut_middle

BOX = [column.title for column in COLUMNS].index("box")


def told(box: str, standing: str = "ok", silent: float = 1.0, **others: Any) -> dict[str, Any]:  # fmt: skip
    return {
        "box": box, "standing": standing, "silent_seconds": silent, "running": 1, "slots": 4,
        "labels": {}, "accept": "team", "own": False,
    } | others  # fmt: skip


#: The one that is asked, one with a label, one that is full.
THREE = [told("ann", own=True), told("bob", labels={"gpu": "1"}), told("cid", running=4)]  # fmt: skip


def queued(needs: dict[str, str], origin: str = "ann") -> RunView:
    return RunView("r", state="queued", needs=needs, origin=origin)


def running(box: str) -> RunView:
    return RunView("r", state="running", box=box)


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        ({}, ""),
        ({"gpu": "1"}, ""),
        ({"box": "bob"}, ""),
        ({"box": "cid"}, "box cid is full"),
        ({"box": "bbo"}, "no box bbo"),
        ({"gpu": "2"}, "no box has gpu=2"),
    ],
)
def test_a_run_in_line_says_which_box_it_lacks(
    needs: dict[str, str], said: str
) -> None:
    """MB-16 TU-02: in few words, and nothing where a slot is all that it waits for."""
    assert missing_box(queued(needs), THREE) == said


@pytest.mark.parametrize(
    ("bob", "said"),
    [
        (told("bob", "lost", 130), "box bob is lost"),
        (told("bob", "left", 130), "box bob has no daemon now"),
        (told("bob", "silent", 50), "box bob is silent for 50 s"),
        (told("bob", "draining"), "box bob is drained"),
        (told("bob", accept="self"), "box bob takes its own runs only"),
    ],
)
def test_a_run_whose_box_starts_nothing_says_why(bob: dict[str, Any], said: str) -> None:  # fmt: skip
    """MB-16"""
    assert missing_box(queued({"box": "bob"}), [told("ann", own=True), bob]) == said


def test_where_all_slots_are_taken_the_place_in_the_line_says_all() -> None:
    full = [told("ann", running=4), told("bob", running=4)]
    assert missing_box(queued({"box": "bob"}), full) == ""
    assert missing_box(queued({"box": "ann"}), [told("ann", running=4)]) == ""
    # A log of one box, or a daemon that tells of none, has no boxes to speak of.
    assert missing_box(queued({"gpu": "1"}), []) == ""


def test_the_list_has_it_before_the_command() -> None:
    """TU-02"""
    world = World()
    world.submit("r", "command", {"argv": ["make"]}, 20, 10, needs={"box": "bbo"})
    model, listing = DashboardState(boxes=[*THREE]), Listing()
    for fact in world.log:
        model.apply(fact)
    listing.take(model, FROZEN, whole=True)
    rows = {row.key: row.cells for row in listing.rows(model, FROZEN)}
    assert rows["r"][-1] == "(no box bbo)  make"


def test_a_run_on_a_box_that_is_not_heard_says_so() -> None:
    """MB-03: until its lease is over nobody else knows whether it still executes."""
    boxes = [told("ann", own=True), told("bob", "silent", 50)]
    said = "its box bob is silent for 50 s: nothing of it is known since then"
    assert doubt_about(running("bob"), boxes) == said
    assert doubt_about(RunView("r", state="waiting", box="bob"), boxes) == said
    assert doubt_about(running("ann"), boxes) == ""
    assert doubt_about(running("bob"), [told("bob")]) == ""
    assert doubt_about(RunView("r", state="failed", box="bob"), boxes) == ""


def test_the_first_line_tells_of_a_late_box_and_of_a_lease_that_is_not_renewed() -> None:  # fmt: skip
    """MB-03: each before it is over."""
    model = DashboardState(boxes=[told("ann", "silent", 9, own=True), told("bob", "silent", 50)])  # fmt: skip
    assert list(ailments(model)) == ["the box bob is silent for 50 s"]
    assert first_line(120, 105, 50) == ["lease 50 of 105 s left"]
    assert first_line(120, 105, 91) == []


def first_line(seconds: float, usable: float, left: float) -> list[str]:
    lease = {"seconds": seconds, "usable": usable, "left": left}
    return list(ailments(DashboardState(health={"lease": lease})))


@pytest.mark.parametrize("seconds", [6.0, 20.0, 60.0, 120.0])
def test_a_lease_that_is_renewed_in_time_is_no_ailment(seconds: float) -> None:
    """MB-03: however much of it is kept for an orderly end."""
    usable = seconds - margin_of(seconds, Config().kill_grace)
    before_a_renewal = usable - seconds / RENEWALS
    assert first_line(seconds, usable, before_a_renewal) == []
    assert first_line(seconds, usable, usable - seconds * 0.4) != []


def test_boxes_whose_names_end_differently_look_different() -> None:
    """TU-02: as those of a team do."""
    world = World()
    for number in (1, 2):
        world.submit(f"r{number}", "command", {"argv": ["make"]}, 20, 10)
        world.record(f"r{number}", e.RunStarted(kind="command", box=f"build-server-0{number}"))  # fmt: skip
    model, listing = DashboardState(), Listing()
    for fact in world.log:
        model.apply(fact)
    listing.take(model, FROZEN, whole=True)
    rows = {row.key: row.cells for row in listing.rows(model, FROZEN)}
    assert [rows["r1"][BOX], rows["r2"][BOX]] == ["build…r-01", "build…r-02"]


@pytest.mark.parametrize(
    ("text", "width", "cut"),
    [
        ("loft", 4, "loft"),
        ("lofty", 4, "lo…y"),
        ("ボックス一", 6, "ボ…一"),
        ("abc", 1, "…"),
    ],
)
def test_what_is_cut_in_its_middle_keeps_its_width(text: str, width: int, cut: str) -> None:  # fmt: skip
    assert cut_middle(text, width) == cut


@pytest.mark.sockets
@aio
async def test_a_store_that_is_away_is_said_in_the_first_line(tmp_path: Path) -> None:
    """MB-06 TU-02: the list of boxes lies in the store, what ails the daemon does not."""
    with open_house_beside(tmp_path / "s", box="ann") as house:
        async with dashboard(socket_address(tmp_path / "s")) as (app, pilot):
            await shows(app, "● live")
            house.house.store.fail_reads(StoreUnavailable("it does not answer now"))
            await shows(app, "the store does not answer")
            await pilot.press("4")
            await shows(app, "104 of 105 s left")


@pytest.mark.sockets
@aio
async def test_what_is_edited_and_run_again_asks_for_the_same_box(
    tmp_path: Path,
) -> None:
    """MB-16 DU-04: it was submitted anew for the box of whoever pressed the key, and the note says its command."""
    with open_house_beside(tmp_path / "s") as house:
        first = house.submit("question", {}, needs={"gpu": "1"})
        SyncClient(socket_address(tmp_path / "s")).cancel(first)
        house.wait_ended(first)
        async with dashboard(socket_address(tmp_path / "s")) as (app, pilot):
            await shows(app, "cancelled")
            await pilot.press("e")
            await shows(app, "gpu=1")
            await pilot.press("ctrl+s")
            await shows(app, "--on gpu=1")
        (again,) = SyncClient(socket_address(tmp_path / "s")).runs("state:queued")["runs"]  # fmt: skip
        assert house.view(again["run_id"]).needs == {"gpu": "1"}


def test_a_cancel_that_is_not_proven_says_that_its_box_is_not_heard() -> None:
    """MB-18 TU-03: and what ends the processes then; of one that is proven there is no doubt."""
    receipt: dict[str, Any] = {
        "run_id": "r", "outcome": "cancelled", "requested_at": "2026-11-29T10:00:00Z",
        "gone_at": None, "method": "none", "pids": [], "survivors": "unknown", "box": "bob",
    }  # fmt: skip
    doubt = doubt_about(running("bob"), [told("bob", "silent", 50)])
    assert receipt_lines(receipt, doubt)[:2] == [
        "… cancelled, not proven gone",
        f"{doubt}; its processes end with its lease",
    ]
    proven = {**receipt, "gone_at": "2026-11-29T10:00:02Z"}
    assert not any(doubt in line for line in receipt_lines(proven, doubt))


@pytest.mark.sockets
@aio
async def test_who_waits_for_a_proof_sees_that_the_box_is_silent(
    tmp_path: Path,
) -> None:
    """MB-18 TU-03"""
    with open_house_beside(tmp_path / "s", box="ann") as house:
        house.start("r")
        async with dashboard(socket_address(tmp_path / "s")) as (app, pilot):
            await shows(app, "● live")
            run = app.model.runs["r"].view
            run.box = "bob"
            # Not the model's, which the next look replaces.
            boxes = [told("bob", "silent", 50)]
            never = asyncio.Event()

            async def cancel() -> dict[str, Any]:
                await never.wait()
                return {}

            app.push_screen(
                CancelDialog("r", "", cancel, lambda: doubt_about(run, boxes))
            )
            await shows(app, "Cancel the run")
            await pilot.press("enter")
            await shows(app, "its box bob is silent for 50 s")
