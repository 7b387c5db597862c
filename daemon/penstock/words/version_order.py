"""How two versions of this product stand to each other."""

from __future__ import annotations

import re


def compare(theirs: str, own: str) -> str:
    """How a version stands to ours: "older", "newer", "other", or empty for the same."""
    if theirs == own:
        return ""
    there, here = release_of(theirs), release_of(own)
    if there == here:
        return "other"
    return "older" if there < here else "newer"


def release_of(version: str) -> tuple[int, ...]:
    """The release in a version, by its numbers; what follows them (`rc1`, `.dev3`) is left out."""
    found = re.match(r"\d{1,9}(?:\.\d{1,9})*", version)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
