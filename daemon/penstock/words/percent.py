"""How far a program says that it has come: `42 %`, `[ 42%]`, `420/1000`. Bytes in, a fraction out.

What is searched is bounded, and so is each number in it, so it takes no longer for what somebody
prints to make it long. Only the newest counts: a program that begins anew begins anew.
"""

from __future__ import annotations

import re

#: Bytes at the end of a stream that are searched: some lines of a progress bar.
SEARCHED_BYTES = 4096
#: Bytes at the end of what was searched that may be the beginning of what comes: two numbers.
_BEGUN_BYTES = 24

_COLOUR = re.compile(rb"\x1b\[[0-9;:]{0,64}[mK]")
#: No part of a word, a path, a date or a version. What stands last in the text may go on.
_SAID = re.compile(
    rb"(?<![\w.,/-])(?P<done>[0-9]{1,9})"
    rb"(?:(?P<part>[.,][0-9]{1,6})? ?%(?!\w)| ?/ ?(?P<all>[0-9]{1,9})(?=[^\w./-]))"
)
#: What a number that was cut at its beginning may have left.
_REST_OF_NUMBER = b"0123456789.,/ %"


class PrintedProgress:
    """Takes what a program prints, to its two streams, and knows the newest progress in it."""

    def __init__(self) -> None:
        #: By stream, the one that was written to last behind the other.
        self._new: dict[str, bytes] = {}

    def feed(self, stream: str, data: bytes) -> None:
        """Take what was printed next; this costs no more than to keep its end."""
        held = self._new.pop(stream, b"") + data[-SEARCHED_BYTES:]
        if len(held) > SEARCHED_BYTES:
            held = held[-SEARCHED_BYTES:].lstrip(_REST_OF_NUMBER)
        self._new[stream] = held

    def take(self) -> float | None:
        """The newest progress since the last call, from 0 to 1; None if there is none."""
        newest = None
        for stream, held in reversed(self._new.items()):
            found, end = _last_in(_COLOUR.sub(b"", held))
            newest = found if newest is None else newest
            self._new[stream] = held[-_BEGUN_BYTES:] if end is None else end
        return newest


def _last_in(text: bytes) -> tuple[float | None, bytes | None]:
    """The last progress in a text, and what stands behind it; None twice if there is none."""
    last, rest = None, None
    for said in _SAID.finditer(text):
        if (fraction := _fraction(said)) is not None:
            last, rest = fraction, text[said.end() :]
    return last, None if rest is None else rest[-_BEGUN_BYTES:]


def _fraction(said: re.Match[bytes]) -> float | None:
    """What is said as a fraction; None for more than everything, and for parts of nothing."""
    done = float(int(said["done"]))
    if said["all"] is None:
        part = (said["part"] or b".0").replace(b",", b".")
        done, whole = done + float(b"0" + part), 100.0
    else:
        whole = float(int(said["all"]))
    return done / whole if 0 < whole >= done else None
