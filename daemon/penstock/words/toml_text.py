"""TOML that may be anybody's: what the library takes long for, or goes to the ground with, is refused."""

from __future__ import annotations

import re
from typing import Any

# A line that begins with a hundred words joined by dots.
_LONG_KEY = re.compile(
    r"^[ \t]*+\[{0,2}(?:[^\s.=#]{1,200}+[ \t]*+\.[ \t]*+){100}", re.MULTILINE
)


def parse_toml(text: str) -> dict[str, Any]:
    """The tables in a text. ValueError where there is none.

    Nor is there in one that nests more than any does, or has a key of so many parts: each costs the library
    all parts before it.
    """
    if _LONG_KEY.search(text):
        raise ValueError("a key has too many parts")
    # Late: most have no such file.
    import tomllib

    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
