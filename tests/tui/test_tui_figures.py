"""What the overview's panels say of the daemon's answers, and which keys have room. TU-02, TU-04."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_tui.figures import daemon_lines, is_paused, queue_state
from penstock_tui.heading import nothing_listed, nothing_needed, version_difference
from penstock_tui.state import DashboardState, Phase
from penstock_tui.widgets.key_line import Key, fitting

QUEUED = (1, 2, 3, 0, 0)


@pytest.mark.parametrize(
    ("asked", "said", "paused"),
    [
        ({}, "", False),
        ({"paused": []}, "", False),
        ({"paused": [{"group": None, "reason": ""}]}, "paused", True),
        ({"paused": [{"group": None, "reason": "disk"}]}, "paused: disk", True),
        ({"paused": [{"group": "gpu", "reason": "x"}]}, "paused: gpu", False),
        ({"paused": [], "draining": [None]}, "draining", False),
    ],
)
def test_a_pause_is_told_with_what_it_is_about(
    asked: dict[str, Any], said: str, paused: bool
) -> None:
    """TU-02"""
    state = queue_state({"capacity": 100, "waiting_submits": 2, **asked}, QUEUED)
    assert (state.paused, is_paused(asked)) == (said, paused)
    assert (state.queued, state.capacity, state.blocked) == (QUEUED, 100, 2)


def test_the_daemon_panel_tells_slots_clients_health_store_and_models() -> None:
    """TU-02; and nothing before the daemon has answered."""
    health = {"status": "ok", "store": {"size": 3 * 1024**2}, "models": {}}
    assert daemon_lines(DashboardState(), 0) is None
    model = DashboardState(queue={"slots": 5}, health=health, position=1234)
    panel = daemon_lines(model, 5)
    assert panel is not None
    assert {name: text for name, text, _ in panel.lines} == {
        "slots": "5/5 busy",
        "clients": "none",
        "health": "ok  store 3 MiB",
        "models": "none configured",
        "log": "position 1,234",
    }
    ill = {**health, "status": "degraded", "reasons": ["the store takes no writes"]}
    panel = daemon_lines(DashboardState(queue={"slots": 1}, health=ill), 0)
    assert panel is not None
    assert ("health", "the store takes no writes", "error") in panel.lines


@pytest.mark.parametrize(
    ("phase", "epoch", "listed", "needed"),
    [
        ("connecting", "", "asking the daemon at here …", "nothing is known yet"),
        ("lost", "", "nothing is known: no answer; trying again", "nothing is known yet"),
        ("refused", "", "nothing is known: no answer", "nothing is known yet"),
        ("lost", "e", "there were no runs when it was last heard", "nothing since it was last heard"),
        ("live", "e", "no runs yet: r starts one", "nothing needs you"),
    ],
)  # fmt: skip
def test_nothing_is_claimed_that_nobody_can_know(
    phase: Phase, epoch: str, listed: str, needed: str
) -> None:
    """TU-01: never connected, lost and refused have words of their own."""
    model = DashboardState(phase=phase, epoch=epoch, problem="no answer")
    assert nothing_listed(model, "here") == listed
    assert nothing_needed(model) == needed


@pytest.mark.parametrize(
    ("daemon", "said"),
    [
        ("penstock 1.3", ""),
        ("penstock 1.2", "daemon 1.2, older than this 1.3"),
        ("penstock 1.4", "daemon 1.4, newer than this 1.3"),
        ("penstock 1.3rc1", "daemon 1.3rc1, other than this 1.3"),
        ("", ""),
        ("somebody else", ""),
    ],
)
def test_the_first_line_tells_of_a_daemon_of_another_version(
    daemon: str, said: str
) -> None:
    """RS-04"""
    assert version_difference(daemon, "1.3") == said


def key(name: str, action: str = "") -> Key:
    return Key(name[0], name, action or name, name[0])


def test_keys_without_room_are_left_out_whole_but_never_help_and_quit() -> None:
    """TU-04"""
    keys = [key("Open"), key("New"), key("Help", "app.keys"), key("Quit", "app.quit")]
    told = {
        width: " ".join(k.what for k in fitting(keys, width)) for width in range(40)
    }
    assert told[39] == "Open New Help Quit"
    assert told[0] == told[19] == "Help Quit"
    assert told[20] == "Open Help Quit"
    for width in range(13, 40):
        assert sum(k.width + 1 for k in fitting(keys, width)) - 1 <= width
