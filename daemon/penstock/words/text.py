"""Text of unknown origin made safe to record and to show."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Mapping
from typing import Any

#: C0 but for newline and tab, DEL, C1, what turns the direction of text around (so that a line
#: reads other than it is), and halves of surrogate pairs, which UTF-8 cannot hold.
UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def neutralise(text: str) -> str:
    """The text with control characters made visible, so that no terminal obeys it.

    Newlines and tabs stay. Doing it twice changes nothing more.
    """
    return UNSAFE.sub(_picture, text)


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


class Utf8Decoder:
    """Bytes in pieces to text: a sequence split between pieces stays whole, bad bytes become U+FFFD.

    With `newlines` a carriage return, alone or before a newline, becomes a newline, as a progress
    bar's does when it is not on a terminal.
    """

    def __init__(self, *, newlines: bool = False) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._decoder = io.IncrementalNewlineDecoder(decoder, newlines)

    def decode(self, data: bytes) -> str:
        """The text that is complete by now."""
        return self._decoder.decode(data)

    def finish(self) -> str:
        """What an unfinished sequence at the end amounts to."""
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return text

    def drop(self) -> int:
        """Forget an unfinished sequence; how many bytes it had."""
        held, carriage_return = self._decoder.getstate()
        self._decoder.reset()
        return len(held) + (carriage_return & 1)


def cut(text: str, size: int) -> tuple[str, str]:
    """The beginning of the text that has at most `size` UTF-8 bytes, and the rest."""
    encoded = text.encode()
    if len(encoded) <= size:
        return text, ""
    while encoded[size] & 0xC0 == 0x80:
        size -= 1
    return encoded[:size].decode(), encoded[size:].decode()


def break_lines(text: str, column: int, limit: int) -> tuple[str, int]:
    """The text with newlines put in so that no line has more than `limit` UTF-8 bytes, at least 4.

    `column` is the number of bytes the last line has already; the new number is returned.
    """
    limit = max(4, limit)
    parts: list[str] = []
    for index, line in enumerate(text.split("\n")):
        if index:
            parts.append("\n")
            column = 0
        rest = line
        while rest:
            piece, rest = cut(rest, limit - column)
            parts.append(piece)
            column += len(piece.encode())
            if rest:
                parts.append("\n")
                column = 0
    return "".join(parts), column
