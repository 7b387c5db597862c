"""MB-16 SC-14: which box will start a run that this one does not, and why none does, in a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.runs.whereabouts import SeenBox, why_not_here
from penstock.words.placement import place_of

HERE = place_of("here", {"os": "linux"}, team=False, shared=True)


def seen(
    name: str,
    *,
    team: bool = True,
    standing: Any = "ok",
    silent: float = 0.0,
    full: bool = False,
    **labels: str,
) -> SeenBox:
    place = place_of(name, labels, team=team, shared=True)
    return SeenBox(place, standing, silent, full)


OWN = seen("here", os="linux", team=False)
GPU = seen("loft", gpu="1")


@pytest.mark.parametrize(
    ("needs", "origin", "boxes", "code", "text"),
    [
        (
            {"gpu": "1"},
            "here",
            [],
            "needs",
            "It asks for gpu=1, which this box has not.",
        ),
        (
            {"gpu": "1"},
            "here",
            [OWN],
            "needs",
            "It asks for gpu=1, which this box has not.",
        ),
        (
            {"gpu": "1"},
            "here",
            [OWN, seen("a"), seen("b"), seen("c", standing="left")],
            "needs",
            "It asks for gpu=1; none of the 3 boxes that are here has it.",
        ),
        (
            {"gpu": "1"},
            "here",
            [OWN, GPU],
            "box",
            "It asks for gpu=1, and it waits for a slot of loft.",
        ),
        (
            {"gpu": "1"},
            "here",
            [
                OWN,
                seen("a", standing="silent", silent=14.2, gpu="1"),
                seen("b", team=False, gpu="1"),
                seen("c", standing="draining", gpu="1"),
            ],
            "box",
            "It asks for gpu=1: a is silent for 14 s, b executes its own runs only, c is drained.",
        ),
        ({"box": "loft"}, "here", [], "box", "It executes at the box loft alone."),
        (
            {"box": "lotf"},
            "here",
            [OWN, GPU],
            "box_unknown",
            "It executes at the box lotf alone, and none of that name is known.",
        ),
        (
            {"box": "loft"},
            "loft",
            [OWN, GPU],
            "box",
            "It waits for a slot of its box loft.",
        ),
        (
            {"box": "loft"},
            "loft",
            [seen("loft", full=True)],
            "box",
            "It waits for a slot of its box loft, and all are taken.",
        ),
        (
            {"box": "loft"},
            "loft",
            [seen("loft", standing="lost", silent=130)],
            "box",
            "Its box loft is lost: silent for 130 s.",
        ),
        (
            {"box": "loft"},
            "loft",
            [seen("loft", standing="silent", silent=14)],
            "box",
            "Its box loft is silent for 14 s.",
        ),
        (
            {"box": "loft"},
            "loft",
            [seen("loft", standing="left")],
            "box",
            "Its box loft has no daemon now.",
        ),
        (
            {"box": "loft"},
            "loft",
            [seen("loft", standing="draining")],
            "box_drained",
            "Its box loft is drained: `penstock resume --box loft`.",
        ),
        (
            {"box": "loft", "gpu": "2"},
            "loft",
            [GPU],
            "needs",
            "It asks for gpu=2, which its box loft has not.",
        ),
        (
            {"box": "loft"},
            "here",
            [seen("loft", team=False)],
            "accept",
            "Its box loft executes its own runs only; it was submitted at here.",
        ),
        (
            {"box": "here", "gpu": "1"},
            "here",
            [OWN, GPU],
            "needs",
            "It asks for gpu=1, which this box has not.",
        ),
        (
            {},
            "loft",
            [OWN],
            "accept",
            "It was submitted at loft, and this box executes its own runs only.",
        ),
        (
            {},
            "loft",
            [OWN, GPU],
            "box",
            "It was submitted at loft, and it waits for a slot of loft.",
        ),
    ],
)
def test_a_wait_for_a_box_is_told_in_a_sentence(
    needs: dict[str, str], origin: str, boxes: list[SeenBox], code: str, text: str
) -> None:
    """MB-16 SC-14"""
    assert why_not_here(needs, origin, HERE, boxes) == (code, text)


def test_what_this_box_starts_needs_no_word() -> None:
    """MB-16 SC-14: unless it is drained."""
    assert why_not_here({"os": "linux"}, "here", HERE, [OWN, GPU]) is None
    told = why_not_here({"os": "linux"}, "here", HERE, [OWN, GPU], drained=True)
    assert told == (
        "box_drained",
        "This box is drained: `penstock resume --box here`.",
    )
    told = why_not_here({}, "here", HERE, [OWN, GPU], drained=True)
    assert told == ("box", "This box is drained, and it waits for a slot of loft.")
