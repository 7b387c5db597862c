"""How much JSON a body is, found before anything parses it.

Nine megabytes of `[]` are four million values: parsing and checking them holds the loop for
seconds, whatever limit in bytes they keep. So values and depth are counted as the bytes arrive, by
searches that run at the speed of memory, and a body beyond a limit is refused while it is still
being sent.
"""

from __future__ import annotations

from itertools import accumulate

from penstock.words.errors import Refused, TooLarge

_BRACKETS = b"[]{}"
_NOT_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))
#: What a byte adds to the depth.
_STEPS = [(byte in b"[{") - (byte in b"]}") for byte in range(256)]


class JsonMeter:
    """Counts one body, fed in pieces of any size. It refuses, and never says that JSON is right.

    Every value but the first follows a comma or an opening bracket, so these are what is counted.
    What a parser would stumble over ends the count: it gets no further either.
    """

    def __init__(self, field: str, *, most_values: int, deepest: int) -> None:
        self._field = field
        self._most_values = most_values
        self._deepest = deepest
        self._values = 0
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._broken = False

    def feed(self, data: bytes) -> None:
        """The next bytes. TooLarge for too many values, Refused for what is too deep."""
        # No JSON in UTF-8 has this byte; one in UTF-16, which some parsers take, would hide from us.
        if b"\0" in data:
            raise Refused(self._field, "must be JSON in UTF-8")
        if not self._broken:
            self._count(self._outside(data))

    def _outside(self, data: bytes) -> bytes:
        """The bytes outside of strings."""
        if self._escaped and data:
            data = data[1:]
            self._escaped = False
        data = data.replace(b"\\\\", b"")
        if data.endswith(b"\\"):
            self._escaped = True
        data = data.replace(b'\\"', b"")
        # Each string is a value or the name of one; a piece of a body has room for no more.
        if data.count(b'"') > 4 * self._most_values:
            raise self._too_many()
        parts = data.split(b'"')
        outside = b"".join(parts[int(self._in_string) :: 2])
        self._in_string ^= len(parts) % 2 == 0
        return outside

    def _count(self, outside: bytes) -> None:
        self._look_deep(outside)
        self._values += sum(outside.count(mark) for mark in (b",", b"[", b"{"))
        if self._values > self._most_values:
            raise self._too_many()

    def _look_deep(self, outside: bytes) -> None:
        steps = map(_STEPS.__getitem__, outside.translate(None, _NOT_BRACKETS))
        heights = list(accumulate(steps, initial=self._depth))
        if max(heights) > self._deepest:
            why = f"nested deeper than the limit of {self._deepest} levels"
            raise Refused(self._field, why, limit=self._deepest)
        self._broken = min(heights) < 0
        self._depth = heights[-1]

    def _too_many(self) -> TooLarge:
        why = f"more than the limit of {self._most_values} values"
        return TooLarge(self._field, why, limit=self._most_values)
