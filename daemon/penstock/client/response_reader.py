"""Responses of HTTP/1.1 read by hand, without any I/O: the head, and the body as it comes.

Only what a daemon says to a client that asks one thing on a connection: no upgrades, no pipelining.
What libraries import for it takes longer than all else that a frequent command does.
"""

from __future__ import annotations

import re

#: Bytes of a head, of a chunk's first line, and of trailers; a daemon of ours says far less.
LARGEST_HEAD = 64 * 1024
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: .*)?")
_SIZE = re.compile(rb"\s*([0-9a-fA-F]{1,15})\s*(?:;.*)?")


class NoHttp(Exception):
    """What came is no answer of HTTP, or ended before it was whole."""


class ResponseReader:
    """Takes the bytes of a connection; gives those of the body."""

    def __init__(self) -> None:
        #: 0 until the head has come.
        self.status = 0
        #: By names in lower case; of several with one name the last.
        self.headers: dict[str, str] = {}
        #: Whether nothing follows any more.
        self.ended = False
        self._buffer = bytearray()
        #: Bytes that are left of the body, or of the chunk; None: up to the end of the connection.
        self._left: int | None = 0
        self._chunked = False

    def feed(self, data: bytes) -> bytes:
        """What these bytes hold of the body; b"" stands for the end of the connection. NoHttp."""
        if not data:
            return self._close()
        self._buffer += data
        if not self.status and not self._read_head():
            return b""
        body = bytearray()
        while not self.ended and self._buffer:
            if self._left is None:
                body += self._buffer
                self._buffer.clear()
            elif self._left:
                part = self._buffer[: self._left]
                body += part
                del self._buffer[: len(part)]
                self._left -= len(part)
                self.ended = not self._left and not self._chunked
            elif not self._read_chunk_line():
                break
        return bytes(body)

    def _close(self) -> bytes:
        if not self.status:
            raise NoHttp("it was closed before an answer came")
        if not self.ended and self._left is not None:
            raise NoHttp("it was closed before the answer was whole")
        self.ended = True
        return b""

    def _read_head(self) -> bool:
        head = self._take_through(b"\r\n\r\n")
        if head is None:
            return False
        first, *lines = head.split(b"\r\n")
        if not (found := _STATUS_LINE.fullmatch(first)):
            raise NoHttp("what answers does not speak HTTP")
        status = int(found[1])
        if status < 200:
            # A word before the answer proper, which follows.
            return self._read_head()
        self.status = status
        for line in lines:
            name, _, value = line.partition(b":")
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()  # fmt: skip
        self._begin_body()
        return True

    def _begin_body(self) -> None:
        length = self.headers.get("content-length")
        if self.status in (204, 304):
            self.ended = True
        elif "chunked" in self.headers.get("transfer-encoding", "").lower():
            self._chunked = True
        elif length is None:
            self._left = None
        elif length.isascii() and length.isdigit():
            self._left = int(length)
            self.ended = not self._left
        else:
            raise NoHttp(f"the length of the answer is {length!r}")

    def _read_chunk_line(self) -> bool:
        """Read on to a chunk's bytes, or past the last one's trailers; False while that has not come."""
        line = self._take_through(b"\r\n")
        if line is None:
            return False
        if not line:
            # The end of a chunk before this one.
            return True
        if not (found := _SIZE.fullmatch(line)):
            raise NoHttp("a chunk of the answer has no size")
        self._left = int(found[1], 16)
        # Trailers say nothing that is wanted, and nothing follows on this connection.
        self.ended = not self._left
        return True

    def _take_through(self, end: bytes) -> bytes | None:
        at = self._buffer.find(end)
        if at < 0 or at > LARGEST_HEAD:
            if len(self._buffer) > LARGEST_HEAD:
                raise NoHttp("what answers does not speak HTTP")
            return None
        taken = bytes(self._buffer[:at])
        del self._buffer[: at + len(end)]
        return taken


class Lines:
    """Bytes to lines, whatever they come in. ValueError for one that is longer than `longest` bytes."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._rest: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that ended with these bytes, without their ends."""
        first, *others = data.split(b"\n")
        self._rest.append(first)
        self._size += len(first)
        if self._size > self._longest:
            raise ValueError(f"a line is longer than {self._longest} bytes")
        if not others:
            return []
        *lines, rest = (b"".join(self._rest), *others)
        self._rest, self._size = [rest], len(rest)
        return lines
