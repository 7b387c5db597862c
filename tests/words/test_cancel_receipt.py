"""What a receipt says in a sentence: never more than was proven, and where."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.words.cancel_receipt import receipt_line

GONE: dict[str, Any] = {
    "run_id": "r", "outcome": "cancelled", "requested_at": "2026-11-29T10:00:00Z",
    "gone_at": "2026-11-29T10:00:02Z", "method": "cgroup", "pids": [7, 8], "survivors": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("how", "proof"),
    [
        ({}, " (cgroup: 7 8)"),
        ({"box": ""}, " (cgroup: 7 8)"),
        ({"box": "attic"}, " (cgroup on attic: 7 8)"),
        ({"box": "attic", "method": "none", "pids": []}, ""),
        ({"box": "attic", "method": "lease"}, " (the lease of the box attic is over: 7 8)"),
        ({"box": "attic", "method": "lease", "pids": []}, " (the lease of the box attic is over)"),
        ({"method": "lease", "pids": []}, " (the lease of its box is over)"),
    ],
)  # fmt: skip
def test_a_receipt_says_how_and_where_the_end_was_proven(
    how: dict[str, Any], proof: str
) -> None:
    """RE-04 MB-03: pids are those of a box, and a lease proves what nobody could look at."""
    assert receipt_line({**GONE, **how}) == f"r cancelled, nothing of it is left{proof}"


def test_a_box_that_is_away_proves_nothing() -> None:
    """MB-05: one that was waited for in vain is told as it is."""
    left = {**GONE, "gone_at": None, "survivors": "unknown", "box": "attic"}
    assert receipt_line(left).endswith("but not proven gone; survivors: unknown")
