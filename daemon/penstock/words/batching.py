"""When pieces go out: of a text that grows, such as a model's tokens, and of what a program prints.

Decisions only: `now` and ages are arguments, in seconds of any clock that does not run backwards.

A growing text (`Throttle`) goes out at once, then at most once per interval. Joined, what comes out
is what went in, to the character.

A program's output (`Pace`) may go on for days. What a fact held may be emptied; that it was there
stays for ever, and costs a row. So a run has so many pieces to begin with and so many a day: while
there are enough of them each comes at once, and the fewer are left the longer one waits and the more
it gathers. So it is with bytes, for the disk's sake.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Bytes of the largest piece; as JSON at most six times as many, which one fact may have.
LARGEST_PIECE = 1024 * 1024

_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class ThrottleStatistics:
    """Characters held back now, and how many may be."""

    held: int
    capacity: int


class Throttle:
    """Coalesces pieces of one text."""

    def __init__(self, interval: float, capacity: int) -> None:
        """`interval` in seconds; `capacity` in characters, beyond which the throttle is full."""
        self._interval = interval
        self._capacity = capacity
        self._held: list[str] = []
        self._size = 0
        self._next: float | None = None

    def add(self, text: str, now: float) -> str:
        """Take a piece; the text to send now, empty when it is held for later."""
        if text:
            self._held.append(text)
            self._size += len(text)
        return self.take(now)

    def take(self, now: float) -> str:
        """The held text if it is due, else an empty one."""
        return self.flush(now) if self._next is None or self._next <= now else ""

    def flush(self, now: float) -> str:
        """The held text, due or not: for the end, and where a full throttle may not wait."""
        text = "".join(self._held)
        if text:
            self._held.clear()
            self._size = 0
            self._next = now + self._interval
        return text

    @property
    def due(self) -> float | None:
        """When the held text goes out, by the clock of `now`; None while nothing is held."""
        return self._next if self._held else None

    @property
    def full(self) -> bool:
        """Whether the source must wait until the held text went out."""
        return self._size >= self._capacity

    def statistics(self) -> ThrottleStatistics:
        """How much is held."""
        return ThrottleStatistics(self._size, self._capacity)


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace of one run; `age` is in seconds since its first output, `sent` counts its pieces."""

    #: Seconds between two pieces while there are enough, and bytes at which one goes at once; when
    #: few are left it is as many as the largest has.
    shortest: float
    smallest_bytes: int
    largest_bytes: int = LARGEST_PIECE
    #: Pieces that a run may have besides those of its age: 0.3 MiB of rows.
    at_once: int = 1000
    #: Pieces for each day, one in 29 s: with the above at most 1 MiB of rows on the first one.
    a_day: int = 3000
    #: Bytes that a run may have recorded besides those of its age, and those of a second: what it
    #: prints faster nobody reads, and most of it would be emptied at once, but a disk wears.
    bytes_at_once: int = 64 * 1024 * 1024
    bytes_a_second: int = 2 * 1024 * 1024
    #: While a run has printed little its pieces are small, so that each is seen soon: a piece is at
    #: most this part of all.
    parts: int = 64
    #: Changes of stream in what waits for one turn; beyond it a stream's bytes stand together.
    most_turns: int = 256

    def spent(self, age: float, sent: int, recorded: int) -> bool:
        """Whether the run has had all pieces, or all bytes, that its age allows."""
        return (
            sent >= self.at_once + self.a_day * age / _DAY
            or recorded >= self.bytes_at_once + self.bytes_a_second * age
        )

    def seconds(self, age: float, sent: int, recorded: int) -> float:
        """From one piece to the next."""
        longest = max(_DAY / self.a_day, self.shortest)
        grown = (longest / self.shortest) ** self._want(age, sent)
        least = 0.0
        if self.spent(age, sent, recorded):
            least = self.largest_bytes / self.bytes_a_second
        return max(least, self.shortest * float(grown))

    def piece_bytes(self, age: float, sent: int, printed: int) -> int:
        """How much goes out at once, without waiting."""
        largest = max(self.largest_bytes, self.smallest_bytes)
        by_number = self.smallest_bytes * (largest / self.smallest_bytes) ** self._want(
            age, sent
        )
        return int(min(largest, max(by_number, printed / self.parts)))

    def turns(self, age: float, sent: int) -> int:
        """How many pieces may go out together, because the streams took turns."""
        return max(2, int(self.most_turns ** (1.0 - self._want(age, sent))))

    def _want(self, age: float, sent: int) -> float:
        """0 while more than half of the pieces at once are left, 1 when none is."""
        left = (self.at_once + self.a_day * age / _DAY - sent) / self.at_once
        return 1.0 - min(1.0, max(0.0, 2 * left))
