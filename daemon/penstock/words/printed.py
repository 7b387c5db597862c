"""What a run printed, piece by piece: the bytes of a `log` fact, and the fact of some bytes.

A piece is text where the bytes are UTF-8, base64 where they are not or where that is the shorter by
far, and a number of bytes once it was emptied. Where it is cut means nothing: the pieces of one stream, joined, are what the program
wrote, and lines are an affair of who reads.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import a2b_base64
from collections.abc import Mapping
from datetime import datetime
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NamedTuple,
    Protocol,
    get_args,
    runtime_checkable,
)

# Who only reads needs no models of events, which take longer to import than a command does all else.
if TYPE_CHECKING:
    from penstock.words.events import Log

Stream = Literal["stdout", "stderr", "pipeline"]
STREAMS: frozenset[Stream] = frozenset(get_args(Stream))


#: Bytes that are UTF-8, and no text of anybody's: JSON makes six of each. What sets colours, and what
#: moves on a line, is text.
_NO_TEXT = bytes(set(range(0x20)) - set(b"\a\b\t\n\v\f\r\x1b"))
#: A short piece is text if it can be: it costs nothing.
SHORT_BYTES = 1024


class ShownFact(Protocol):
    """What a recorded fact is to who shows it: `Recorded`, or what a daemon told on plain dicts.

    `event` has the fields of the fact as its attributes; of a stranger's what it came with.
    """

    @property
    def run_id(self) -> str: ...
    @property
    def position(self) -> int: ...
    @property
    def sequence(self) -> int: ...
    @property
    def type(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def event(self) -> Any: ...
    @property
    def body(self) -> bytes:
        """The fact as JSON."""
        ...

    def wire(self) -> bytes:
        """With what stands around it, as every surface shows it."""
        ...


@runtime_checkable
class Piece(Protocol):
    """A piece of output: a `log` fact, or what is read of one."""

    @property
    def stream(self) -> Stream: ...
    @property
    def text(self) -> str | None: ...
    @property
    def base64(self) -> str | None: ...
    @property
    def bytes(self) -> int | None: ...


class ReadPiece(NamedTuple):
    """A piece read from the JSON of a `log` fact, or cut from one."""

    stream: Stream
    text: str | None = None
    base64: str | None = None
    bytes: int | None = None


def read_piece(fields: Mapping[str, Any]) -> ReadPiece | None:
    """The piece in the JSON of a `log` fact; None if it is of a shape that this version does not know."""
    stream, text = fields.get("stream", "pipeline"), fields.get("text")
    if stream not in STREAMS:
        return None
    coded, count = fields.get("base64"), fields.get("bytes")
    if isinstance(text, str):
        return ReadPiece(stream, text=text)
    if isinstance(coded, str) and _is_base64(coded):
        return ReadPiece(stream, base64=coded)
    if fields.get("emptied") and isinstance(count, int):
        return ReadPiece(stream, bytes=count)
    return None


def piece_in(fact: ShownFact) -> Piece | None:
    """The piece of output that a fact is, if it is one."""
    if fact.type != "log":
        return None
    event = fact.event
    return event if isinstance(event, Piece) else None


def _is_base64(text: str) -> bool:
    try:
        a2b_base64(text, strict_mode=True)
    except ValueError:
        return False
    return True


def part_of(stream: Stream, data: bytes) -> ReadPiece:
    """A part of a piece, that these bytes are."""
    try:
        return ReadPiece(stream, text=data.decode())
    except UnicodeDecodeError:
        return ReadPiece(stream, base64=b64encode(data).decode())


def piece_of(stream: Stream, data: bytes) -> Log:
    """The fact that a stream said these bytes."""
    from penstock.words.events import Log

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


def bytes_of(piece: Piece) -> bytes | None:
    """The bytes of a piece as the program wrote them; None if it was emptied."""
    if piece.text is not None:
        return piece.text.encode("utf-8", "surrogatepass")
    return None if piece.base64 is None else b64decode(piece.base64)


def size_of(piece: Piece) -> int:
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


def text_of(piece: Piece) -> str:
    """A piece as text for people: bytes that are none become U+FFFD, emptied ones are counted."""
    if piece.text is not None:
        return piece.text
    data = bytes_of(piece)
    return not_kept(size_of(piece)) if data is None else data.decode("utf-8", "replace")


def not_kept(count: int) -> str:
    """What stands where bytes stood that were emptied, on a line of its own."""
    return f"[{count} bytes no longer kept]\n"
