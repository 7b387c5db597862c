"""PT-06: how far a program has come, from what it prints; linear whatever it prints."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.runs.printed_progress import PrintedProgress

KIB = 1024
#: Seconds of CPU that a piece may cost.
ALLOWED = 0.1


def progress_of(*pieces: bytes) -> float | None:
    printed = PrintedProgress()
    for piece in pieces:
        printed.feed("stdout", piece)
    return printed.take()


@pytest.mark.parametrize(
    ("printed", "fraction"),
    [
        (b"42 %", 0.42),
        (b"\r 42%|####      | 420/1000 [00:01<00:02]", 0.42),
        (b"tests/test_a.py ....   [ 42%]\n", 0.42),
        (b"[ 42%] Building C object a.o\n", 0.42),
        (b"[420/1000] CC a.o\n", 0.42),
        (b"Receiving objects:  42% (421/1000)\r", 0.421),
        (b"\x1b[32m42%\x1b[0m\r", 0.42),
        (b"42.5 % 99,5 %", 0.995),
        (b"10 %\r20 %\r\n", 0.2),
        (b"100%", 1.0),
        (b"0%", 0.0),
    ],
)
def test_what_programs_print_is_understood(printed: bytes, fraction: float) -> None:
    """PT-06"""
    assert progress_of(printed) == pytest.approx(fraction)
    assert progress_of(*(bytes([byte]) for byte in printed)) == pytest.approx(fraction)


@pytest.mark.parametrize(
    "printed",
    [
        b"", b"120 %", b"9/3 ", b"0/0 ", b"3/0 ", b"2026/11/28 ", b"/usr/1/2 ", b"v1.2/3 ", b"a42%", b"-5%",
        b"%", b"/", b"42 percent", b"100%d", b"http://a/1/2", b"1/1",
    ],
)  # fmt: skip
def test_what_is_no_progress_is_left_alone(printed: bytes) -> None:
    """PT-06: more than everything, parts of nothing, dates, paths, and what may go on."""
    assert progress_of(printed) is None


def test_the_newest_wins_and_is_told_once() -> None:
    """PT-06: also a lower one, and whichever stream it is on."""
    printed = PrintedProgress()
    printed.feed("stderr", b" 70%\r")
    printed.feed("stdout", b"data\n")
    assert printed.take() == 0.7
    assert printed.take() is None
    printed.feed("stdout", b"more data\n")
    assert printed.take() is None
    printed.feed("stderr", b" 80%\r")
    printed.feed("stdout", b" 10%\n")
    assert printed.take() == 0.1
    printed.feed("stderr", b"8")
    assert printed.take() is None
    printed.feed("stderr", b"1%\r")
    assert printed.take() == 0.81


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=6))
def test_any_bytes_give_a_fraction_or_nothing(data: bytes, cuts: list[int]) -> None:
    """PT-06"""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    found = progress_of(*(data[begin:end] for begin, end in pairwise(edges)))
    assert found is None or 0 <= found <= 1


def fill(piece: bytes, tail: bytes = b"") -> Callable[[int], bytes]:
    return lambda size: piece * (size // len(piece)) + tail


SHAPES = {
    "digits": fill(b"9"), "slashes": fill(b"/"), "percents": fill(b"%"), "blanks": fill(b" ", b"%"),
    "n/m": fill(b"1/2 "), "open n/m": fill(b" 999999999/"), "long": fill(b" 999999999 / 999999999"),
    "points": fill(b" 1.999999"), "colours": fill(b"\x1b[1;1;1m"), "open colour": fill(b"\x1b["),
    "colour of digits": fill(b"1;", b"m"), "letters": fill(b"a"), "zeros": fill(b"\0"),
}  # fmt: skip


def cpu(data: bytes) -> float:
    """Seconds of CPU to take it whole and in small pieces; the better one of two."""

    def once() -> float:
        begin = time.process_time()
        progress_of(data)
        printed = PrintedProgress()
        for at in range(0, len(data), 64 * KIB):
            printed.feed("stdout", data[at : at + 64 * KIB])
            printed.take()
        return time.process_time() - begin

    return min(once(), once())


@pytest.mark.parametrize("size", [64 * KIB, 1024 * KIB])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_costs_more_than_a_moment(shape: str, size: int) -> None:
    """PT-06 QA-08"""
    assert cpu(SHAPES[shape](size)) < ALLOWED


@settings(max_examples=40)
@given(
    piece=st.lists(st.sampled_from([b"9", b"/", b"%", b" ", b".", b"\x1b[", b"1;", b"m", b"x"]), min_size=1, max_size=12),
    tail=st.sampled_from([b"", b"%", b"/9 ", b"m"]),
)  # fmt: skip
def test_no_repetition_costs_more_than_a_moment(
    piece: list[bytes], tail: bytes
) -> None:
    """PT-06 QA-08: shapes that nobody has thought of."""
    assert cpu(fill(b"".join(piece), tail)(64 * KIB)) < ALLOWED
