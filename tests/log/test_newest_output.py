"""PT-03, PT-04, PT-06: the end of an output, read without reading all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from uuid import uuid4

import trio
from hypothesis import given
from hypothesis import strategies as st

from penstock.log.new_events import new_event
from penstock.log.newest_output import newest_output, shown_tail
from penstock.words.events import Log, Progress
from penstock.words.printed import STREAMS, piece_of
from penstock.words.recorded import Recorded
from penstock.words.values import utc_now


@dataclass
class PrintedLog:
    """A log in which one run's pieces lie among facts of others."""

    pieces: list[tuple[int, Log]]
    read_bytes: int = 0
    reads: list[int] = field(default_factory=list)

    @property
    def head(self) -> int:
        return self.pieces[-1][0] if self.pieces else 0

    async def read(self, after: int, limit: int) -> Sequence[Recorded]:
        await trio.lowlevel.checkpoint()
        self.reads.append(after)
        found = [(at, piece) for at, piece in self.pieces if at > after][:limit]
        self.read_bytes += sum(len(piece.text or "") for _, piece in found)
        return [recorded(at, piece) for at, piece in found]


def recorded(position: int, event: Log | Progress) -> Recorded:
    made = new_event("r", event, now=utc_now(), event_id=uuid4())
    return Recorded(
        run_id="r", sequence=position, position=position, event_id=made.event_id, at=made.at,
        clock={}, causation_id=None, code_version=0, type=event.type, body=made.body,
    )  # fmt: skip


def cut_up(data: bytes, cuts: list[int]) -> PrintedLog:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [piece_of("stdout", data[begin:end]) for begin, end in pairwise(edges)]
    return PrintedLog([(7 * number, piece) for number, piece in enumerate(pieces, 1)])


def last_lines(data: bytes, count: int) -> bytes:
    return b"".join(data.splitlines(keepends=True)[-count:])


lines = st.lists(
    st.sampled_from([b"", b"a", b"\xff", "日本".encode(), b"long line"]), max_size=12
)


@given(
    lines, st.booleans(), st.lists(st.integers(0, 80), max_size=9), st.integers(1, 9)
)
def test_the_last_lines_are_exact_however_they_were_cut(
    parts: list[bytes], ended: bool, cuts: list[int], count: int
) -> None:
    """PT-03"""
    data = b"\n".join(parts) + b"\n" * ended
    log = cut_up(data, cuts)

    async def tail() -> bytes:
        newest = await newest_output(
            log.read, log.head, lines=count, most_bytes=10**6, streams=STREAMS
        )
        return newest.last_lines(count).data

    assert trio.run(tail) == last_lines(data, count)


async def test_the_end_of_a_long_output_costs_little() -> None:
    """PT-04: not all of it is read for ten lines."""
    line = "x" * 99 + "\n"
    log = PrintedLog([(at, piece_of("stdout", line.encode())) for at in range(1, 5000)])
    assert await shown_tail(log.read, log.head) == ("x" * 99,) * 10
    assert log.read_bytes < 50 * len(line)
    newest = await newest_output(
        log.read, log.head, lines=10**6, most_bytes=1000, streams=STREAMS
    )
    assert len(newest.data) == 1000
    assert newest.earlier


async def test_what_is_shown_of_a_tail_is_plain_and_bounded() -> None:
    """PT-06: one line of a bar, no colours, no command, and no line without an end."""
    printed = b"\x1b[31mred\x1b[0m\n1 %\r2 %\r\x1b[Kdone\n\x1b]0;t\x07\n" + b"y" * 9999
    log = cut_up(printed, [3, 20, 25])
    shown = await shown_tail(log.read, log.head)
    assert shown == ("red", "done", "␛]0;t␇", "y" * 299 + "…")


async def test_what_is_missing_among_the_last_is_told() -> None:
    """PT-04"""
    gone = Log(stream="stdout", bytes=700, emptied=True)
    log = PrintedLog([(1, piece_of("stdout", b"a\n")), (2, gone), (3, piece_of("stdout", b"b\n"))])  # fmt: skip
    newest = await newest_output(log.read, 3, lines=9, most_bytes=99, streams=STREAMS)
    assert (newest.missing, newest.data, newest.earlier) == (700, b"a\nb\n", False)
    assert await shown_tail(log.read, 3) == ("a", "[700 bytes no longer kept]", "b")


async def test_only_what_was_printed_since_is_read() -> None:
    """PT-03: `after` is a position, as everywhere."""
    log = PrintedLog([(at, piece_of("stdout", b"%d\n" % at)) for at in range(1, 100)])
    newest = await newest_output(
        log.read, 99, lines=9, most_bytes=99, after=96, streams=STREAMS
    )
    assert (newest.data, newest.earlier) == (b"97\n98\n99\n", False)
