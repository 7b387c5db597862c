"""The end of what a run printed, read from the log without reading all of it.

A run's log facts lie in the order in which they were recorded, between those of others. So it is
read in stretches of positions, each longer than the one after it, until there is enough.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import NamedTuple

from penstock.words.output_lines import OutputLines
from penstock.words.printed import (
    STREAMS,
    Piece,
    ShownFact,
    Stream,
    bytes_of,
    part_of,
    piece_in,
    size_of,
)
from penstock.words.text import shortened

#: Reads a run's facts above a position, in order, at most so many; [] at the end.
ReadFacts = Callable[[int, int], Awaitable[Sequence[ShownFact]]]

#: Positions of the last stretch, how much longer each one before it is, and facts read at once.
FIRST_STRETCH = 32
GROWTH = 8
PAGE = 500
#: Lines at the end of a failed run's output that its reply shows, and characters of each.
SHOWN_LINES = 10
#: Bytes that are searched for them: lines may be long, or written over many times.
SEARCHED_BYTES = 64 * 1024
LONGEST_SHOWN = 300


class NewestOutput(NamedTuple):
    """The last pieces of an output, in order; `earlier` when there are others before them."""

    pieces: tuple[Piece, ...]
    earlier: bool

    @property
    def missing(self) -> int:
        """Bytes among them that are no longer kept."""
        return sum(size_of(piece) for piece in self.pieces if bytes_of(piece) is None)

    @property
    def data(self) -> bytes:
        """What is kept of them, joined."""
        return b"".join(bytes_of(piece) or b"" for piece in self.pieces)

    def last_lines(self, count: int) -> NewestOutput:
        """The last so many lines, to the byte; a line that is not ended yet is one."""
        kept: list[Piece] = []
        left, at_end = count, True
        for piece in reversed(self.pieces):
            data = bytes_of(piece) or b""
            end = len(data)
            if at_end and data:
                end -= data.endswith(b"\n")
                at_end = False
            while (at := data.rfind(b"\n", 0, end)) >= 0:
                left, end = left - 1, at
                if not left:
                    kept.append(part_of(piece.stream, data[at + 1 :]))
                    return NewestOutput(tuple(reversed(kept)), earlier=True)
            kept.append(piece)
        return self

    def cut(self, most_bytes: int) -> NewestOutput:
        """The last so many bytes at most, from a character's beginning on."""
        kept: list[Piece] = []
        for piece in reversed(self.pieces):
            data = bytes_of(piece)
            if data is None or len(data) <= most_bytes:
                kept.append(piece)
                most_bytes -= len(data or b"")
                continue
            if most_bytes:
                kept.append(part_of(piece.stream, data[-most_bytes:]))
            return NewestOutput(_from_character(kept[::-1]), earlier=True)
        return (
            self
            if not self.earlier
            else self._replace(pieces=_from_character(self.pieces))
        )

    def shown(self, lines: int, longest: int) -> list[str]:
        """The last lines as they finally show, without colours, cut at so many characters."""
        output = OutputLines()
        told = [line for piece in self.pieces for line in output.feed(piece)]
        texts: list[str] = []
        # A part of a line is longer than what is shown of one; the others follow it.
        begun: set[Stream] = set()
        for line in (*told, *output.finish()):
            if line.stream not in begun:
                texts.append(shortened(line.text.rstrip(), longest))
            (begun.discard if line.line.ended else begun.add)(line.stream)
        return texts[-lines:]


def _from_character(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """The pieces without the rest of a character that begins before them."""
    if not pieces or not (data := bytes_of(pieces[0])):
        return tuple(pieces)
    rest = next((n for n, byte in enumerate(data[:3]) if byte & 0xC0 != 0x80), 3)
    first = part_of(pieces[0].stream, data[rest:]) if rest else pieces[0]
    return (first, *pieces[1:])


#: Asks for a run's facts above a position, at most so many, is sent them, and returns what was sought.
Search = Generator[tuple[int, int], Sequence[ShownFact], NewestOutput]


async def newest_output(
    read: ReadFacts,
    head: int,
    *,
    lines: int,
    most_bytes: int,
    after: int = 0,
    streams: frozenset[Stream],
) -> NewestOutput:
    """What the streams printed last, above `after` and up to `head`: of at least so many lines.

    More than `most_bytes` are read only to the beginning of the piece that passes them.
    """
    search = search_newest(
        head, lines=lines, most_bytes=most_bytes, after=after, streams=streams
    )
    try:
        wanted = next(search)
        while True:
            wanted = search.send(await read(*wanted))
    except StopIteration as found:
        newest: NewestOutput = found.value
        return newest


def search_newest(
    head: int,
    *,
    lines: int,
    most_bytes: int,
    after: int = 0,
    streams: frozenset[Stream],
) -> Search:
    """The same for whoever reads otherwise."""
    pieces: list[Piece] = []
    end, stretch, size, ends = head, FIRST_STRETCH, 0, 0
    while end > after:
        begin = max(after, end - stretch)
        found = yield from _pieces_between(begin, end, streams)
        for number, piece in enumerate(reversed(found)):
            data = bytes_of(piece) or b""
            pieces.append(piece)
            size, ends = size + len(data), ends + data.count(b"\n")
            if ends > lines or size >= most_bytes:
                earlier = number + 1 < len(found) or begin > after
                return NewestOutput(tuple(reversed(pieces)), earlier)
        end, stretch = begin, stretch * GROWTH
    return NewestOutput(tuple(reversed(pieces)), earlier=False)


def _pieces_between(
    after: int, end: int, streams: frozenset[Stream]
) -> Generator[tuple[int, int], Sequence[ShownFact], list[Piece]]:
    pieces: list[Piece] = []
    while after < end and (facts := (yield after, min(PAGE, end - after))):
        pieces += [
            piece
            for fact in facts
            if fact.position <= end
            and (piece := piece_in(fact)) is not None
            and piece.stream in streams
        ]
        after = facts[-1].position
    return pieces


async def shown_tail(
    read: ReadFacts, head: int, lines: int = SHOWN_LINES
) -> tuple[str, ...]:
    """The last lines that a run printed, for whoever was not shown them."""
    newest = await newest_output(
        read, head, lines=lines, most_bytes=SEARCHED_BYTES, streams=STREAMS
    )
    return tuple(newest.shown(lines, LONGEST_SHOWN))
