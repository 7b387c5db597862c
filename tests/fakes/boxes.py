"""Rows of boxes as a log's server would tell them."""

from __future__ import annotations

from typing import Any

from penstock import __version__
from penstock.log.writes import BoxRow


def box_row(box: str, **others: Any) -> BoxRow:
    """A box that renewed its lease of two minutes a second ago."""
    told: dict[str, Any] = {
        "machine": f"machine of {box}", "life": f"life of {box}", "state": "here", "silent_seconds": 1.0,
        "lease_seconds": 120.0, "slots": 4, "labels": {}, "accept": "self", "version": __version__,
    }  # fmt: skip
    told |= others
    told.setdefault("lease_left", told["lease_seconds"] - told["silent_seconds"])
    return BoxRow(box=box, **told)


#: The one that a test asks, one with a label, and one that is lost.
LOFT = box_row("loft")
ATTIC = box_row("attic", labels={"gpu": "1"}, accept="team", slots=2)
CELLAR = box_row("cellar", state="lost", silent_seconds=130.0)
