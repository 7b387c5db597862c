"""PT-04 PT-06: who was told a run live and lost the daemon gets the rest, and nothing twice."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.foreign_daemon import fact
from penstock.client.live_output import ShownSoFar
from penstock.client.told import ToldFact
from penstock.words.events import encode_event
from penstock.words.printed import bytes_of, piece_in, piece_of, size_of

STARTED = {"type": "process.started", "pid": 1, "start_time": 1, "boot_id": "b", "method": "cgroup"}  # fmt: skip


def piece(stream: Any, data: bytes) -> dict[str, Any]:
    from pydantic_core import from_json

    told: dict[str, Any] = from_json(encode_event(piece_of(stream, data)))
    return told


def emptied(count: int) -> dict[str, Any]:
    return {"type": "log", "stream": "stdout", "bytes": count, "emptied": True}


def cut(shown: ShownSoFar, *events: dict[str, Any]) -> list[tuple[str, bytes | int]]:
    """What is left to show of output, piece by piece; a number for what is not kept."""
    facts = [ToldFact(fact(n, n, event)) for n, event in enumerate(events, 1)]
    left = [piece_in(f) for f in shown.cut(facts)]
    return [
        (log.stream, size_of(log) if (data := bytes_of(log)) is None else data)
        for log in left
        if log is not None
    ]


@pytest.mark.parametrize("had", range(10))
def test_the_rest_begins_at_the_byte_after_the_last(had: int) -> None:
    """PT-06: in the midst of a piece, and of a character."""
    shown = ShownSoFar()
    shown.begin()
    shown.add("stdout", had)
    whole = "aü€z\n".encode()
    pieces = [piece("stdout", whole[:3]), piece("stderr", b"e"), piece("stdout", whole[3:])]  # fmt: skip
    left = cut(shown, STARTED, *pieces)
    out = b"".join(d for s, d in left if s == "stdout" and isinstance(d, bytes))
    assert out == whole[had:]
    assert ("stderr", b"e") in left


def test_what_is_no_longer_kept_counts_as_what_it_was() -> None:
    """PT-04"""
    shown = ShownSoFar()
    shown.begin()
    shown.add("stdout", 10)
    left = cut(shown, STARTED, emptied(7), emptied(7), piece("stdout", b"z"))
    assert left == [("stdout", 4), ("stdout", b"z")]


def test_what_a_program_prints_that_began_since_is_all_new() -> None:
    """PT-06: a daemon that came back may have begun the run anew, and a crash taken the end of the log."""
    shown = ShownSoFar()
    for count in (5, 9):
        shown.begin()
        shown.add("stdout", count)
    left = cut(
        shown,
        STARTED, piece("stdout", b"first, of which nothing is missing"),
        STARTED, piece("stdout", b"seen"),
        STARTED, piece("stdout", b"new"),
    )  # fmt: skip
    assert left == [("stdout", b"new")]
