"""What a run printed, piece by piece: the bytes of a `log` fact, and the fact of some bytes.

A piece is text where the bytes are UTF-8, base64 where they are not or where that is the shorter by
far, and a number of bytes once it was emptied. Where it is cut means nothing: the pieces of one stream, joined, are what the program
wrote, and lines are an affair of who reads.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Literal, get_args

from penstock.words.events import Log

Stream = Literal["stdout", "stderr", "pipeline"]
STREAMS: frozenset[Stream] = frozenset(get_args(Stream))


#: Bytes that are UTF-8, and no text of anybody's: JSON makes six of each. What sets colours, and what
#: moves on a line, is text.
_NO_TEXT = bytes(set(range(0x20)) - set(b"\a\b\t\n\v\f\r\x1b"))
#: A short piece is text if it can be: it costs nothing.
SHORT_BYTES = 1024


def piece_of(stream: Stream, data: bytes) -> Log:
    """The fact that a stream said these bytes."""
    if not _is_bulky(data):
        try:
            return Log(stream=stream, text=data.decode())
        except UnicodeDecodeError:
            pass
    return Log(stream=stream, base64=b64encode(data).decode())


def _is_bulky(data: bytes) -> bool:
    """Whether it takes more room as a text in JSON than in base64: mostly zeros, as disks have them."""
    if len(data) <= SHORT_BYTES:
        return False
    escaped = len(data) - len(data.translate(None, _NO_TEXT))
    return 5 * escaped > len(data) / 3


def bytes_of(piece: Log) -> bytes | None:
    """The bytes of a piece as the program wrote them; None if it was emptied."""
    if piece.text is not None:
        return piece.text.encode("utf-8", "surrogatepass")
    return None if piece.base64 is None else b64decode(piece.base64)


def size_of(piece: Log) -> int:
    """How many bytes the program wrote, kept or not."""
    data = bytes_of(piece)
    return piece.bytes or 0 if data is None else len(data)


def held_bytes(fields: Mapping[str, Any]) -> int:
    """How many bytes a piece holds, by the fields of its JSON; 0 once it was emptied."""
    if isinstance(text := fields.get("text"), str):
        return len(text.encode("utf-8", "surrogatepass"))
    if isinstance(coded := fields.get("base64"), str):
        return len(coded) // 4 * 3 - coded.count("=")
    return 0


def text_of(piece: Log) -> str:
    """A piece as text for people: bytes that are none become U+FFFD, emptied ones are counted."""
    if piece.text is not None:
        return piece.text
    data = bytes_of(piece)
    return not_kept(size_of(piece)) if data is None else data.decode("utf-8", "replace")


def not_kept(count: int) -> str:
    """What stands where bytes stood that were emptied, on a line of its own."""
    return f"[{count} bytes no longer kept]\n"
