"""Text of unknown origin made safe to record and to show."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: C0 but for newline and tab, DEL, C1, all that has a say in the direction of text (so that a line
#: reads other than it is), and halves of surrogate pairs, which UTF-8 cannot hold.
UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def neutralise(text: str) -> str:
    """The text with control characters made visible, so that no terminal obeys it.

    Newlines and tabs stay. Doing it twice changes nothing more.
    """
    return UNSAFE.sub(_picture, text)


def shortened(text: str, most: int) -> str:
    """At most so many characters; a cut is told by an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def escape_json(line: str) -> str:
    """JSON that means the same, with what `neutralise` would replace written as its escapes."""
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", line)


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if code <= 0x9F:
        # A C1 character is a short form of ESC and a letter; it is shown as that.
        return "\u241b" + chr(code - 0x40)
    return "\ufffd"


def find_nul(
    value: Any, at: tuple[str | int, ...] = ()
) -> tuple[str | int, ...] | None:
    """Where in a value like JSON a text has a NUL, keys included; None if none has.

    NUL is no part of any text: it ends a C string, so arguments, environments and file names that
    hold one mean something else to the kernel than they say.
    """
    if isinstance(value, str):
        return at if "\0" in value else None
    if isinstance(value, Mapping):
        for key, item in value.items():
            if "\0" in key:
                return at
            if (place := find_nul(item, (*at, key))) is not None:
                return place
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            if (place := find_nul(item, (*at, number))) is not None:
                return place
    return None


def unfinished_character(data: bytes | bytearray) -> int:
    """How many bytes at the end, at most 3, begin a UTF-8 character that is not whole yet."""
    for count in range(1, min(3, len(data)) + 1):
        byte = data[-count]
        if byte & 0xC0 != 0x80:
            # A first byte says how many there are: as many as it has ones in front.
            whole = (
                4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            )
            return count if count < whole else 0
    return 0
