"""How a box stands: one word for each, on every surface."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.words.box_standing import (
    LATE,
    loss_line,
    newest_of,
    standing_line,
    standing_of,
)

WELL: dict[str, Any] = {
    "state": "here", "silent_seconds": 5.0, "lease_left": 115.0, "lease_seconds": 120.0,
    "draining": False, "version": "1.2", "newest": "1.2",
}  # fmt: skip


@pytest.mark.parametrize(
    ("how", "standing"),
    [
        ({}, "ok"),
        ({"version": "1.2.0"}, "ok"),
        ({"version": "1.1", "newest": "1.2"}, "older"),
        ({"version": "", "newest": "1.2"}, "older"),
        ({"draining": True, "version": "1.1"}, "draining"),
        ({"silent_seconds": 120 * LATE + 1, "draining": True}, "silent"),
        ({"silent_seconds": 120 * LATE}, "ok"),
        # Its lease is over, and nobody has said so yet.
        ({"silent_seconds": 121.0, "lease_left": -1.0}, "lost"),
        ({"state": "lost", "lease_left": -1.0, "draining": True}, "lost"),
        ({"state": "left", "lease_left": -1.0, "silent_seconds": 1e6}, "left"),
    ],
)
def test_a_box_stands_in_one_way(how: dict[str, Any], standing: str) -> None:
    """MB-03 MB-05 MB-13 MB-14"""
    assert standing_of(**{**WELL, **how}) == standing


def test_a_box_is_told_in_words() -> None:
    assert standing_line("silent", 14.4) == "silent 14 s"
    assert standing_line("left", 1e6) == "left"
    assert loss_line("loft", 121.4) == "the box loft is lost: silent for 121 s"


def test_the_newest_release_is_the_largest_by_its_numbers() -> None:
    """MB-14"""
    assert newest_of(["1.9", "1.10", "0.12"]) == "1.10"
    assert newest_of([]) == ""
