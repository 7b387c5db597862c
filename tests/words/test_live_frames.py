"""PT-04: the frames in which a run is told live, however the bytes are cut."""

from __future__ import annotations

import random
from itertools import groupby

from penstock.words.live_frames import (
    BEGUN,
    MESSAGE,
    STDERR,
    STDOUT,
    LiveFrames,
    frame_head,
)

FRAMES = [
    (MESSAGE, b'{"type":"hello"}'),
    (BEGUN, b""),
    (STDOUT, bytes(range(256)) * 300),
    (STDERR, b"e"),
    (STDOUT, b""),
    (MESSAGE, b'{"type":"bye"}'),
    (STDOUT, b"o"),
]
WIRE = b"".join(frame_head(kind, len(data)) + data for kind, data in FRAMES)


def joined(parts: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """What stands together as one, as far as frames mean nothing."""
    groups = groupby((p for p in parts if p[1] or p[0] == BEGUN), lambda part: part[0])
    return [(kind, b"".join(data for _, data in group)) for kind, group in groups]


def test_frames_are_read_however_they_are_cut() -> None:
    """PT-04"""
    chance = random.Random(7)
    for _ in range(50):
        frames, parts, place = LiveFrames(), list[tuple[int, bytes]](), 0
        while place < len(WIRE):
            size = chance.choice((1, 2, 5, 1000, len(WIRE)))
            parts += frames.feed(WIRE[place : place + size])
            place += size
        assert joined(parts) == joined(FRAMES)


def test_what_was_printed_is_given_before_its_frame_is_whole_and_a_message_after() -> (
    None
):
    """PT-04"""
    frames = LiveFrames()
    assert list(frames.feed(frame_head(STDOUT, 9) + b"half")) == [(STDOUT, b"half")]
    assert list(frames.feed(b" more")) == [(STDOUT, b" more")]
    assert list(frames.feed(frame_head(MESSAGE, 4) + b"ha")) == []
    assert list(frames.feed(b"lf")) == [(MESSAGE, b"half")]
