"""A run's output as lines, each of one stream, in the order in which they were whole."""

from __future__ import annotations

import codecs
from typing import NamedTuple

from penstock.words.display import LONGEST_HELD, LineReader, ShownLine, Span
from penstock.words.printed import Piece, Stream, bytes_of, not_kept, size_of


class OutputLine(NamedTuple):
    """A line of a stream; a word of ours where `missing` bytes stood that are no longer kept."""

    stream: Stream
    line: ShownLine
    missing: int = 0

    @property
    def text(self) -> str:
        return self.line.text


class OutputLines:
    """Pieces of output, of all streams, to lines."""

    def __init__(self, longest: int = LONGEST_HELD) -> None:
        """`longest`: characters held of a line; a longer one comes in parts."""
        self._longest = longest
        self._readers: dict[Stream, LineReader] = {}
        self._decoders: dict[Stream, codecs.IncrementalDecoder] = {}
        self._missing: dict[Stream, int] = {}

    def feed(self, piece: Piece) -> list[OutputLine]:
        """The lines that ended with this piece."""
        stream, data = piece.stream, bytes_of(piece)
        if data is None:
            self._missing[stream] = self._missing.get(stream, 0) + size_of(piece)
            return []
        if stream not in self._readers:
            self._readers[stream] = LineReader(self._longest)
            self._decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
        missing = self._tell_missing()
        text = self._decoders[stream].decode(data)
        lines = self._readers[stream].feed(text)
        return [*missing, *(OutputLine(stream, line) for line in lines)]

    @property
    def unfinished(self) -> list[OutputLine]:
        """The last line of each stream, while it has no end."""
        lines = ((name, reader.unfinished) for name, reader in self._readers.items())
        return [OutputLine(name, line) for name, line in lines if line.spans]

    def finish(self) -> list[OutputLine]:
        """What is left at the end of the output."""
        lines = self._tell_missing()
        for stream, reader in self._readers.items():
            rest = (
                reader.feed(self._decoders[stream].decode(b"", final=True))
                + reader.finish()
            )
            lines += [OutputLine(stream, line) for line in rest]
        return lines

    def _tell_missing(self) -> list[OutputLine]:
        """A line for each stream of which pieces in a row are no longer kept."""
        lines = []
        for stream, count in self._missing.items():
            said = not_kept(count).rstrip("\n")
            # What was held of a line did not end so, and what comes does not begin one.
            if stream in self._readers:
                rest = self._readers[stream].finish()
                lines += [OutputLine(stream, line) for line in rest]
            lines.append(OutputLine(stream, ShownLine((Span(said),)), count))
        self._missing.clear()
        return lines
