"""The frames in which a run is told live to the client that started it.

A frame is a kind (one byte), a length (four, the most significant first), and so many bytes. What was
printed stands in frames of stdout and of stderr, cut anywhere, in the order in which it was read; MESSAGE is
JSON, the same messages as on a WebSocket (`hello`, `events`, `gap`, `ready`, `bye`), whose facts lack what
was printed; BEGUN, empty, stands before what each further program of the run prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

#: In the head of `POST /runs`: the answer says whether it is granted (`live`).
PREFERENCE = "live-output"
CONTENT_TYPE = "application/vnd.penstock.live"

MESSAGE, STDOUT, STDERR, BEGUN = range(4)
PRINTED: Mapping[str, int] = {"stdout": STDOUT, "stderr": STDERR}
HEAD_BYTES = 5


def frame_head(kind: int, size: int) -> bytes:
    """What stands before so many bytes of this kind."""
    return bytes((kind,)) + size.to_bytes(4, "big")


class LiveFrames:
    """Takes bytes as they come, however they are cut.

    What was printed is given as it comes, without waiting for the rest of its frame; a message once it
    is whole.
    """

    def __init__(self) -> None:
        self._head = bytearray()
        self._kind = MESSAGE
        self._left = 0
        self._message = bytearray()

    @property
    def between(self) -> bool:
        """Whether nothing of a frame is missing."""
        return not self._left and not self._head

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The kinds and what stands in them; the iterator is to be used up before the next call."""
        view, place = memoryview(data), 0
        while place < len(data):
            if not self._left:
                took = HEAD_BYTES - len(self._head)
                self._head += view[place : place + took]
                place += took
                if len(self._head) < HEAD_BYTES:
                    return
                self._kind, self._left = (
                    self._head[0],
                    int.from_bytes(self._head[1:], "big"),
                )
                self._head.clear()
                if not self._left:
                    yield self._kind, b""
                continue
            part = view[place : place + self._left]
            place += len(part)
            self._left -= len(part)
            if self._kind != MESSAGE:
                yield self._kind, bytes(part)
                continue
            self._message += part
            if not self._left:
                yield MESSAGE, bytes(self._message)
                self._message.clear()
